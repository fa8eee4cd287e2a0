"""Layers, criterions and the graphs that connect them."""

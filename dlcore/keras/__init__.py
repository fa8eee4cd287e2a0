"""Layers, models and training in the style of Keras 1.2.2, as BigDL has them, by composition over `dlcore.nn`."""

from __future__ import annotations

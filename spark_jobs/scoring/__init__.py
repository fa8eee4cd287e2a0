"""Scores of what the pipeline has published."""

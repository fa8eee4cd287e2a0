"""A deep-learning engine for CPUs with the classic BigDL names."""

"""Training and prediction on Spark's workers. Nothing here is imported before Spark's data are given to the engine."""

"""Training the two networks of the pipeline."""

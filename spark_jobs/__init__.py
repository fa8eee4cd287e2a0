"""The pipeline: one script per Spark job, the table of stages, the runner that publishes."""

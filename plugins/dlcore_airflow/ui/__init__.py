"""The page of the pipeline in Airflow's web UI."""

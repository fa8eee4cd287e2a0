"""What the pipeline adds to Airflow: one operator, its connections, its links and a page."""

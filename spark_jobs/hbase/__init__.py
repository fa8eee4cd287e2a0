"""The image table in HBase."""

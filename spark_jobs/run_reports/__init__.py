"""Run reports, as files."""

"""Running a stage: session, staging, audit, publication, report."""

"""Training: methods, schedules, triggers, metrics and the loop."""

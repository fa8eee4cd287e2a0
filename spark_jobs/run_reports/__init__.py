"""Run reports as files: writing them, reading them back, and what they add up to."""

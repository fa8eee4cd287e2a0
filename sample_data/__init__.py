"""Data drawn from a seed: for the demo, trainings, calibration, benchmarks and tests."""

"""Data for training and prediction: samples, batches, data sets, pictures, text, and the readers of their files."""

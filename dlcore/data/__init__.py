"""Data for training and prediction: samples, batches, data sets, pictures, text, and the files that they come in."""

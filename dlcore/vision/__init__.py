"""Pictures around the networks: pixels in, labelled boxes and binary codes out."""

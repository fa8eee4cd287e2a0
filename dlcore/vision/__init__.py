"""Networks for pictures: pixels in, labelled boxes and binary codes out."""

"""One experiment: samples to answers to scores, in a folder that tells how it came about."""

"""Tensors in files, read and written a block at a time."""

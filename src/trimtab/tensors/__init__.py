"""Tensors as they lie in files: their formats, differences of two, and blocks to read them by."""

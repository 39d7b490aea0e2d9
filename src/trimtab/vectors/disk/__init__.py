"""Vectors, models and adapters on disk: their folders, and tensors in files, block by block."""

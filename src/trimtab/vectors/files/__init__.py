"""Vectors as folders: extracted from checkpoints and adapters, and applied to them."""

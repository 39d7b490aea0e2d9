"""Vectors in a model that runs, with a dial for all rows or for each."""

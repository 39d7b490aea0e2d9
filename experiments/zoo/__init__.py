"""Recipes of the embedded model family."""

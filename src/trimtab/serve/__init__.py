"""Steered models for whoever asks: one batch that others may join and leave at any time."""

from trimtab.serve.engine import Asked, Closed, Engine, Full

__all__ = ["Asked", "Closed", "Engine", "Full"]

"""Decoding: how tokens are drawn, mixed, and handed from one speaker to another."""

from trimtab.decoding.completion import Completion, Span
from trimtab.decoding.generation import Generation

__all__ = ["Completion", "Generation", "Span"]

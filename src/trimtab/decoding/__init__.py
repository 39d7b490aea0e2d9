"""Decoding: how tokens are drawn, mixed, and handed from one speaker to another."""

from trimtab.decoding.completion import Completion, Span
from trimtab.decoding.generation import Generation
from trimtab.decoding.one_speaker import speak
from trimtab.decoding.predictor import Cursor, Prediction, Predictor, Request
from trimtab.decoding.speakers import Speaker
from trimtab.decoding.turns import Turns

__all__ = [
    "Completion",
    "Cursor",
    "Generation",
    "Prediction",
    "Predictor",
    "Request",
    "Span",
    "Speaker",
    "Turns",
    "speak",
]

"""Align language models at inference time: nudging, DeRa, alignment vectors and their neighbours.

Importing this package is cheap: torch and transformers are imported when a model is first used.
"""

import os

from trimtab.decoding import Completion, Generation, Span
from trimtab.methods import (
    AlignmentVector,
    AlignmentVectors,
    DeRa,
    Ensemble,
    Method,
    Nudging,
    Plain,
    ProxyTuning,
)
from trimtab.models import Conversation, LanguageModel

__version__ = "0.1.0"

# Sums in one order whatever the number of threads, and as fast; MKL reads it at its first call.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__all__ = [
    "AlignmentVector",
    "AlignmentVectors",
    "Completion",
    "Conversation",
    "DeRa",
    "Ensemble",
    "Generation",
    "LanguageModel",
    "Method",
    "Nudging",
    "Plain",
    "ProxyTuning",
    "Span",
    "__version__",
]

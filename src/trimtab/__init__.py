"""Align language models at inference time: nudging, DeRa, alignment vectors and their neighbours.

Importing this package is cheap: names are imported when they are used, torch and transformers when
a model is.
"""

import os
from typing import TYPE_CHECKING

from trimtab.machine.lazy_names import lazily

if TYPE_CHECKING:
    from trimtab.decoding import Completion, Generation, Span
    from trimtab.methods import (
        ActivationAddition,
        AlignmentVector,
        AlignmentVectors,
        DeRa,
        Ensemble,
        InferAligner,
        Method,
        Mixture,
        Nudging,
        Piece,
        Plain,
        ProxyTuning,
    )
    from trimtab.models import Conversation, LanguageModel

__version__ = "0.1.0"

# Sums in one order whatever the number of threads, and as fast; MKL reads it at its first call.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__all__ = [
    "ActivationAddition",
    "AlignmentVector",
    "AlignmentVectors",
    "Completion",
    "Conversation",
    "DeRa",
    "Ensemble",
    "Generation",
    "InferAligner",
    "LanguageModel",
    "Method",
    "Mixture",
    "Nudging",
    "Piece",
    "Plain",
    "ProxyTuning",
    "Span",
    "__version__",
]

_ROOMS = {
    "trimtab.decoding": ("Completion", "Generation", "Span"),
    "trimtab.methods": (
        *("ActivationAddition", "AlignmentVector", "AlignmentVectors", "DeRa", "Ensemble"),
        *("InferAligner", "Method", "Mixture", "Nudging", "Piece", "Plain", "ProxyTuning"),
    ),
    "trimtab.models": ("Conversation", "LanguageModel"),
}
__getattr__ = lazily(__name__, {name: room for room, names in _ROOMS.items() for name in names})

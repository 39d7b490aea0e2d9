"""Align language models at inference time: nudging, DeRa, alignment vectors and their neighbours.

Importing this package is cheap: torch and transformers are imported when a model is first used.
"""

from trimtab.decoding import Completion, Generation, Span
from trimtab.methods import AlignmentVector, DeRa, Ensemble, Method, Nudging, Plain, ProxyTuning
from trimtab.models import Conversation, LanguageModel

__version__ = "0.1.0"

__all__ = [
    "AlignmentVector",
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

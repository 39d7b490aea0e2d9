"""Methods: each aligns a base model at inference time, with one dial."""

from trimtab.methods.activation_addition import ActivationAddition
from trimtab.methods.alignment_vector import AlignmentVector
from trimtab.methods.alignment_vectors import AlignmentVectors
from trimtab.methods.best_of_n import BestOfN
from trimtab.methods.dera import DeRa
from trimtab.methods.ensemble import Ensemble
from trimtab.methods.formula import Formula
from trimtab.methods.inferaligner import InferAligner
from trimtab.methods.method import Method
from trimtab.methods.mixture import Mixture
from trimtab.methods.nudging import Nudging
from trimtab.methods.plain import Plain
from trimtab.methods.proxy_tuning import ProxyTuning
from trimtab.methods.rtd import RTD
from trimtab.methods.terms import STRENGTH, Term, voice

__all__ = [
    "RTD",
    "STRENGTH",
    "ActivationAddition",
    "AlignmentVector",
    "AlignmentVectors",
    "BestOfN",
    "DeRa",
    "Ensemble",
    "Formula",
    "InferAligner",
    "Method",
    "Mixture",
    "Nudging",
    "Plain",
    "ProxyTuning",
    "Term",
    "voice",
]

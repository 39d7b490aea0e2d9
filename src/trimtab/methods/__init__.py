"""Methods: each aligns a base model at inference time, with one dial."""

from trimtab.methods.activation_addition import ActivationAddition
from trimtab.methods.alignment_vector import AlignmentVector
from trimtab.methods.alignment_vectors import AlignmentVectors
from trimtab.methods.args import ARGS
from trimtab.methods.best_of_n import BestOfN
from trimtab.methods.blendin import BlendIn
from trimtab.methods.classifier_free_guidance import ClassifierFreeGuidance
from trimtab.methods.cmc import CMC
from trimtab.methods.contrastive_decoding import ContrastiveDecoding
from trimtab.methods.decode_together import Piece
from trimtab.methods.dera import DeRa
from trimtab.methods.ensemble import Ensemble
from trimtab.methods.formula import Formula
from trimtab.methods.genarm import GenARM
from trimtab.methods.handover import Handover
from trimtab.methods.inferaligner import InferAligner
from trimtab.methods.linear_alignment import LinearAlignment
from trimtab.methods.method import Method
from trimtab.methods.mixture import Mixture
from trimtab.methods.multi_objective import MultiObjective
from trimtab.methods.nudging import Nudging, NudgingNotebook, NudgingPaper
from trimtab.methods.pad import PAD
from trimtab.methods.piece_stream import PieceStream
from trimtab.methods.plain import Plain
from trimtab.methods.proxy_tuning import ProxyTuning
from trimtab.methods.ric import RiC
from trimtab.methods.rtd import RTD
from trimtab.methods.safedecoding import SafeDecoding
from trimtab.methods.terms import STRENGTH, Term, voice

__all__ = [
    "ARGS",
    "CMC",
    "PAD",
    "RTD",
    "STRENGTH",
    "ActivationAddition",
    "AlignmentVector",
    "AlignmentVectors",
    "BestOfN",
    "BlendIn",
    "ClassifierFreeGuidance",
    "ContrastiveDecoding",
    "DeRa",
    "Ensemble",
    "Formula",
    "GenARM",
    "Handover",
    "InferAligner",
    "LinearAlignment",
    "Method",
    "Mixture",
    "MultiObjective",
    "Nudging",
    "NudgingNotebook",
    "NudgingPaper",
    "Piece",
    "PieceStream",
    "Plain",
    "ProxyTuning",
    "RiC",
    "SafeDecoding",
    "Term",
    "voice",
]

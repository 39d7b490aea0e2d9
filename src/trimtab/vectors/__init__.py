"""Alignment vectors: differences of weights, as files and live in a model.

`theta = theta_base + sum_d lambda_d (theta_d - theta_base)`: Shahriar et al., arXiv 2410.19206;
task arithmetic, Ilharco et al., arXiv 2212.04089.
"""

from trimtab.vectors.apply import apply
from trimtab.vectors.dial import Dial
from trimtab.vectors.extract import extract
from trimtab.vectors.vector import Vector

__all__ = ["Dial", "Vector", "apply", "extract"]

"""Alignment vectors: differences of weights, as files and live in a model.

`theta = theta_base + sum_d lambda_d (theta_d - theta_base)`: Shahriar et al., arXiv 2410.19206;
task arithmetic, Ilharco et al., arXiv 2212.04089. Names are imported when they are used: torch
takes longer than a mistake in a command should.

A `vector` is differences by the tensors' names (`trimtab.tensors`), and what is known of where they
come from (`facts`, `provenance`); `disk` reads and writes it. With vectors, `files` extracts
and applies, `live` turns them in a model that runs, `merge` makes one of several, and `show` says
what they hold. `names` tells which tensor is which in files and in memory.
"""

from typing import TYPE_CHECKING

from trimtab.machine.lazy_names import lazily

if TYPE_CHECKING:
    from trimtab.vectors.files.checkpoint import apply
    from trimtab.vectors.files.extraction import extract
    from trimtab.vectors.live.dial import Dial
    from trimtab.vectors.live.row_dials import RowDials
    from trimtab.vectors.merge.emr import EmrMerge
    from trimtab.vectors.merge.merging import dare_linear, dare_ties, sign_conflicts, soup, ties
    from trimtab.vectors.merge.thinning import drop, trim
    from trimtab.vectors.vector import Vector

__all__ = [
    "Dial",
    "EmrMerge",
    "RowDials",
    "Vector",
    "apply",
    "dare_linear",
    "dare_ties",
    "drop",
    "extract",
    "sign_conflicts",
    "soup",
    "ties",
    "trim",
]

_MODULES = {
    "Dial": "trimtab.vectors.live.dial",
    "EmrMerge": "trimtab.vectors.merge.emr",
    "RowDials": "trimtab.vectors.live.row_dials",
    "Vector": "trimtab.vectors.vector",
    "apply": "trimtab.vectors.files.checkpoint",
    "dare_linear": "trimtab.vectors.merge.merging",
    "dare_ties": "trimtab.vectors.merge.merging",
    "drop": "trimtab.vectors.merge.thinning",
    "extract": "trimtab.vectors.files.extraction",
    "sign_conflicts": "trimtab.vectors.merge.merging",
    "soup": "trimtab.vectors.merge.merging",
    "ties": "trimtab.vectors.merge.merging",
    "trim": "trimtab.vectors.merge.thinning",
}
__getattr__ = lazily(__name__, _MODULES)

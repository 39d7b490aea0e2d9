"""Alignment vectors: differences of weights, as files and live in a model.

`theta = theta_base + sum_d lambda_d (theta_d - theta_base)`: Shahriar et al., arXiv 2410.19206;
task arithmetic, Ilharco et al., arXiv 2212.04089. Names are imported when they are used: torch
takes longer than a mistake in a command should.

A `vector` is differences by the tensors' names (`delta`, `low_rank`), and what is known of where
they come from (`facts`, `provenance`); `disk` reads and writes it. With vectors, `files` extracts
and applies, `live` turns them in a model that runs, `merge` makes one of several, and `show` says
what they hold. `names` tells which tensor is which in files and in memory.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.vectors.files.checkpoint import apply
    from trimtab.vectors.files.extraction import extract
    from trimtab.vectors.live.dial import Dial
    from trimtab.vectors.live.row_dials import RowDials
    from trimtab.vectors.merge.emr import EmrMerge
    from trimtab.vectors.merge.merging import dare_linear, dare_ties, sign_conflicts, soup, ties
    from trimtab.vectors.merge.thinning import drop, trim
    from trimtab.vectors.vector import Vector

_MODULES = {
    "Dial": "live.dial",
    "EmrMerge": "merge.emr",
    "RowDials": "live.row_dials",
    "Vector": "vector",
    "apply": "files.checkpoint",
    "dare_linear": "merge.merging",
    "dare_ties": "merge.merging",
    "drop": "merge.thinning",
    "extract": "files.extraction",
    "sign_conflicts": "merge.merging",
    "soup": "merge.merging",
    "ties": "merge.merging",
    "trim": "merge.thinning",
}

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


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)

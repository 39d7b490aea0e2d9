"""The sum that a dial stands for, `theta_base + sum_d lambda_d delta_d`, exact at both ends.

Sums are taken in fp32 and cast once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from trimtab.vectors.delta import Delta

_EPSILON = torch.finfo(torch.float32).eps


class Term(NamedTuple):
    """A difference with its strength."""

    delta: Delta
    strength: float


def write_sum(
    out: torch.Tensor, base: torch.Tensor, terms: Sequence[Term], first: int, last: int
) -> None:
    """Write the elements `first` to `last` of the sum into a flat tensor of the base's dtype.

    Args:
        out: where to, `[last - first]`.
        base: the base weights there, `[last - first]`; not `out` itself.
        terms: the differences, whole.
        first: the first element; a row begins there.
        last: the element after the last; a row begins there, or the tensor ends.
    """
    live = [term for term in terms if term.strength != 0]
    if not live:
        out.copy_(base)
        return
    total = out if out.dtype == torch.float32 else torch.empty_like(out, dtype=torch.float32)
    start = base.float()
    for delta, strength in live:
        part = delta.block(first, last).float()
        start = torch.add(start, part, alpha=strength, out=total)
    (delta, strength), *others = live
    if strength == 1 and not others and (correction := delta.corrected(first, last)):
        places, values = correction
        # From the base that the difference was taken from, the sum is off by its own rounding
        # and no more; from another base the corrected values would be wrong.
        rounding = _EPSILON * (part[places].abs() + total[places].abs())
        own = (total[places] - values).abs() <= rounding
        total[places[own]] = values[own]
    if total is not out:
        out.copy_(total)


def require_finite_strengths(strengths: Sequence[float]) -> None:
    """Refuse strengths that are not finite numbers."""
    for strength in strengths:
        is_number = isinstance(strength, int | float) and not isinstance(strength, bool)
        if not is_number or not math.isfinite(strength):
            raise ValueError(
                f"strength={strength!r}: accepted is any finite number: 0 is the base, 1 the "
                "aligned model, below 0 the reverse."
            )

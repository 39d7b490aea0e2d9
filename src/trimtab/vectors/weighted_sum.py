"""The sum that a dial stands for, `theta_base + sum_d lambda_d delta_d`, exact at both ends.

Sums are taken in fp32 and cast once; but on GPUs, each product is rounded before it is added. Here
they are of numbers on disk; those of tensors in a loaded model are in `live.sum_in_place`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from trimtab.config.accepted import require_finite
from trimtab.tensors.delta import Delta, Deltas
from trimtab.tensors.number_format import Array

_EPSILON = float(np.finfo(np.float32).eps)


class Term(NamedTuple):
    """A difference with its strength, which is not 0."""

    delta: Delta
    strength: float


def terms_of(
    name: str, vectors: Mapping[str, Deltas], strengths: Mapping[str, float]
) -> list[Term]:
    """Return what is added to a tensor.

    Args:
        name: the tensor's.
        vectors: the differences of each vector.
        strengths: of the vectors.
    """
    return [
        Term(deltas[name], strength)
        for which, deltas in vectors.items()
        if name in deltas and (strength := strengths[which]) != 0
    ]


def weighted_sum(base: Array, terms: Sequence[Term], first: int, last: int) -> Array:
    """Return the elements `first` to `last` of the sum, in fp32.

    Args:
        base: the base weights there, `[last - first]` in fp32.
        terms: the differences, whole; at least one.
        first: the first element; a row begins there.
        last: the element after the last; a row begins there, or the tensor ends.
    """
    total = base
    with np.errstate(over="ignore", invalid="ignore"):  # as torch has it
        for delta, strength in terms:
            part = delta.values(first, last) * float(strength)  # numpy's would make it fp64
            part += total
            total = part
        if (end := aligned_end(terms)) and (correction := end.corrected(first, last)):
            places, values = correction
            own = is_own(end.values(first, last)[places], total[places], values)
            total[places[own]] = values[own]
    return total


def aligned_end(terms: Sequence[Term]) -> Delta | None:
    """Return the difference that is added as it is, if it is the only one."""
    (delta, strength), *others = terms
    return delta if strength == 1 and not others else None


def is_own(part: Any, total: Any, values: Any) -> Any:
    """Tell where a sum, of numpy's or torch's, is that of the base the difference was taken from.

    It is off from the aligned weights by its own rounding there, and no more; from another base
    the corrected values would be wrong.
    """
    return abs(total - values) <= _EPSILON * (abs(part) + abs(total))


def not_finite(name: str, *, base: str, dtype: str) -> ValueError:
    """Return what is said of a sum that is not of finite numbers.

    Args:
        name: the tensor's.
        base: what the base model is called.
        dtype: of its weights.
    """
    return ValueError(
        f"{name}: the sum is not of finite numbers. {base!r} or a vector hold NaN or infinite "
        f"weights, or the strengths lead beyond what {dtype} holds."
    )


def require_finite_strengths(strengths: Sequence[float]) -> None:
    """Refuse strengths that are not finite numbers."""
    for strength in strengths:
        further = ": 0 is the base, 1 the aligned model, below 0 the reverse"
        require_finite("strength", strength, further=further)

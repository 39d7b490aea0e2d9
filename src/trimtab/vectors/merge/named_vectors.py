"""Several vectors by name: the tensors that they change, and a number for each."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from trimtab.config.accepted import is_number
from trimtab.vectors.matching import require_one_architecture
from trimtab.vectors.vector import Vector

Vectors = Mapping[str, Vector]
ForEach = float | Mapping[str, float]
"""One number for all vectors, or one for each, by name."""


def shapes(vectors: Vectors) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that one of the vectors changes, by sorted names.

    Raises:
        ValueError: without a vector, and for vectors of different architectures, listing tensors.
    """
    _require_vectors(vectors)
    return require_one_architecture({name: each.deltas for name, each in vectors.items()})


def tensors(vectors: Vectors, name: str) -> dict[str, torch.Tensor]:
    """Return what the vectors that change a tensor add to it, in fp32."""
    return {
        which: vector.deltas[name].dense().float()
        for which, vector in vectors.items()
        if name in vector.deltas
    }


def for_each(value: ForEach, vectors: Vectors, what: str) -> dict[str, float]:
    """Return one finite number for each vector.

    Args:
        value: one for all, or one for each.
        vectors: the vectors.
        what: what the number is called.

    Raises:
        ValueError: for what is no finite number, and for names that are not those of the vectors.
    """
    _require_vectors(vectors)
    numbers = dict(value) if isinstance(value, Mapping) else dict.fromkeys(vectors, value)
    if odd := sorted(numbers.keys() ^ vectors.keys()):
        raise ValueError(
            f"{what}: {', '.join(odd)}: accepted is one number for all vectors, or one for each "
            f"of {', '.join(vectors)}."
        )
    for which, number in numbers.items():
        if not is_number(number) or not math.isfinite(number):
            raise ValueError(f"{what} of {which}: {number!r} is not a finite number.")
    return {which: numbers[which] for which in vectors}


def _require_vectors(vectors: Vectors) -> None:
    if not isinstance(vectors, Mapping) or not vectors:
        raise ValueError(
            "vectors: accepted are one or more vectors by name, such as "
            "{'medicine': Vector.open('medicine'), 'law': Vector.open('law')}."
        )

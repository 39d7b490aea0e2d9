"""Tensors a block at a time: where the blocks lie, and what is measured of one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from trimtab.tensors.number_format import Array

_BLOCK = 1 << 18  # elements: what a core's cache holds
_LEAST = 1e-30  # below, squares of small numbers may have vanished


def blocks(shape: tuple[int, ...], size: int = _BLOCK) -> Iterator[tuple[int, int]]:
    """Yield places that part a tensor at row ends into blocks of about `size` elements."""
    total = math.prod(shape)
    columns = math.prod(shape[1:]) if len(shape) > 1 else 1
    step = max(1, size // max(1, columns)) * columns
    for first in range(0, total, step or 1):
        yield first, min(first + step, total)


def squared_norm(values: Array) -> float:
    """Return the squared Euclidean norm of fp32 numbers, to about six digits.

    Infinite only if it is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        quick = float(np.dot(values, values))
    if _LEAST < quick < math.inf:
        return quick
    wide = values.astype(np.float64)
    return float(np.dot(wide, wide))


def to_six_digits(norm: float) -> float:
    """Return a norm as it is written down."""
    return float(f"{norm:.6g}")

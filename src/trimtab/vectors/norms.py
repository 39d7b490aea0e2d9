"""What is measured of weights, a block at a time."""

from __future__ import annotations

import math

import numpy as np

from trimtab.vectors.disk.number_format import Array

_LEAST = 1e-30  # below, squares of small numbers may have vanished


def square(values: Array) -> float:
    """Return the squared Euclidean length of fp32 numbers, to about six digits.

    Infinite only if it is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        quick = float(np.dot(values, values))
    if _LEAST < quick < math.inf:
        return quick
    wide = values.astype(np.float64)
    return float(np.dot(wide, wide))

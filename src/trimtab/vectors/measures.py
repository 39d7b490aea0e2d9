"""What is measured of weights, a block at a time."""

from __future__ import annotations

import math

import torch

_LEAST = 1e-30  # below, squares of small numbers may have vanished


def square(values: torch.Tensor) -> float:
    """Return the squared Euclidean length, to about six digits; infinite only if it is."""
    flat = values.reshape(-1)
    quick = float(torch.dot(flat, flat)) if values.dtype == torch.float32 else math.nan
    if _LEAST < quick < math.inf:
        return quick
    return float(torch.linalg.vector_norm(values, dtype=torch.float64)) ** 2


def is_of_weights(dtype: torch.dtype) -> bool:
    """Tell weights from integers and one-byte floats, which mean nothing without their scales."""
    return dtype.is_floating_point and dtype.itemsize > 1

"""What is measured of weights, a block at a time."""

from __future__ import annotations

import torch


def square(values: torch.Tensor) -> float:
    """Return the squared Euclidean length, in fp64."""
    return float(torch.linalg.vector_norm(values, dtype=torch.float64)) ** 2


def is_of_weights(dtype: torch.dtype) -> bool:
    """Tell weights from integers and one-byte floats, which mean nothing without their scales."""
    return dtype.is_floating_point and dtype.itemsize > 1

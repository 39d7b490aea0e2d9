"""The sign-flip test: how often signs at random add up to as much as the differences do."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr

_EXACT = 30  # differences up to which all signs are gone through, in two halves
_FLIPS = 9_999


def p_value(differences: np.ndarray) -> float:
    """Return the two-sided p-value of "each difference could as well have the other sign".

    Fisher, The Design of Experiments (1935), section 21. That holds where two runs are alike,
    however rare and skewed their differences are. Those of 0 have no say. Exact for up to 30 others
    and for any number of one size, which is the sign test; elsewhere by 9,999 seeded draws.
    """
    moved = differences[differences != 0]
    sizes, seen = np.abs(moved), abs(float(moved.sum()))
    if moved.size == 0:
        return 1.0
    if np.ptp(sizes) == 0:
        fewer = min(int((moved > 0).sum()), int((moved < 0).sum()))
        return min(1.0, 2 * float(bdtr(fewer, moved.size, 0.5)))
    enough = seen - 1e-9 * float(sizes.sum())  # sums that are alike but for rounding count as alike
    if moved.size <= _EXACT:
        first, second = _sums(sizes[: sizes.size // 2]), np.sort(_sums(sizes[sizes.size // 2 :]))
        above = second.size - np.searchsorted(second, enough - first)
        return min(1.0, 2 * int(above.sum()) / 2**moved.size)
    signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(_FLIPS, moved.size))
    return (1 + int((np.abs(signs @ sizes) >= enough).sum())) / (1 + _FLIPS)


def _sums(sizes: np.ndarray) -> np.ndarray:
    """Return the sum of some sizes under each choice of their signs."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums

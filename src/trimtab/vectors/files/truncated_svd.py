"""The best factors of a given rank for a matrix."""

from __future__ import annotations

import torch

from trimtab.tensors.low_rank import LowRank

_EXACT = 1024  # up to this width the whole decomposition is quick
_LONG = 4  # times as long as it is narrow
_OVERSAMPLING, _ITERATIONS, _SEED = 32, 4, 0


def factors(matrix_MN: torch.Tensor, rank: int, dtype: torch.dtype = torch.float32) -> LowRank:
    """Return the truncated singular value decomposition, half of each value in either factor.

    No other matrix of that rank is nearer (Eckart and Young, "The approximation of one matrix by
    another of lower rank", 1936). Wide matrices are decomposed in a random subspace that power
    iterations turn towards the largest values (Halko et al., arXiv 0909.4061), with a fixed seed.

    Args:
        matrix_MN: the matrix.
        rank: of the factors; no more than the smaller side is kept.
        dtype: of the factors.
    """
    narrow = min(matrix_MN.shape)
    kept = min(rank, narrow)
    if narrow <= _EXACT or kept + _OVERSAMPLING >= narrow:
        left, values, right = _decomposed(matrix_MN.float(), kept)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            left, values, columns = torch.svd_lowrank(
                matrix_MN.float(), q=kept + _OVERSAMPLING, niter=_ITERATIONS
            )
        right = columns.mT
    root = values[:kept].sqrt()
    return LowRank(
        (left[:, :kept] * root).to(dtype).contiguous(),
        (root[:, None] * right[:kept]).to(dtype).contiguous(),
    )


def _decomposed(
    matrix_MN: torch.Tensor, kept: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the first `kept` singular vectors and values, or more.

    Those of a long matrix come from its triangular factor: `A = Q R`, and the decomposition of
    `R` is that of `A` but for the rotation. That is exact up to rounding, and several times
    quicker where the matrix is wide.
    """
    rows, columns = matrix_MN.shape
    if max(rows, columns) < _LONG * min(rows, columns):
        return torch.linalg.svd(matrix_MN, full_matrices=False)
    wide = columns > rows
    rotation, triangle = torch.linalg.qr(matrix_MN.mT if wide else matrix_MN)
    left, values, right = torch.linalg.svd(triangle, full_matrices=False)
    left = rotation @ left[:, :kept]
    return (right.mT, values, left.mT) if wide else (left, values, right)

"""Rows of a batch, each times a matrix of its own: `x (W + sum_d lambda_d D_d)`.

Two ways lead there. `x W + sum_d lambda_d (x D_d)` multiplies every token by each matrix, and reads
each matrix once for all rows. Forming the sum of the matrices first multiplies a token once, and
costs about as much as some tens of tokens for each group of rows with equal strengths. Legend: R
rows, T tokens, D vectors, H width of the input, O of the output.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trimtab.vectors.live.row_strengths import Group

# On two cores forming a sum costs as much as 15 to 30 tokens of a product, so from there on it is
# the quicker way even for a row that is alone in its group. Yet how many tokens a pass has, rows
# of a group too, follows from the other rows, and a row's last bits must not: so on a CPU one token
# is read one way and several the other.
_TOKENS_ON_CPU = 2
# Elsewhere multiplying is quicker by far than memory: some 8 bytes a weight at some TB/s, against
# two operations a token at some hundred T/s. An estimate, in whole powers of 2.
_TOKENS_ELSEWHERE = 512

# Elements of a sum at a time, 1 MB in fp32, so that it is multiplied by while it is in cache; but
# no fewer outputs than these, as products of few are slow.
_BLOCK, _FEWEST_OUTPUTS = 1 << 18, 256


def worth_forming(given_RTH: torch.Tensor) -> bool:
    """Return whether sums of matrices are the quicker way."""
    on_cpu = given_RTH.device.type == "cpu"
    return given_RTH.shape[1] >= (_TOKENS_ON_CPU if on_cpu else _TOKENS_ELSEWHERE)


def write_products(
    out_RTO: torch.Tensor,
    given_RTH: torch.Tensor,
    weight_HO: torch.Tensor,
    deltas: Sequence[torch.Tensor],
    groups: Sequence[Group],
) -> None:
    """Write the products of some groups of rows by sums in fp32, cast once.

    Beside the output this takes memory for a block of a sum, 1 MB or 1 kB for each input; in half
    precision for as many more blocks as there are matrices, and half a block.

    Args:
        out_RTO: where to; the rows of other groups are left alone.
        given_RTH: the inputs of all rows.
        weight_HO: what the inputs are multiplied by where all strengths are 0.
        deltas: the differences of the vectors, `[H, O]` each.
        groups: strengths of these, not all 0, and rows.
    """
    width, outputs = weight_HO.shape
    step = max(_FEWEST_OUTPUTS, _BLOCK // width)
    for first in range(0, outputs, step):
        block = slice(first, first + step)
        base, *parts = (matrix_HO[:, block].float() for matrix_HO in (weight_HO, *deltas))
        total = torch.empty_like(base)
        for strengths, rows in groups:
            start = base
            for part, strength in zip(parts, strengths, strict=True):
                if strength != 0:
                    start = torch.add(start, part, alpha=strength, out=total)
            cast = total.to(weight_HO.dtype)
            for row in rows:  # where it lies: rows of a group are rarely neighbours
                torch.mm(given_RTH[row], cast, out=out_RTO[row, :, block])

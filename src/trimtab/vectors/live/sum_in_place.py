"""The sum that a dial stands for, written into a tensor of a loaded model; see `weighted_sum`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trimtab.tensors.blocks import blocks
from trimtab.tensors.delta import Delta
from trimtab.vectors.weighted_sum import Term, aligned_end, is_own

_BLOCK_ON_CPU = 1 << 20  # elements: what all cores' caches hold
_BLOCK_ON_GPU = 1 << 26  # its memory is as quick as its cache


def write_sum(live: torch.Tensor, base: torch.Tensor, terms: Sequence[Term]) -> None:
    """Write `base + sum_d strength_d delta_d` into a tensor, in one pass over memory.

    Args:
        live: the tensor, contiguous.
        base: the base weights, of the same shape, dtype and device.
        terms: the differences, on that device too.
    """
    out, start = live.view(-1), base.reshape(-1)
    if not terms or not len(out):
        out.copy_(start)
        return
    on_cpu = live.device.type == "cpu"
    parts = list(blocks(tuple(live.shape), _BLOCK_ON_CPU if on_cpu else _BLOCK_ON_GPU))
    room = torch.empty(2, parts[0][1], dtype=torch.float32, device="cpu") if on_cpu else None
    for first, last in parts:
        if room is not None:
            _add_on_cpu(out[first:last], start[first:last], terms, first, room[:, : last - first])
        else:
            _add_on_gpu(out[first:last], start[first:last], terms, first)
        if end := aligned_end(terms):
            _correct(out[first:last], start[first:last], end, first)


def _add_on_cpu(
    out: torch.Tensor, start: torch.Tensor, terms: Sequence[Term], first: int, room: torch.Tensor
) -> None:
    """Write a block of the sum.

    Args:
        out: where to.
        start: the base weights there.
        terms: the differences.
        first: the place of the block in its tensor.
        room: two fp32 blocks to calculate in: new memory would take longer than the sums.
    """
    total, product = room
    if start.dtype == torch.float32:
        total = out
    else:
        start = total.copy_(start)
    for delta, strength in terms:
        torch.mul(delta.block(first, first + len(out)).float(), strength, out=product)
        start = torch.add(start, product, out=total)
    if total is not out:
        out.copy_(total)


def _add_on_gpu(out: torch.Tensor, start: torch.Tensor, terms: Sequence[Term], first: int) -> None:
    """Write a block of the sum: a kernel for each vector, the last of which casts as it writes."""
    *others, (delta, strength) = terms
    for other in others:
        part = other.delta.block(first, first + len(out)).float()
        start = torch.add(start, part, alpha=other.strength)
    part = delta.block(first, first + len(out)).float()
    torch.add(start, part, alpha=strength, out=out)


def _correct(out: torch.Tensor, start: torch.Tensor, end: Delta, first: int) -> None:
    if correction := end.corrected(first, first + len(out)):
        places, values = (torch.from_numpy(each).to(out.device) for each in correction)
        part = end.block(first, first + len(out)).float()[places]
        own = is_own(part, start[places].float() + part, values)
        out[places[own]] = values[own].to(out.dtype)

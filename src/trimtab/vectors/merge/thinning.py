"""Leave most elements of a vector out: all but the largest (trim), or random ones (drop)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import torch

from trimtab.config.accepted import require_choice, require_number, require_whole
from trimtab.tensors.delta import Dense
from trimtab.vectors.facts import VectorFacts
from trimtab.vectors.provenance import made
from trimtab.vectors.vector import Vector

Thinning = Callable[[str, torch.Tensor], torch.Tensor]
"""From a tensor's name and values to those of its values that stay; others are 0."""

OVER = ("tensor", "vector")
RESCALES = ("density", "l1", "none")
_HALF = 16  # bits
_FP32_HALVES = 1 << _HALF


def trim(vector: Vector, density: float, *, over: str = "tensor") -> Vector:
    """Return a vector of which only the elements that are largest by magnitude are left.

    The first step of TIES (Yadav et al., arXiv 2306.01708).

    Args:
        vector: the vector.
        density: the share of elements that stay, in (0, 1]; at least one does.
        over: where the share is taken: of each `tensor` by itself, as mergekit does (of equal
            magnitudes the first stay), or of the whole `vector`, as the paper does (of equal
            magnitudes all stay). Tensors that the vector does not change do not count.

    Raises:
        ValueError: for other values.
    """
    how = made("trim", {"": vector}, density=density, over=over)
    return _thinned(vector, trimming(vector, density, over), how)


def drop(
    vector: Vector, density: float, *, seed: int = 0, name: str = "", rescale: str = "density"
) -> Vector:
    """Return a vector of which random elements are left, and enlarged: DARE.

    `delta_i = m_i (theta_i - theta_base_i) / density` with `m_i ~ Bernoulli(density)` (Yu et al.,
    arXiv 2311.03099, whose drop rate is `1 - density`): on average over seeds the vector itself.

    Args:
        vector: the vector.
        density: the probability with which an element stays, in (0, 1].
        seed: with the two names it decides what is drawn, in whatever order tensors come.
        name: of the vector; two vectors of one name lose the same elements.
        rescale: by `density`, as the paper does; so that each tensor keeps its sum of magnitudes,
            `l1`, as mergekit does; or `none`.

    Raises:
        ValueError: for other values.
    """
    how = made("drop", {name: vector}, density=density, seed=seed, rescale=rescale)
    return _thinned(vector, dropping(density, seed, name, rescale), how)


def trimming(vector: Vector, density: float, over: str) -> Thinning:
    """Return the function that `trim` maps over a vector's tensors."""
    require_density(density)
    require_choice("over:", over, OVER)
    if over == "tensor" or density == 1:
        return lambda _, values: largest(values, density)
    threshold = magnitude_reached(vector, density)
    return lambda _, values: values * (values.abs() >= threshold)


def dropping(density: float, seed: int, name: str, rescale: str) -> Thinning:
    """Return the function that `drop` maps over a vector's tensors."""
    require_density(density)
    require_whole("seed", seed)
    require_choice("rescale:", rescale, RESCALES)

    def thin(tensor_name: str, values: torch.Tensor) -> torch.Tensor:
        if density == 1:
            return values
        stays = drawn(tuple(values.shape), density, seed, name, tensor_name).to(values.device)
        kept = values * stays
        if rescale == "density":
            return kept / density
        left = kept.abs().sum()
        return kept * (values.abs().sum() / left) if rescale == "l1" and left > 0 else kept

    return thin


def largest(values: torch.Tensor, density: float) -> torch.Tensor:
    """Return a tensor's `density * size` largest elements by magnitude; others are 0.

    Rounded down, but one at least; of equal magnitudes those that come first.
    """
    count = max(1, int(density * values.numel()))
    if count >= values.numel():
        return values
    sizes = values.abs().reshape(-1)
    least = sizes.kthvalue(values.numel() - count + 1).values
    stays = sizes > least
    level = (sizes == least).nonzero()[:, 0]
    stays[level[: count - int(stays.count_nonzero())]] = True
    return values * stays.view(values.shape)


def magnitude_reached(vector: Vector, density: float) -> float:
    """Return the magnitude that the `density * size` largest elements of a vector reach.

    The bits of magnitudes in fp32 order as the magnitudes do, so two rounds of counting, by the
    upper half of the bits and by the lower, find it exactly with a tensor at a time in memory.
    """
    place = max(1, int(density * sum(math.prod(d.shape) for d in vector.deltas.values())))
    upper, place = _nth_from_above(_counts(vector, lambda bits: bits >> _HALF), place)
    mask = _FP32_HALVES - 1
    lower, _ = _nth_from_above(
        _counts(vector, lambda bits: bits[bits >> _HALF == upper] & mask), place
    )
    return torch.tensor(upper << _HALF | lower, dtype=torch.int32).view(torch.float32).item()


def _counts(vector: Vector, half: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    total = torch.zeros(_FP32_HALVES, dtype=torch.int64)
    for delta in vector.deltas.values():
        bits = delta.dense().float().abs().reshape(-1).view(torch.int32)
        total += half(bits).bincount(minlength=_FP32_HALVES).cpu()
    return total


def _nth_from_above(counts: torch.Tensor, place: int) -> tuple[int, int]:
    """Return the highest value that `place` elements reach, and the place among its elements."""
    reached = counts.flip(0).cumsum(0)
    steps = int(torch.searchsorted(reached, place))
    before = int(reached[steps - 1]) if steps else 0
    return len(counts) - 1 - steps, place - before


def drawn(
    shape: tuple[int, ...], density: float, seed: int, vector_name: str, tensor_name: str
) -> torch.Tensor:
    """Return which elements of a tensor stay: each with probability `density`."""
    key = hashlib.sha256(f"{seed}\0{vector_name}\0{tensor_name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little", signed=True))
    return torch.rand(shape, generator=generator) < density


def require_density(density: float) -> None:
    """Refuse shares that are not in (0, 1]."""
    these = "shares of elements that stay, above 0 and up to 1, such as 0.2"
    require_number("density", density, these, above=0, most=1)


def _thinned(vector: Vector, thin: Thinning, facts: VectorFacts) -> Vector:
    deltas = {n: Dense(thin(n, d.dense().float())) for n, d in vector.deltas.items()}
    return Vector(deltas, facts)

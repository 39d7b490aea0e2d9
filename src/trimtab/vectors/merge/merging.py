"""Merge vectors of one base model into one: soups, TIES and DARE.

Each function takes vectors by name and returns what to add to the base at strength 1, in fp32; it
reads a tensor of each vector at a time. Where vectors are merely added, `apply` and `+` do:

- task arithmetic (Ilharco et al., arXiv 2212.04089): `theta_base + sum_t lambda_t tau_t`, strengths
  that need not sum to 1. Equal strengths of 1 are the sum of the vectors, of 1 / T their mean.
- ExPO (Zheng et al., arXiv 2404.16792): `theta_sft + (1 + alpha)(theta_dpo - theta_sft)`, which is
  a strength of `1 + alpha`, beyond 1.

`weights` here mean what they do in mergekit, whose results these functions give: `weight`,
`density` and `normalize` are its parameters of the same names, and its `lambda` is a strength of
the merged vector. Its `int8_mask` saves memory and changes no number.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import torch

from trimtab.tensors.delta import Delta, Dense
from trimtab.tensors.low_rank import added
from trimtab.vectors.merge.named_vectors import ForEach, Vectors, for_each, shapes, tensors
from trimtab.vectors.merge.thinning import Thinning, dropping, trimming
from trimtab.vectors.provenance import made
from trimtab.vectors.vector import Vector

_SUM_TO_ONE = 1e-6


def soup(vectors: Vectors, *, weights: Mapping[str, float] | None = None) -> Vector:
    """Return the weighted mean of vectors: a model soup, or rewarded soup.

    `tau = sum_t w_t tau_t` with `w_t >= 0` and `sum_t w_t = 1`, so `theta_base + tau` is the
    weighted mean of the fine-tuned weights. Equal weights are the uniform soup of Wortsman et al.,
    arXiv 2203.05482; one for each reward is a rewarded soup, Rame et al., arXiv 2306.04488.

    Args:
        vectors: the vectors by name.
        weights: the share of each; equal if there are none.

    Raises:
        ValueError: for weights below 0 or that do not sum to 1, and for tensors that do not match.
    """
    names = shapes(vectors)
    shares = for_each(1 / len(vectors) if weights is None else weights, vectors, "weight")
    total = math.fsum(shares.values())
    if min(shares.values()) < 0 or abs(total - 1) > _SUM_TO_ONE:
        said = ", ".join(f"{which} {share:g}" for which, share in shares.items())
        raise ValueError(
            f"weights: {said}: a soup is a mean, so weights are 0 or more and sum to 1, not "
            f"{total:g}. Any others are strengths: add the vectors, `0.8 * a + 0.8 * b`."
        )
    merged: dict[str, Delta] = {}
    for name in names:
        parts = [v.deltas[name].times(shares[w]) for w, v in vectors.items() if name in v.deltas]
        merged[name] = functools.reduce(added, parts)
    return Vector(merged, made("soup", vectors, weights=shares))


def ties(
    vectors: Vectors,
    *,
    density: ForEach = 0.2,
    weights: ForEach = 1.0,
    normalize: bool = True,
    over: str = "tensor",
) -> Vector:
    """Return vectors merged by TIES: trim, elect a sign, merge what agrees.

    For each element of the trimmed vectors `tau_t` the sign of `sum_t w_t tau_t` is elected, and

        tau = sum_{t in A} w_t tau_t / sum_{t in A} w_t

    is taken over the vectors `A` of that sign (Yadav et al., arXiv 2306.01708, whose weights are
    1). A weight scales a vector's vote as much as its share. Where votes cancel, `+` is elected.

    Args:
        vectors: the vectors by name.
        density: the share of elements that stay, in (0, 1]; the paper's 20 %.
        weights: of the vectors.
        normalize: divide by the weights of `A`; without, the merge is a sum.
        over: trim each `tensor` by itself, or the whole `vector`, as the paper does; see `trim`.

    Raises:
        ValueError: for values that are not accepted, and for tensors that do not match.
    """
    merged = _elected(vectors, _trimming(vectors, density, over), weights, normalize=normalize)
    how = made("ties", vectors, density=density, weights=weights, normalize=normalize, over=over)
    return Vector(merged, how)


def dare_ties(
    vectors: Vectors,
    *,
    density: ForEach,
    weights: ForEach = 1.0,
    normalize: bool = False,
    seed: int = 0,
    rescale: str = "density",
) -> Vector:
    """Return vectors that random elements were dropped of, merged by the signs of TIES.

    Drop and rescale is of Yu et al., arXiv 2311.03099; see `drop`.

    Args:
        vectors: the vectors by name; a name is part of what decides what its vector loses.
        density: the probability with which an element stays, in (0, 1].
        weights: of the vectors, as in `ties`.
        normalize: as in `ties`; mergekit does not, for this method.
        seed: of what is dropped.
        rescale: by `density`; `l1`, as mergekit does; or `none`: see `drop`.

    Raises:
        ValueError: for values that are not accepted, and for tensors that do not match.
    """
    thin = _dropping(vectors, density, seed, rescale)
    merged = _elected(vectors, thin, weights, normalize=normalize)
    drawn = {"density": density, "seed": seed, "rescale": rescale}
    how = made("dare_ties", vectors, **drawn, weights=weights, normalize=normalize)
    return Vector(merged, how)


def dare_linear(
    vectors: Vectors,
    *,
    density: ForEach,
    weights: ForEach = 1.0,
    seed: int = 0,
    rescale: str = "density",
) -> Vector:
    """Return the weighted sum of vectors that random elements were dropped of.

    `tau = sum_t w_t drop(tau_t)`: Yu et al., arXiv 2311.03099; see `drop`.

    Args:
        vectors: the vectors by name; a name is part of what decides what its vector loses.
        density: the probability with which an element stays, in (0, 1].
        weights: of the vectors; they need not sum to 1.
        seed: of what is dropped.
        rescale: by `density`; `l1`, as mergekit does; or `none`: see `drop`.

    Raises:
        ValueError: for values that are not accepted, and for tensors that do not match.
    """
    thin = _dropping(vectors, density, seed, rescale)
    factors = for_each(weights, vectors, "weight")
    return Vector(
        {
            name: Dense(
                _weighted(vectors, name, thin, factors)[0].sum(0, dtype=torch.float64).float()
            )
            for name in shapes(vectors)
        },
        made("dare_linear", vectors, density=density, seed=seed, rescale=rescale, weights=weights),
    )


def sign_conflicts(vectors: Vectors, *, density: ForEach = 1.0) -> float:
    """Return the share of elements at which vectors pull in opposite directions.

    It is counted among the elements that two or more of the vectors change, once trimmed: what is
    lost where vectors are merely added (Yadav et al., arXiv 2306.01708, section 3).

    Args:
        vectors: the vectors by name.
        density: what is left of them by `trim`, as a share of each tensor.

    Returns:
        A share in [0, 1]; NaN where no two vectors change an element.

    Raises:
        ValueError: for values that are not accepted, and for tensors that do not match.
    """
    thin = _trimming(vectors, density, "tensor")
    shared = opposed = 0
    for name in shapes(vectors):
        signs = [thin[w](name, part).sign().char() for w, part in tensors(vectors, name).items()]
        signs_T = torch.stack(signs)
        shared += int((signs_T.count_nonzero(0) > 1).count_nonzero())
        opposed += int((signs_T.amax(0) - signs_T.amin(0) == 2).count_nonzero())
    return opposed / shared if shared else math.nan


def _trimming(vectors: Vectors, density: ForEach, over: str) -> dict[str, Thinning]:
    densities = for_each(density, vectors, "density")
    return {which: trimming(vector, densities[which], over) for which, vector in vectors.items()}


def _dropping(vectors: Vectors, density: ForEach, seed: int, rescale: str) -> dict[str, Thinning]:
    densities = for_each(density, vectors, "density")
    return {which: dropping(densities[which], seed, which, rescale) for which in vectors}


def _weighted(
    vectors: Vectors, name: str, thin: Mapping[str, Thinning], weights: Mapping[str, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a tensor's thinned differences times their weights, `[T, ...]`, and the weights."""
    parts = {which: thin[which](name, part) for which, part in tensors(vectors, name).items()}
    stacked_T = torch.stack(list(parts.values()))
    weights_T = stacked_T.new_tensor([weights[which] for which in parts])
    weights_T = weights_T.view(-1, *[1] * (stacked_T.dim() - 1))
    return stacked_T.mul_(weights_T), weights_T


def _elected(
    vectors: Vectors, thin: Mapping[str, Thinning], weights: ForEach, *, normalize: bool
) -> dict[str, Delta]:
    factors = for_each(weights, vectors, "weight")
    if normalize and min(factors.values()) <= 0:
        said = ", ".join(f"{which} {factor:g}" for which, factor in factors.items())
        raise ValueError(
            f"weights: {said}: a mean of what agrees takes weights above 0. For the reverse of a "
            "vector give `-vector`, for a sum normalize=False."
        )
    merged: dict[str, Delta] = {}
    for name in shapes(vectors):
        parts_T, weights_T = _weighted(vectors, name, thin, factors)
        # In fp64 no order of the vectors rounds a vote to another sign.
        votes = parts_T.sum(0, dtype=torch.float64)
        agree_T = parts_T.sign() == torch.where(votes >= 0, 1.0, -1.0)
        total = (parts_T * agree_T).sum(0, dtype=torch.float64)
        if normalize:
            total /= torch.where(agree_T.any(0), (weights_T * agree_T).sum(0), 1.0)
        merged[name] = Dense(total.float())
    return merged

"""What the entries nearest to a state vote for: functions of tensors.

Legend: N states, S entries, H width of a state, D of its part that a head compares, K neighbours,
V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

# Entries whose distances are held at a time, and rows that a CPU computes together.
_BLOCK, _FEW = 1 << 18, 4


class Part(NamedTuple):
    """What one head compares of all entries.

    Attributes:
        keys_SD: their keys, from the mean of all: what states have in common, often far more than
            what tells them apart, would be most of each product, and its rounding too.
        squares_S: the squares of these.
        mean_D: the mean.
    """

    keys_SD: torch.Tensor
    squares_S: torch.Tensor
    mean_D: torch.Tensor


def parts_of(keys_SH: torch.Tensor, heads: int) -> list[Part]:
    """Cut keys into as many parts of equal width as there are heads."""
    parts = []
    for keys_SD in keys_SH.chunk(heads, dim=-1):
        mean_D = keys_SD.mean(dim=0)
        keys_SD = keys_SD - mean_D
        parts.append(Part(keys_SD, keys_SD.square().sum(dim=-1), mean_D))
    return parts


def log_votes(
    states_NH: torch.Tensor,
    parts: list[Part],
    values_S: torch.Tensor,
    *,
    neighbours: int,
    temperature: float,
    vocabulary: int,
) -> torch.Tensor:
    """Return `[N, V]`, the logarithm of each token's share of the votes; -inf without any.

    The K entries nearest to a state vote for their tokens with weights `exp(-d / temperature)`,
    normalised; d is the squared Euclidean distance. With several heads the states are cut into as
    many parts, each has neighbours of its own at distances `heads d`, and shares are averaged.
    """
    heads = len(parts)
    votes_NV = states_NH.new_zeros(len(states_NH), vocabulary)
    for states_ND, part in zip(states_NH.chunk(heads, dim=-1), parts, strict=True):
        nearest_NK = nearest(states_ND, part, neighbours)
        differences_NKD = (states_ND - part.mean_D)[:, None] - part.keys_SD[nearest_NK]
        distances_NK = differences_NKD.square().sum(dim=-1)
        weights_NK = (-heads * distances_NK / temperature).softmax(dim=-1)
        votes_NV.scatter_add_(1, values_S[nearest_NK], weights_NK)
    return (votes_NV / heads).log()


def nearest(states_ND: torch.Tensor, part: Part, count: int) -> torch.Tensor:
    """Return `[N, K]`, which entries are nearest to each state, by one matrix product.

    Rows are padded to fours: of fewer a CPU adds up in another order, and what is nearest to a
    state shall not depend on those beside it.
    """
    rows, found = len(states_ND), []
    twice_ND = 2 * (states_ND - part.mean_D)
    twice_ND = torch.nn.functional.pad(twice_ND, (0, 0, 0, -rows % _FEW))
    for first in range(0, len(part.keys_SD), _BLOCK):
        keys_BD, squares_B = (each[first : first + _BLOCK] for each in part[:2])
        # The square of the state itself is the same for all entries.
        far_NB = torch.addmm(squares_B, twice_ND, keys_BD.T, alpha=-1)[:rows]
        least_NK, places_NK = far_NB.topk(min(count, len(keys_BD)), largest=False)
        found.append((least_NK, places_NK + first))
    if len(found) == 1:
        return found[0][1]
    least_NX, places_NX = (torch.cat(each, dim=1) for each in zip(*found, strict=True))
    order_NK = least_NX.topk(min(count, least_NX.shape[1]), largest=False).indices
    return places_NX.gather(1, order_NK)

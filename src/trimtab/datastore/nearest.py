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
    """What one head compares of all entries: their keys `[S, D]` and the squares of these `[S]`."""

    keys_SD: torch.Tensor
    squares_S: torch.Tensor


def parts_of(keys_SH: torch.Tensor, heads: int) -> list[Part]:
    """Cut keys into as many parts of equal width as there are heads."""
    parts = [part.contiguous() for part in keys_SH.chunk(heads, dim=-1)]
    return [Part(keys_SD, keys_SD.square().sum(dim=-1)) for keys_SD in parts]


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
        differences_NKD = states_ND[:, None] - part.keys_SD[nearest_NK]
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
    twice_ND = torch.nn.functional.pad(2 * states_ND, (0, 0, 0, -rows % _FEW))
    for first in range(0, len(part.keys_SD), _BLOCK):
        keys_BD, squares_B = (each[first : first + _BLOCK] for each in part)
        # The square of the state itself is the same for all entries.
        far_NB = torch.addmm(squares_B, twice_ND, keys_BD.T, alpha=-1)[:rows]
        least_NK, places_NK = far_NB.topk(min(count, len(keys_BD)), largest=False)
        found.append((least_NK, places_NK + first))
    if len(found) == 1:
        return found[0][1]
    least_NX, places_NX = (torch.cat(each, dim=1) for each in zip(*found, strict=True))
    order_NK = least_NX.topk(min(count, least_NX.shape[1]), largest=False).indices
    return places_NX.gather(1, order_NK)

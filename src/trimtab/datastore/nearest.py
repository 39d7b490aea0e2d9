"""What the entries nearest to a state vote for: pure functions.

Legend: N states, S entries, H width of a state, D of its part that a head compares, K neighbours,
V vocabulary.
"""

from __future__ import annotations

import torch

# Entries whose distances are held at a time, and rows that a CPU computes together.
_BLOCK, _FEW = 1 << 18, 4


def log_votes(
    states_NH: torch.Tensor,
    keys_SH: torch.Tensor,
    values_S: torch.Tensor,
    *,
    neighbours: int,
    temperature: float,
    heads: int,
    vocabulary: int,
) -> torch.Tensor:
    """Return `[N, V]`, the logarithm of each token's share of the votes; -inf without any.

    The K entries nearest to a state vote for their tokens with weights `exp(-d / temperature)`,
    normalised; d is the squared Euclidean distance. With several heads the states are cut into as
    many parts, each has neighbours of its own at distances `heads d`, and
    their shares are averaged.
    """
    votes_NV = states_NH.new_zeros(len(states_NH), vocabulary)
    parts = states_NH.chunk(heads, dim=-1), keys_SH.chunk(heads, dim=-1)
    for states_ND, keys_SD in zip(*parts, strict=True):
        nearest_NK = nearest(states_ND, keys_SD, neighbours)
        differences_NKD = states_ND[:, None] - keys_SD[nearest_NK]
        distances_NK = differences_NKD.square().sum(dim=-1)
        weights_NK = (-heads * distances_NK / temperature).softmax(dim=-1)
        votes_NV.scatter_add_(1, values_S[nearest_NK], weights_NK)
    return (votes_NV / heads).log()


def nearest(states_ND: torch.Tensor, keys_SD: torch.Tensor, count: int) -> torch.Tensor:
    """Return `[N, K]`, which entries are nearest to each state, by one matrix product.

    Rows are padded to fours: of fewer a CPU adds up in another order, and what is nearest to a
    state shall not depend on those beside it.
    """
    rows = len(states_ND)
    padded_ND = torch.nn.functional.pad(states_ND, (0, 0, 0, -rows % _FEW))
    found = []
    for first in range(0, len(keys_SD), _BLOCK):
        block_BD = keys_SD[first : first + _BLOCK]
        # The square of the state is the same for all entries.
        far_NB = block_BD.square().sum(dim=-1) - 2 * padded_ND @ block_BD.T
        least_NK, places_NK = far_NB[:rows].topk(min(count, len(block_BD)), largest=False)
        found.append((least_NK, places_NK + first))
    least_NX, places_NX = (torch.cat(each, dim=1) for each in zip(*found, strict=True))
    order_NK = least_NX.topk(min(count, least_NX.shape[1]), largest=False).indices
    return places_NX.gather(1, order_NK)

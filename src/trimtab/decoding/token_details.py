"""What a mixture and each of its models thought of the tokens that were drawn.

Legend: N positions that are read, M those of them that a model takes part in, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch


class TokenDetails(NamedTuple):
    """Of one token that was drawn, at temperature 1, before any filter or penalty; in nats.

    Attributes:
        log_probability: under the method.
        entropy: of the method's distribution there.
        models: the log-probability under each model that was run, by its role.
    """

    log_probability: float
    entropy: float
    models: dict[str, float]


def token_details(
    tokens: Sequence[int],
    mixed_NV: torch.Tensor,
    logits: Mapping[str, torch.Tensor],
    taking_part: Mapping[str, Sequence[int]],
) -> list[TokenDetails]:
    """Return the details of some drawn tokens.

    Args:
        tokens: the N tokens.
        mixed_NV: the method's logits.
        logits: `[M, V]` of each model, by role.
        taking_part: which of the N positions its M rows are, by role.
    """
    log_p_NV = mixed_NV.log_softmax(dim=-1)
    entropies = torch.special.entr(log_p_NV.exp()).sum(dim=-1).tolist()
    by_method = _at(log_p_NV, tokens)
    models: list[dict[str, float]] = [{} for _ in tokens]
    for role, places in taking_part.items():
        found = _at(logits[role].log_softmax(dim=-1), [tokens[place] for place in places])
        for place, log_probability in zip(places, found, strict=True):
            models[place][role] = log_probability
    return list(map(TokenDetails, by_method, entropies, models))


def _at(log_p_NV: torch.Tensor, tokens: Sequence[int]) -> list[float]:
    if not tokens:
        return []
    tokens_N1 = torch.tensor(tokens, device=log_p_NV.device)[:, None]
    found: list[float] = log_p_NV.gather(1, tokens_N1)[:, 0].tolist()
    return found

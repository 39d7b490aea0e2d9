"""How several models' logits become one distribution, and what can be said of it: pure functions.

Legend: N positions, M those of them that a model takes part in, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from trimtab.decoding.predictor import TokenDetails

_LEAST = 1e-8


def linear(logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> torch.Tensor:
    """Return `sum_i weights_i logits_i`, each of shape `[N, V]`; those of weight 0 are left out.

    The geometric mixture of the models' distributions, up to normalisation.
    """
    used = [role for role, weight in weights.items() if weight != 0]
    if [weights[role] for role in used] == [1.0]:
        return logits[used[0]]
    mixed = weights[used[0]] * logits[used[0]]
    for role in used[1:]:
        mixed += weights[role] * logits[role]
    return mixed


def probabilities(logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> torch.Tensor:
    """Return `log sum_i weights_i softmax(logits_i)`, each of shape `[N, V]`; weights from 0 up."""
    used = [role for role, weight in weights.items() if weight != 0]
    if [weights[role] for role in used] == [1.0]:
        return logits[used[0]]
    parts = [logits[role].log_softmax(dim=-1) + math.log(weights[role]) for role in used]
    return torch.stack(parts).logsumexp(dim=0)


def power_mean(
    logits: Mapping[str, torch.Tensor], weights: Mapping[str, float], alpha: float
) -> torch.Tensor:
    """Return `log (sum_i weights_i softmax(logits_i)^-alpha)^(-1/alpha)`; see `probabilities`.

    alpha = 1 is the harmonic mean, alpha = -1 the arithmetic one.
    """
    used = [role for role, weight in weights.items() if weight != 0]
    parts = [math.log(weights[role]) - alpha * logits[role].log_softmax(dim=-1) for role in used]
    return torch.stack(parts).logsumexp(dim=0).div_(-alpha)


def blended(base_NV: torch.Tensor, guide_NV: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return `log (a p_guide + (1 - a) p_base)` where `max p_base < threshold`, else `log p_base`.

    The weight a is what the guide's confidence is of both, and a tenth of what the base gives the
    guide's choice, at most 1: BlendIn's.
    """
    base_NV, guide_NV = base_NV.log_softmax(dim=-1), guide_NV.log_softmax(dim=-1)
    sure_N1 = base_NV.amax(dim=-1, keepdim=True).exp()
    guide_N1, choice_N1 = guide_NV.max(dim=-1, keepdim=True)
    guide_N1 = guide_N1.exp()
    share_N1 = guide_N1 / (sure_N1 + guide_N1) + 0.1 * base_NV.gather(-1, choice_N1).exp()
    share_N1 = share_N1.clamp(max=1.0)
    blend_NV = torch.logaddexp(guide_NV + share_N1.log(), base_NV + torch.log1p(-share_N1))
    return torch.where(sure_N1 < threshold, blend_NV, base_NV)


def among(kept_NV: torch.Tensor, mixed_NV: torch.Tensor) -> torch.Tensor:
    """Return mixed logits, -inf where a filter has left -inf of others (see `filters`)."""
    return mixed_NV.masked_fill(kept_NV.isneginf(), -torch.inf)


def amplified(
    base_NV: torch.Tensor, expert_NV: torch.Tensor, strength: float, common: int
) -> torch.Tensor:
    """Return `log(p_base + strength (p_expert - p_base))` of tokens that both rank high, else -inf.

    These are the tokens among both models' k most likely, with the smallest k that leaves `common`
    of them. Of one that comes to less than 1e-8, that is the probability.

    Args:
        base_NV: a model's logits.
        expert_NV: another's.
        strength: how much of the difference is added.
        common: how many tokens are left, at least.
    """
    ranks_NV = torch.maximum(_ranks(base_NV), _ranks(expert_NV))
    common = min(common, ranks_NV.shape[-1])
    last_N1 = ranks_NV.kthvalue(common, dim=-1, keepdim=True).values
    p_base_NV, p_expert_NV = base_NV.softmax(dim=-1), expert_NV.softmax(dim=-1)
    p_NV = p_base_NV + strength * (p_expert_NV - p_base_NV)
    return p_NV.clamp(min=_LEAST).log().masked_fill(ranks_NV > last_N1, -torch.inf)


def _ranks(logits_NV: torch.Tensor) -> torch.Tensor:
    """Return each token's place among those of its row, the most likely first."""
    order_NV = logits_NV.argsort(dim=-1, descending=True, stable=True)
    places_V = torch.arange(order_NV.shape[-1], device=order_NV.device)
    return torch.empty_like(order_NV).scatter_(-1, order_NV, places_V.expand_as(order_NV))


def divergence(mixed_NV: torch.Tensor, reference_NV: torch.Tensor) -> torch.Tensor:
    """Return `[N]`, KL(softmax(mixed) || softmax(reference)) of each row, in nats."""
    log_ratio_NV = mixed_NV.log_softmax(dim=-1).sub_(reference_NV.log_softmax(dim=-1))
    p_NV = mixed_NV.softmax(dim=-1)
    terms_NV = p_NV * log_ratio_NV
    sums_N = terms_NV.sum(dim=-1)
    if sums_N.isnan().any():  # what has no probability has no part, whatever its ratio
        sums_N = torch.where(p_NV > 0, terms_NV, 0.0).sum(dim=-1)
    return sums_N.clamp(min=0.0)  # rounding may leave it below 0


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
        alone = logits[role].is_set_to(mixed_NV)
        own_NV = log_p_NV if alone else logits[role].log_softmax(dim=-1)
        found = _at(own_NV, [tokens[place] for place in places])
        for place, log_probability in zip(places, found, strict=True):
            models[place][role] = log_probability
    return list(map(TokenDetails, by_method, entropies, models))


def _at(log_p_NV: torch.Tensor, tokens: Sequence[int]) -> list[float]:
    if not tokens:
        return []
    tokens_N1 = torch.tensor(tokens, device=log_p_NV.device)[:, None]
    found: list[float] = log_p_NV.gather(1, tokens_N1)[:, 0].tolist()
    return found

"""Which tokens a draw is among; those that are dropped have logits of -inf.

Legend: N draws, V vocabulary.
"""

import math

import torch

# The sum of a row that is at least so long does not depend on how many zeros follow.
LONG = 64


def keep_top_k(logits_NV: torch.Tensor, k: int) -> torch.Tensor:
    """Return logits with all but the k largest of each row at -inf; k = 0 keeps all."""
    if k == 0 or k >= logits_NV.shape[-1]:
        return logits_NV
    smallest_kept_N1 = logits_NV.topk(k, dim=-1).values[:, -1:]
    return logits_NV.masked_fill(logits_NV < smallest_kept_N1, -torch.inf)


def mass_before(sorted_NV: torch.Tensor) -> torch.Tensor:
    """Return the probability of what is left of each logit of rows that fall; the first has -1.

    So the most likely one stays, where p is too small for a number's format.
    """
    missing = max(0, LONG - sorted_NV.shape[-1])
    probability_NV = torch.nn.functional.pad(sorted_NV, (0, missing), value=-torch.inf).softmax(-1)
    before_NV = probability_NV.cumsum(dim=-1).sub_(probability_NV)[:, : sorted_NV.shape[-1]]
    before_NV[:, 0] = -1.0
    return before_NV


def keep_top_p(
    logits_NV: torch.Tensor, p: float, before_NV: torch.Tensor | None = None
) -> torch.Tensor:
    """Return logits cut to each row's nucleus: the fewest most likely tokens that hold p.

    Holtzman et al., arXiv 1904.09751. p = 1 keeps all.

    Args:
        logits_NV: the logits.
        p: the probability.
        before_NV: the `mass_before`, where `logits_NV` are the first of more.
    """
    if p >= 1:
        return logits_NV
    sorted_NV, order_NV = logits_NV.sort(dim=-1, descending=True, stable=True)
    if before_NV is None:
        before_NV = mass_before(sorted_NV)
    dropped_NV = torch.zeros_like(before_NV, dtype=torch.bool).scatter(-1, order_NV, before_NV >= p)
    return logits_NV.masked_fill(dropped_NV, -torch.inf)


def keep_min_p(logits_NV: torch.Tensor, p: float) -> torch.Tensor:
    """Return logits without the tokens that are less than p times as likely as a row's first.

    Nguyen et al., arXiv 2407.01082. p = 0 keeps all.
    """
    if p == 0:
        return logits_NV
    largest_N1 = logits_NV.amax(dim=-1, keepdim=True)
    return logits_NV.masked_fill(logits_NV < largest_N1 + math.log(p), -torch.inf)

"""Drawing a token: pure functions of logits and of names, the same on every device.

`token = argmax(filtered(logits / T) + g)` with Gumbel noise g (the Gumbel-max trick: Gumbel, 1954;
Maddison et al., arXiv 1411.0030), where g is a function of (seed, sample id, role of the speaker,
position, token id). So a draw does not depend on batch size, order, resuming, or on whether tokens
were drafted; nor on which tokens are left out before it because they cannot win. Legend: N draws, U
draws of different noise, V vocabulary, K tokens of a short list.
"""

from collections.abc import Collection, Sequence

import torch

from trimtab.decoding import noise, shortlist
from trimtab.decoding.filters import LONG, keep_min_p, keep_top_k, keep_top_p
from trimtab.decoding.large_rows import is_large

# Quotients by these temperatures are finite, and tell any two logits apart, in single precision.
_ORDINARY = (1e-6, 1e6)


def most_likely(logits_NV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `[N]` and `[N]`, the largest logit of each row and the first token that has it."""
    if is_large(logits_NV):
        return shortlist.largest(logits_NV)
    top_N, tokens_N = logits_NV.max(dim=-1)
    return top_N, tokens_N


def tempered(logits_NV: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return logits divided by a temperature above 0, up to a constant of each row.

    At the far ends the largest of a row is taken off before, in double precision: the coldest
    draws are then those of the most likely token, and the hottest those of any alike.
    """
    if temperature == 1:
        return logits_NV
    if _ORDINARY[0] <= temperature <= _ORDINARY[1]:
        return logits_NV / temperature
    logits_NV = logits_NV.double()
    return (logits_NV - logits_NV.amax(dim=-1, keepdim=True)) / temperature


def penalized(
    logits_NV: torch.Tensor, said: Sequence[Collection[int]], penalty: float
) -> torch.Tensor:
    """Return logits with those of the tokens that each row has said made smaller.

    Keskar et al., arXiv 1909.05858, as transformers does it: above 0 divided by the penalty, below
    multiplied.
    """
    rows = [row for row, tokens in enumerate(said) for _ in tokens]
    columns = [token for tokens in said for token in tokens]
    places = tuple(torch.tensor(each, device=logits_NV.device) for each in (rows, columns))
    before = logits_NV[places]
    penalized_NV = logits_NV.clone()
    penalized_NV[places] = torch.where(before < 0, before * penalty, before / penalty)
    return penalized_NV


def draw(
    logits_NV: torch.Tensor,
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float = 0.0,
    keys: list[int],
    positions: list[int],
) -> torch.Tensor:
    """Return `tokens_N`: the most likely token at temperature 0, else a draw.

    Draws are from the filtered distribution, in the order temperature, top-k, top-p, min-p.
    """
    if temperature == 0:
        return most_likely(logits_NV)[1]
    # Several draws may share their noise: those of one sample at several strengths do.
    names = list(zip(keys, positions, strict=True))
    places = {name: noise.place(*name) for name in dict.fromkeys(names)}
    if is_large(logits_NV):
        rows = zip(logits_NV.split(1), names, strict=True)
        drawn = [
            _draw_one(tempered(row_1V, temperature)[0], places[name], top_k, top_p, min_p)
            for row_1V, name in rows
        ]
        return torch.stack(drawn)
    filtered_NV = keep_top_k(tempered(logits_NV, temperature), top_k)
    filtered_NV = keep_min_p(keep_top_p(filtered_NV, top_p), min_p)
    device = logits_NV.device
    place_U1 = torch.tensor([*places.values()], dtype=torch.int32, device=device)[:, None]
    noise_UV = noise.gumbel(noise.bits(place_U1, noise.mixed_tokens(logits_NV.shape[-1], device)))
    if len(places) < len(names):
        order = {name: i for i, name in enumerate(places)}
        noise_UV = noise_UV[torch.tensor([order[name] for name in names], device=device)]
    return (filtered_NV + noise_UV).argmax(dim=-1)


def _draw_one(
    logits_V: torch.Tensor, place: int, top_k: int, top_p: float, min_p: float
) -> torch.Tensor:
    """Return the token that is drawn, from a short list of those that it can be."""
    if not logits_V.amax().isfinite():
        return logits_V.argmax()  # who reads its probability refuses it
    before_K = None
    if 0 < top_k < len(logits_V):
        tokens_K = shortlist.foremost(logits_V, max(top_k, LONG))
    elif top_p < 1:
        tokens_K, before_K = shortlist.nucleus(logits_V, top_p)
    elif min_p:
        tokens_K = shortlist.likely(logits_V, min_p)
    else:
        tokens_K = shortlist.contenders(logits_V, place)
    few_1K = logits_V[None, tokens_K]
    filtered_1K = keep_min_p(keep_top_p(keep_top_k(few_1K, top_k), top_p, before_K), min_p)
    bits_K = noise.bits(place, noise.mixed_tokens(len(logits_V), logits_V.device)[tokens_K])
    return tokens_K[(filtered_1K + noise.gumbel(bits_K)).argmax()]

"""Drawing a token: pure functions of logits and of names, the same on every device.

`token = argmax(filtered(logits / T) + g)` with Gumbel noise g (the Gumbel-max trick: Gumbel, 1954;
Maddison et al., arXiv 1411.0030), where g is a function of (seed, sample id, role of the speaker,
position, token id) computed by integer hashing. So a draw does not depend on batch size, order,
resuming, or on whether tokens were drafted. Legend: N draws, V vocabulary.
"""

import math
from collections.abc import Collection, Sequence
from functools import lru_cache

import torch

_WORD = 0xFFFFFFFF
# Quotients by these temperatures are finite, and tell any two logits apart, in single precision.
_ORDINARY = (1e-6, 1e6)


def _mix(x: torch.Tensor) -> torch.Tensor:
    """Scramble 32-bit words held in int64 (the finalizer of MurmurHash3; every bit matters)."""
    x = x ^ (x >> 16)  # a copy, which the rest is done in
    x.mul_(0x85EBCA6B).bitwise_and_(_WORD)
    x.bitwise_xor_(x >> 13).mul_(0xC2B2AE35).bitwise_and_(_WORD)
    return x.bitwise_xor_(x >> 16)


@lru_cache(maxsize=8)  # alike in every draw
def _mixed_tokens(vocabulary_size: int, device: torch.device) -> torch.Tensor:
    return _mix(torch.arange(vocabulary_size, device=device)[None])


def gumbel_noise(
    keys: list[int], positions: list[int], vocabulary_size: int, device: torch.device
) -> torch.Tensor:
    """Return `noise_NV`, standard Gumbel, fp64; entry (n, v) depends on its key, position and v."""
    low_N1 = torch.tensor([[k & _WORD] for k in keys], device=device)
    high_N1 = torch.tensor([[k >> 32] for k in keys], device=device)
    position_N1 = torch.tensor([[p] for p in positions], device=device)
    place_N1 = _mix(_mix(position_N1 ^ low_N1) ^ high_N1)
    bits_NV = _mix(_mixed_tokens(vocabulary_size, device) ^ place_N1)
    uniform_NV = bits_NV.double().add_(0.5).div_(2.0**32)
    return uniform_NV.log_().neg_().log_().neg_()


def tempered(logits_NV: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return logits divided by a temperature above 0, up to a constant of each row.

    At the far ends the largest of a row is taken off before, in double precision: the coldest
    draws are then those of the most likely token, and the hottest those of any alike.
    """
    if _ORDINARY[0] <= temperature <= _ORDINARY[1]:
        return logits_NV / temperature
    logits_NV = logits_NV.double()
    return (logits_NV - logits_NV.amax(dim=-1, keepdim=True)) / temperature


def keep_top_k(logits_NV: torch.Tensor, k: int) -> torch.Tensor:
    """Return logits with all but the k largest of each row at -inf; k = 0 keeps all."""
    if k == 0 or k >= logits_NV.shape[-1]:
        return logits_NV
    smallest_kept_N1 = logits_NV.topk(k, dim=-1).values[:, -1:]
    return logits_NV.masked_fill(logits_NV < smallest_kept_N1, -torch.inf)


def keep_top_p(logits_NV: torch.Tensor, p: float) -> torch.Tensor:
    """Return logits cut to each row's nucleus: the fewest most likely tokens that hold p.

    Holtzman et al., arXiv 1904.09751. p = 1 keeps all.
    """
    if p >= 1:
        return logits_NV
    sorted_NV, order_NV = logits_NV.sort(dim=-1, descending=True, stable=True)
    probability_NV = sorted_NV.softmax(dim=-1)
    before_NV = probability_NV.cumsum(dim=-1) - probability_NV
    before_NV[:, 0] = -1.0  # the most likely one stays, where p is too small for a number's format
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
        return logits_NV.argmax(dim=-1)
    filtered_NV = keep_top_k(tempered(logits_NV, temperature), top_k)
    filtered_NV = keep_min_p(keep_top_p(filtered_NV, top_p), min_p)
    # Several draws may share their noise: those of one sample at several strengths do.
    places = {place: i for i, place in enumerate(dict.fromkeys(zip(keys, positions, strict=True)))}
    noise_UV = gumbel_noise(
        [key for key, _ in places],
        [position for _, position in places],
        logits_NV.shape[-1],
        logits_NV.device,
    )
    if len(places) < len(keys):
        rows = [places[place] for place in zip(keys, positions, strict=True)]
        noise_UV = noise_UV[torch.tensor(rows, device=noise_UV.device)]
    return (filtered_NV + noise_UV).argmax(dim=-1)

"""The few tokens of a large vocabulary that matter.

To copy, sort and hash hundreds of thousands of tokens costs a CPU as much as a small model does.
They are looked through in blocks, whose largest are found at the speed of memory. Legend: N rows, V
vocabulary, B blocks of W tokens, U of them, K tokens in the order of their ids.
"""

import math
from functools import lru_cache

import numpy as np
import torch

from trimtab.decoding import noise
from trimtab.decoding.filters import keep_top_p, mass_before
from trimtab.decoding.large_rows import is_large

_WIDTH = 64


def largest(logits_NV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `[N]` and `[N]`, the largest logit of each row and the first token that has it."""
    logits_NBW = _in_blocks(logits_NV)
    top_N, blocks_N = logits_NBW.amax(dim=-1).max(dim=-1)
    rows_N = torch.arange(len(logits_NV), device=logits_NV.device)
    return top_N, blocks_N * _WIDTH + logits_NBW[rows_N, blocks_N].argmax(dim=-1)


def reaching(logits_V: torch.Tensor, floor: float) -> torch.Tensor:
    """Return the `[K]` tokens whose logits are not below a floor, nor -inf."""
    floor = max(floor, torch.finfo(logits_V.dtype).min)
    logits_BW = _in_blocks(logits_V)
    blocks_U = (logits_BW.amax(dim=-1) >= floor).nonzero()[:, 0]
    return _tokens(blocks_U, logits_BW[blocks_U] >= floor)


def foremost(logits_V: torch.Tensor, least: int) -> torch.Tensor:
    """Return the `[K]` most likely tokens, at least so many where there are."""
    return reaching(logits_V, logits_V.topk(min(least, len(logits_V))).values[-1].item())


def likely(logits_V: torch.Tensor, p: float) -> torch.Tensor:
    """Return the `[K]` tokens that are at least p times as likely as the first."""
    return reaching(logits_V, (logits_V.amax() + math.log(p)).item())


def nucleus(logits_V: torch.Tensor, p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `[K]` tokens, those of the nucleus among them, and `[1, K]`, the `mass_before`.

    numpy sorts values alone, many times faster than torch sorts values and their places.
    """
    sorted_V = torch.from_numpy(np.sort(-logits_V.numpy())).neg_()
    before_V = mass_before(sorted_V[None])[0]
    last = int((_in_blocks(before_V, torch.inf).amin(dim=-1) < p).nonzero()[-1])
    tokens_K = reaching(logits_V, sorted_V[: (last + 1) * _WIDTH][-1].item())
    return tokens_K, before_V[None, : len(tokens_K)]


def keep_nucleus(logits_NV: torch.Tensor, p: float) -> torch.Tensor:
    """Return what `keep_top_p` does: logits cut to each row's nucleus."""
    if p >= 1 or not is_large(logits_NV):
        return keep_top_p(logits_NV, p)
    kept_NV = torch.full_like(logits_NV, -torch.inf)
    for kept_V, logits_V in zip(kept_NV, logits_NV, strict=True):
        if not logits_V.amax().isfinite():
            kept_V.copy_(logits_V)  # who reads its probability refuses it
            continue
        tokens_K, before_1K = nucleus(logits_V, p)
        kept_V[tokens_K] = keep_top_p(logits_V[None, tokens_K], p, before_1K)[0]
    return kept_NV


def contenders(logits_V: torch.Tensor, place: int) -> torch.Tensor:
    """Return `[K]` tokens, the one of the largest sum of logit and noise among them.

    The most likely token comes to a sum that the largest is not below: there the logit is close to
    it, or the noise is rare, which its bits tell.

    Args:
        logits_V: the logits.
        place: of the noise.
    """
    top_1, token_1 = largest(logits_V[None])
    mixed_BW = _mixed_in_blocks(len(logits_V))
    own_bits_1 = noise.bits(place, mixed_BW.view(-1)[token_1])
    reached = (top_1 + noise.gumbel(own_bits_1)).item()
    lowest = torch.finfo(logits_V.dtype).min  # what is ruled out is below
    close, possible = max(reached - noise.RARE, lowest), max(reached - noise.MOST, lowest)

    logits_BW = _in_blocks(logits_V)
    largest_B = logits_BW.amax(dim=-1)
    worth_B = (largest_B >= close) | _have_rare(place, len(logits_V)) & (largest_B >= possible)
    blocks_U = worth_B.nonzero()[:, 0]
    logits_UW = logits_BW[blocks_U]
    rare_UW = noise.bits(place, mixed_BW[blocks_U]) >= noise.RARE_BITS
    return _tokens(blocks_U, (logits_UW >= close) | rare_UW & (logits_UW >= possible))


@lru_cache(maxsize=128)  # draws of one place, as those at several strengths, have one noise
def _have_rare(place: int, vocabulary_size: int) -> torch.Tensor:
    """Return `[B]`, whether a block has a rare noise."""
    return noise.bits(place, _mixed_in_blocks(vocabulary_size)).amax(dim=-1) >= noise.RARE_BITS


def _mixed_in_blocks(vocabulary_size: int) -> torch.Tensor:
    whole = -(-vocabulary_size // _WIDTH) * _WIDTH
    return noise.mixed_tokens(whole, torch.device("cpu")).view(-1, _WIDTH)


def _in_blocks(values: torch.Tensor, filler: float = -torch.inf) -> torch.Tensor:
    """Return `[..., B, W]` of `[..., V]`."""
    missing = -values.shape[-1] % _WIDTH
    if missing:
        values = torch.nn.functional.pad(values, (0, missing), value=filler)
    return values.unflatten(-1, (-1, _WIDTH))


def _tokens(blocks_U: torch.Tensor, found_UW: torch.Tensor) -> torch.Tensor:
    rows_K, columns_K = found_UW.nonzero(as_tuple=True)
    return blocks_U[rows_K] * _WIDTH + columns_K

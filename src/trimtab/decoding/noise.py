"""The noise of draws: standard Gumbel, a function of who draws, where, and of the token.

It is made from 32 bits, by integer hashing (the finalizer of MurmurHash3; every bit matters), so it
is the same on every device and does not depend on what is computed beside it.
"""

import math
from functools import lru_cache

import torch

_WORD, _SIGN = 0xFFFFFFFF, 0x80000000
# One noise of a thousand is above this, and none above the other.
RARE, MOST = 7.0, 23.0
# Of a rare noise, as `bits` are; a little below, so that rounding leaves none out.
RARE_BITS = int(math.exp(-math.exp(0.01 - RARE)) * 2**32) - _SIGN


def place(key: int, position: int) -> int:
    """Return the hash of a draw's 64-bit key and of its position, as a signed word."""
    word = _mixed(_mixed(position ^ key & _WORD) ^ key >> 32)
    return (word ^ _SIGN) - _SIGN


@lru_cache(maxsize=8)  # alike in every draw
def mixed_tokens(count: int, device: torch.device) -> torch.Tensor:
    """Return the hashes of the first token ids, signed words in int32."""
    return _mixed_signed(torch.arange(count, dtype=torch.int32, device=device))


def bits(place: torch.Tensor | int, mixed_token: torch.Tensor) -> torch.Tensor:
    """Return what noise is made of, in int32: the more, the larger the noise.

    Args:
        place: of the draw, or of several in int32.
        mixed_token: hashes of tokens, of a shape that broadcasts with it.
    """
    return _mixed_signed(mixed_token ^ place).bitwise_xor_(-_SIGN)


def gumbel(bits: torch.Tensor) -> torch.Tensor:
    """Return the noise that is made of bits, in fp64."""
    uniform = bits.double().add_(_SIGN + 0.5).mul_(2.0**-32)
    return uniform.log_().neg_().log_().neg_()


def _mixed(word: int) -> int:
    word ^= word >> 16
    word = word * 0x85EBCA6B & _WORD
    word ^= word >> 13
    word = word * 0xC2B2AE35 & _WORD
    return word ^ word >> 16


def _mixed_signed(words: torch.Tensor) -> torch.Tensor:
    """Return the same of words in int32.

    Products wrap around; what shifts of signed words bring in on the left is taken off.
    """
    words = words ^ ((words >> 16) & 0xFFFF)  # a copy, which the rest is done in
    words.mul_(0x85EBCA6B - 2**32)
    words.bitwise_xor_((words >> 13) & 0x7FFFF).mul_(0xC2B2AE35 - 2**32)
    return words.bitwise_xor_((words >> 16) & 0xFFFF)

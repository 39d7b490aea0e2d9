"""What two token sequences have in common at their beginning, and how much of it can be kept."""

from __future__ import annotations

from collections.abc import Sequence


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the longest common prefix."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(i for i in range(length) if one[i] != other[i])


def kept_length(cached: Sequence[int], tokens: Sequence[int], last: int) -> int:
    """Return how much of a cached prefix serves `tokens`; what is to be read is computed again."""
    return min(common_prefix(cached, tokens), len(tokens) - last)

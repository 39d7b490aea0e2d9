"""What two token sequences have in common at their beginning, and how much of it can be kept."""

from __future__ import annotations

from collections.abc import Sequence


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the longest common prefix."""
    same, length = 0, min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    while length - same > 1:  # `same` are alike, `length` are not
        half = (same + length) // 2
        if one[same:half] == other[same:half]:
            same = half
        else:
            length = half
    return same


def kept_length(cached: Sequence[int], tokens: Sequence[int], last: int) -> int:
    """Return how much of a cached prefix serves `tokens`; what is to be read is computed again."""
    most, length = len(tokens) - last, len(cached)
    if length <= most and tokens[:length] == cached:  # as in nearly every step
        return length
    return min(common_prefix(cached, tokens), most)

"""What one model is known to say after which tokens, for all answers to one sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

P = TypeVar("P")


class Memo(Generic[P]):
    """Predictions by the tokens that they follow."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], P] = {}

    def missing(self, tokens: Sequence[int], last: int) -> int:
        """Return after how many of the last positions it is not known yet; 0 where it is.

        From the first that is not known on, all are to be read.
        """
        whole = tuple(tokens)
        for left in range(last, 0, -1):
            if whole[: len(whole) - left + 1] not in self._known:
                return left
        return 0

    def learn(self, tokens: Sequence[int], predictions: Sequence[P]) -> None:
        """Keep what is predicted after each of the last positions."""
        self._known.update(zip(_places(tokens, len(predictions)), predictions, strict=True))

    def recall(self, tokens: Sequence[int], last: int) -> list[P]:
        """Return the predictions after each of the last positions, of which none is missing."""
        return [self._known[place] for place in _places(tokens, last)]


def _places(tokens: Sequence[int], last: int) -> list[tuple[int, ...]]:
    whole = tuple(tokens)
    return [whole[:n] for n in range(len(whole) - last + 1, len(whole) + 1)]

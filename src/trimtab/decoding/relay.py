"""A mixture that leaves the answer to one of its models after some tokens."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.decoding.predictor import Cursor, Request


class Relay(Cursor):
    """A cursor that goes on as one of its models.

    Args:
        cursor: the mixture's.
        role: the model that goes on.
        first: after how many tokens of the answer.
    """

    def __init__(self, cursor: Cursor, role: str, first: int) -> None:
        vars(self).update(vars(cursor))
        self._mixture, self._role, self._first = cursor, role, first
        self._alone: Cursor | None = None

    def room(self, tokens: Sequence[int] = ()) -> int:
        """Return how many tokens can be drafted: a request is for one of the two."""
        left = self._first - 1 - len(tokens)
        return min(super().room(tokens), left) if left >= 0 else super().room(tokens)

    def after(
        self,
        tokens: Sequence[int],
        drafted: Sequence[int] = (),
        targets: Sequence[int] = (),
    ) -> Request:
        """Return the request to predict what follows an answer so far."""
        speaking = self._mixture
        if len(tokens) >= self._first:
            speaking = self._alone = self._alone or self._mixture.left_to(self._role)
        self.stop_tokens = speaking.stop_tokens  # who does not speak ends nothing
        return speaking.after(tokens, drafted, targets)

"""Answers while they are being made, each of which can be given up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from trimtab.config.wording import not_a_choice
from trimtab.decoding import Completion, Generation
from trimtab.methods.declaration import Declaration
from trimtab.methods.decode_together import Piece, made
from trimtab.methods.prompts import Prompts


class PieceStream(Iterator[Piece | Completion]):
    """The pieces of a method's answers as they are settled, and each completion after its own.

    In a `with` block what is left is given up at its end.

    Args:
        method: answers.
        prompts: what it is asked, by sample id.
        generation: how answers are drawn.
    """

    def __init__(
        self, method: Declaration, prompts: Mapping[str, Prompts], generation: Generation
    ) -> None:
        self._asked = prompts
        self._given_up = set[str]()
        self._items = made([method], [prompts], generation, streamed=True, given_up=self._given_up)

    def __next__(self) -> Piece | Completion:
        """Return the next piece, or a completion, of an answer that was not given up."""
        for _, item in self._items:
            if item.id not in self._given_up:
                return item
        raise StopIteration

    def give_up(self, sample_id: str) -> None:
        """Let an answer be: no pass is run for it any more, and the next one takes its row.

        Raises:
            ValueError: for a sample that was not asked.
        """
        if sample_id not in self._asked:
            raise ValueError(not_a_choice("give_up:", sample_id, self._asked))
        self._given_up.add(sample_id)

    def close(self) -> None:
        """Give up all that is left."""
        self._items.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

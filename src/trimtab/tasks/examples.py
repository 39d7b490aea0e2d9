"""Questions with their answers that are shown before a question ("few-shot")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from trimtab.models import Conversation, Exchange
from trimtab.models.conversation import exchanges
from trimtab.tasks.row import Row, is_number, plain
from trimtab.tasks.rows import read_rows

Examples = str | Sequence[Sequence[str]] | None
"""Pairs of a question and its answer, a file of such rows, or none."""


def read_examples(
    given: Examples, *, question: str = "question", answer: str = "answer"
) -> dict[str, str]:
    """Return answers by questions, in their order.

    Args:
        given: the examples.
        question: a file's column of the questions.
        answer: a file's column of the answers.

    Raises:
        ValueError: for what is none, and for a file that cannot be read.
    """
    if given is None:
        return {}
    if isinstance(given, str):
        rows = [
            Row(content=row, where=f"Row {number} of {given!r}")
            for number, row in enumerate(read_rows(Path(given).expanduser()), start=1)
        ]
        return {row.text(question): row.answer(answer) for row in rows}
    pairs = [
        [plain(text) if is_number(text) else text for text in pair]
        if isinstance(pair, Sequence) and not isinstance(pair, str)
        else pair
        for pair in given
    ]
    return dict(exchanges(pairs, "examples"))


def as_asked(
    examples: Mapping[str, str], *, prefix: str, answer_start: str = ""
) -> tuple[Exchange, ...]:
    """Return examples as a question is asked: behind its prefix, answered as answers begin."""
    space = " " if answer_start and not answer_start[-1].isspace() else ""
    return tuple(
        Exchange(f"{prefix}{question}", f"{answer_start}{space}{answer}")
        for question, answer in examples.items()
    )


def require_unanswered(conversation: Conversation, examples: Mapping[str, str], where: str) -> None:
    """Refuse a row whose answer is among the examples; `where` names it."""
    if conversation.question in examples:
        raise ValueError(
            f"{where} asks what one of the examples answers: {conversation.question!r:.80}. Show "
            "others, or leave the row out."
        )

"""One row of a benchmark, whose columns the hub and the publishers name differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row, and the errors that it can give rise to.

    Columns are given as paths in order of preference: `question.stem` is the `stem` within
    `question`.

    Args:
        content: the row by column.
        where: what file and row it is, to begin an error with.
        labelled: the split whose labels are public, where that is another one than the row's.
    """

    content: Mapping[str, Any]
    where: str
    labelled: str | None = None

    def value(self, *columns: str) -> Any:
        """Return the first of `columns` that is there and not null; None without any."""
        for column in columns:
            value: Any = self.content
            for name in column.split("."):
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is not None:
                return value
        return None

    def text(self, *columns: str) -> str:
        """Return the first of `columns` that holds text, without the spaces around it.

        Raises:
            ValueError: if none does.
        """
        for column in columns:
            value = self.value(column)
            if isinstance(value, str) and value.strip():
                return value.strip()
        raise self.unusable(f"has no text in {' or '.join(map(repr, columns))}")

    def label(self, *columns: str) -> Any:
        """Return the first of `columns` that holds a right answer: text is stripped.

        Raises:
            ValueError: if none does: splits kept for leaderboards have empty labels, or -1.
        """
        for column in columns:
            value = self.value(column)
            value = value.strip() if isinstance(value, str) else value
            if value not in (None, "", -1, []):
                return value
        problem = f"has no right answer in {' or '.join(map(repr, columns))}"
        if self.labelled:
            problem += f". The split whose answers are public: task.split={self.labelled}"
        raise self.unusable(problem)

    def unusable(self, problem: str) -> ValueError:
        """Return the error that says why the row cannot be asked."""
        columns = ", ".join(map(str, self.content)) or "none"
        return ValueError(f"{self.where} {problem}. Its columns: {columns}.")

"""One row of a data set, whose cells are read by the kind that is wanted of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trimtab.machine.printable import printable

_NUMBER = re.compile(r"(?=.*[0-9])[-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]+)?")
_NAMES = 6  # of the parts of a cell that an error shows


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row, and the errors that it can give rise to.

    Columns are given as paths in order of preference: `question.stem` is the column of this name,
    or the `stem` within `question`. Null and NaN are no values.

    Args:
        content: the row by column.
        where: what file and row it is, to begin an error with.
        labelled: the split whose labels are public, where that is another one than the row's.
    """

    content: Mapping[str, Any]
    where: str
    labelled: str | None = None

    def value(self, *columns: str) -> Any:
        """Return what the first of `columns` holds that is there; None without any."""
        return self._first(columns)[1]

    def text(self, *columns: str) -> str:
        """Return the first of `columns` that holds text, without the spaces around it.

        Raises:
            ValueError: if none does; for text that cannot be written.
        """
        for column in columns:
            value = self.value(column)
            if isinstance(value, str) and value.strip():
                return self.written(value.strip(), column)
        column, value = self._first(columns)
        if value is None or isinstance(value, str):
            raise self.unusable(f"has no text in {_either(columns)}")
        raise self._other(column, value, "text")

    def label(self, *columns: str) -> tuple[str, Any]:
        """Return the first of `columns` that holds a right answer of any kind, and the answer.

        Raises:
            ValueError: if none does: splits kept for leaderboards have empty labels, or -1.
        """
        return self._answered(columns, -1)

    def answer(self, *columns: str) -> str:
        """Return the first of `columns` that holds a right answer, a text or a number, as text.

        Raises:
            ValueError: if none does, or if it is of another kind.
        """
        column, value = self._answered(columns)
        return self.written(value, column).strip()

    def number(self, *columns: str) -> str:
        """Return a right answer that is a number: 39 for 39.0, for "39.0" and for [39.0].

        Raises:
            ValueError: if it is none.
        """
        _, value = self._answered(columns)
        if isinstance(value, list) and len(value) == 1:
            (value,) = value
        text = plain(value) if is_number(value) else value
        if not isinstance(text, str) or not _NUMBER.fullmatch(text.strip()):
            raise self.unusable(f"has an answer that is no number: {value!r}")
        figures = f"{Decimal(text.strip().replace(',', '')):f}"
        return figures.rstrip("0").rstrip(".") if "." in figures else figures

    def written(self, value: object, column: str) -> str:
        """Return a text or number of a column as text.

        Raises:
            ValueError: for anything else, and for half of a surrogate pair, which no file can hold.
        """
        if is_number(value):
            return plain(value)
        if not isinstance(value, str):
            raise self._other(column, value, "text, or a number,")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.unusable(
                f"has {printable(value[error.start])} in {column!r}, half of a surrogate pair. "
                "Write the whole character"
            ) from error
        return value

    def unusable(self, problem: str) -> ValueError:
        """Return the error that says why the row cannot be asked."""
        columns = ", ".join(map(str, self.content)) or "none"
        return ValueError(f"{self.where} {problem}. Its columns: {columns}.")

    def _first(self, columns: tuple[str, ...]) -> tuple[str, Any]:
        for column in columns:
            value: Any = self.content.get(column)
            if value is None and column not in self.content:
                value = self.content
                for name in column.split("."):
                    value = value.get(name) if isinstance(value, Mapping) else None
            if value is not None and value == value:  # NaN is not
                return column, value
        return columns[0], None

    def _answered(self, columns: tuple[str, ...], *hidden: object) -> tuple[str, Any]:
        for column in columns:
            value = self.value(column)
            value = value.strip() if isinstance(value, str) else value
            if value not in (None, "", [], *hidden):
                return column, value
        problem = f"has no right answer in {_either(columns)}"
        if self.labelled:
            problem += f". The split whose answers are public: task.split={self.labelled}"
        raise self.unusable(problem)

    def _other(self, column: str, value: object, wanted: str) -> ValueError:
        named = f"{column}.{next(iter(value), 'NAME')}" if isinstance(value, Mapping) else ""
        fix = (
            f"Name the part that is meant, such as {named!r}" if named else "Write the text itself"
        )
        return self.unusable(f"has {_kind(value)} in {column!r}, where {wanted} is read. {fix}")


def sample_id(cell: object) -> str | None:
    """Return what a cell names a sample by, a text or a number; None for what names none."""
    name = str(cell).strip() if is_number(cell) or isinstance(cell, str) else ""
    return name if name and name.isprintable() else None


def is_number(value: object) -> bool:
    """Whether a cell is a number: true and false, infinity and NaN are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return False
    return isinstance(value, int) or math.isfinite(value)


def plain(number: Any) -> str:
    """Return a number as text, without an exponent."""
    text = str(number)
    return f"{Decimal(text):f}" if "e" in text.lower() else text


def _either(columns: tuple[str, ...]) -> str:
    return " or ".join(map(repr, columns))


def _kind(value: object) -> str:
    """Return what a cell is, where text is wanted of it."""
    if isinstance(value, Mapping):
        names = list(map(str, value))
        shown = ", ".join(names[:_NAMES]) + (" ..." if len(names) > _NAMES else "")
        return f"an object of {shown}" if names else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value!r:.40} of type {type(value).__name__}"

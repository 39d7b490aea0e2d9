"""One style of table for terminals: a rule below the head, no colours, and nothing cut off."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from trimtab.machine.printable import printable

Row = Mapping[str, str]
"""A row's cells by the names of their columns."""


def styled_table(title: str = "", *, style: str = "bold") -> Table:
    """Return a table without columns.

    Args:
        title: stands above it.
        style: of that, in terms of rich.
    """
    return Table(
        title=Text(title, style=style) if title else None,
        title_justify="left",
        title_style="",
        header_style="",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


class FittingTable:
    """A table in the first of its forms that there is room for; no narrower than the last.

    First as a whole; then narrow, with heads in lines; then also without one spare column after the
    other, which a note names.

    Args:
        title: lines above it.
        wide: the rows as a whole.
        narrow: the same rows, their cells in lines where they can be.
        texts: columns of words, at the left of their cells; of others numbers stand at the right.
        spare: columns that may be lacking, the first to go first.
        notes: lines below.
    """

    def __init__(
        self,
        title: Sequence[str],
        wide: Sequence[Row],
        narrow: Sequence[Row],
        *,
        texts: Collection[str] = (),
        spare: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self._title = "".join(f"\n{printable(line)}" for line in title)
        self._wide_rows, self._narrow_rows = wide, narrow
        self._texts, self._notes = texts, notes
        self._spare = [name for name in spare if any(row.get(name) for row in narrow)]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        forms = [self._wide(), self._narrow(self._spare)]
        wide, narrow = (_width(form, console) for form in forms)
        return Measurement(min(wide, narrow), wide)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        shown, notes = self._wide(), self._notes
        if _width(shown, console) > options.max_width:
            for count in range(len(self._spare) + 1):
                shown = self._narrow(self._spare[:count])
                if _width(shown, console) <= options.max_width:
                    break
            if lacking := self._spare[:count]:
                notes = [*notes, f"No room here for {', '.join(lacking)}."]
        yield shown
        for note in notes:
            yield Text(f" {printable(note)}")

    def _wide(self) -> Table:
        return self._table(self._wide_rows, " ")

    def _narrow(self, lacking: Collection[str]) -> Table:
        rows = [{k: v for k, v in row.items() if k not in lacking} for row in self._narrow_rows]
        return self._table(rows, "\n")

    def _table(self, rows: Sequence[Row], between_words: str) -> Table:
        table = styled_table(self._title)
        shown = [name for name in rows[0] if any(row[name] for row in rows)]
        for name in shown:
            head = printable(name).replace(" ", between_words)
            cells = [head, *(row[name] for row in rows)]
            table.add_column(
                Text(head),
                justify="left" if name in self._texts else "right",
                no_wrap=True,
                min_width=max(Text(line).cell_len for cell in cells for line in cell.split("\n")),
            )
        for row in rows:
            table.add_row(*(Text(row[name]) for name in shown))
        return table


def _width(table: Table, console: Console) -> int:
    unbounded = console.options.update(max_width=sys.maxsize)
    return Measurement.get(console, unbounded, table).minimum

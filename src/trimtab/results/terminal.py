"""A table over run folders: what was run, its scores with intervals, and what it cost."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from trimtab.machine.printable import printable
from trimtab.results.comparisons import Comparison, comparisons, notes
from trimtab.results.differences import differing, in_words
from trimtab.results.finished import short_ids
from trimtab.results.frames import Run, by_question

_TEXTS = ("run", "method", "models", "settings")
_SPARE = ("tokens/s", "guide words", "wins")  # in the order in which narrow tables lack them
_NARROW = 22  # characters of a name where a table is to be narrow


def render(found: Sequence[Run], against: Run | None = None) -> Group:
    """Return a table per task; with `against`, columns compare each run with that one, paired.

    Each is as wide as it is whole or, where there is no room for that, has its cells in lines.
    """
    return Group(*(_TaskTable(group, against) for group in by_question(found)))


class _TaskTable:
    """The table of one task, in the form that fits."""

    def __init__(self, runs: Sequence[Run], against: Run | None) -> None:
        runs = sorted(runs, key=lambda run: (run.method, run.models, run.value or 0))
        first = runs[0]
        self._title = f"{first.task} ({first.source}): {first.metric} [95 % interval]"
        compared = comparisons(runs, against) if against else []
        self._rows = [
            _row(run, name, settings, compared[place] if compared else None)
            for place, (run, name, settings) in enumerate(
                zip(runs, short_ids(runs), differing(runs), strict=True)
            )
        ]
        self._notes = notes(runs, compared, against)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        forms = [self._wide(), self._narrow(_SPARE)]
        wide, narrow = (_width(form, console) for form in forms)
        return Measurement(min(wide, narrow), wide)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        shown, notes = self._wide(), self._notes
        if _width(shown, console) > options.max_width:
            for count in range(len(_SPARE) + 1):
                shown = self._narrow(_SPARE[:count])
                if _width(shown, console) <= options.max_width:
                    break
            lacking = [name for name in _SPARE[:count] if name in self._rows[0]]
            if lacking:
                notes = [*notes, f"No room here for {', '.join(lacking)}."]
        yield shown
        for note in notes:
            yield Text(f" {printable(note)}")

    def _wide(self) -> Table:
        wrapped = {"models": 28, "settings": 40}
        rows = [
            {
                name: _wrapped(parts, wrapped[name]) if name in wrapped else " ".join(parts)
                for name, parts in row.items()
            }
            for row in self._rows
        ]
        return self._table(rows)

    def _narrow(self, lacking: Sequence[str]) -> Table:
        """Return the table with one column of names, and with intervals below what they are of."""
        rows = [
            {"run": "\n".join(_wrapped(row[name], _NARROW) for name in _TEXTS if row[name])}
            | {
                name: "\n".join(parts)
                for name, parts in row.items()
                if name not in (*_TEXTS, *lacking)
            }
            for row in self._rows
        ]
        return self._table(rows, narrow=True)

    def _table(self, rows: Sequence[Mapping[str, str]], *, narrow: bool = False) -> Table:
        table = Table(
            title=Text(f"\n{printable(self._title)}", style="bold"),
            title_justify="left",
            header_style="",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        shown = [name for name in rows[0] if any(row[name] for row in rows)]
        for name in shown:
            head = printable(name).replace(" ", "\n" if narrow else " ")
            lines = [
                line for row in rows for line in (head, row[name]) for line in line.split("\n")
            ]
            justify: Literal["left", "right"] = "left" if name in _TEXTS else "right"
            least = max(Text(line).cell_len for line in lines)
            table.add_column(Text(head), justify=justify, no_wrap=True, min_width=least)
        for row in rows:
            table.add_row(*(Text(row[name]) for name in shown))
        return table


def _row(
    run: Run, name: str, settings: Mapping[str, str], compared: Comparison | None
) -> dict[str, list[str]]:
    """Return a run's cells, each as parts that stand side by side or, in a narrow table, below."""
    cells = {
        "run": [name],
        "method": [run.method],
        "models": [run.models],
        "settings": in_words(settings),
        "dial": [] if run.value is None else [f"{run.value:g}"],
        "n": run.count.split(" ", 1),
        run.metric: _estimate(run.score["value"], run.score["ci95"]),
        "guide words": _guide_ratio(run),
        "tokens/s": _speed(run),
        **(_compared(compared) if compared else {}),
    }
    return {column: [printable(part) for part in parts] for column, parts in cells.items()}


def _wrapped(parts: Sequence[str], width: int) -> str:
    return "\n".join(
        line
        for part in parts
        for line in textwrap.wrap(part, width, break_long_words=False, break_on_hyphens=False)
    )


def _width(table: Table, console: Console) -> int:
    unbounded = console.options.update(max_width=sys.maxsize)
    return Measurement.get(console, unbounded, table).minimum


def _estimate(value: float, ci95: Sequence[float] | None, form: str = ".3f") -> list[str]:
    low_high = [] if ci95 is None else [f"[{ci95[0]:{form}}, {ci95[1]:{form}}]"]
    return [f"{value:{form}}", *low_high]


def _guide_ratio(run: Run) -> list[str]:
    ratio = run.summary["metrics"].get("guide_ratio")
    return [f"{100 * ratio['value']:.1f} %"] if ratio else []


def _speed(run: Run) -> list[str]:
    speed = run.summary["cost"]["tokens_per_second"]
    return [] if speed is None else [f"{speed:,.0f}"]


def _compared(comparison: Comparison) -> dict[str, list[str]]:
    """Return the mean difference with its p-value, and the share of samples won, half of ties."""
    paired, wins = comparison.paired, comparison.wins
    if paired is None or wins is None:
        return {"difference": [comparison.reason], "p (Holm)": [], "wins": []}
    p = comparison.p_value
    low, high = wins.ci95
    return {
        "difference": _estimate(paired.difference, paired.ci95, "+.3f"),
        "p (Holm)": [] if p is None else [f"{p:.2g}"],
        "wins": [f"{100 * wins.value:.0f} %", f"[{100 * low:.0f}, {100 * high:.0f}]"],
    }

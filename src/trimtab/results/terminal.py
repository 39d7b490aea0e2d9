"""A table over run folders: what was run, its scores with intervals, and what it cost."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.console import Group

from trimtab.config.accepted import require_choice
from trimtab.machine.numbers_as_text import (
    DIFFERENCE,
    SCORE,
    estimate,
    p_value,
    percent,
    percent_interval,
    speed,
)
from trimtab.machine.printable import printable
from trimtab.machine.table_style import FittingTable
from trimtab.results import quantities
from trimtab.results.chosen_columns import Choice
from trimtab.results.comparisons import Comparison, comparisons, notes
from trimtab.results.differences import differing, in_words
from trimtab.results.finished import short_ids
from trimtab.results.frames import Run, by_question

_TEXTS = ("run", "method", "models", "settings")
_SPARE = ("tokens/s", "guide words", "wins")  # in the order in which narrow tables lack them
_WRAPPED = {"models": 28, "settings": 40}  # characters of a line
_NARROW = 22  # characters of a name where a table is to be narrow


def render(found: Sequence[Run], against: Run | None = None, columns: Choice = None) -> Group:
    """Return a table per task.

    Each is as wide as it is whole or, where there is no room for that, has its cells in lines.

    Args:
        found: the runs.
        against: a run with which columns compare each, paired.
        columns: those beside the run's name and the comparison, as a report's tables have them;
            None for the usual ones.

    Raises:
        ValueError: for a column that no table can have, or two with one head.
    """
    groups = by_question(found)
    _require(columns, groups)
    return Group(*(_task_table(group, against, columns) for group in groups))


def _require(columns: Choice, groups: Sequence[Sequence[Run]]) -> None:
    heads = ["run", *(_head(name, title) for name, title in columns or ())]
    if twice := next((head for head in heads if heads.count(head) > 1), None):
        raise ValueError(
            f"--columns: two columns have the head {twice!r}. Name each once, with a head of its "
            "own; the run's name always stands first."
        )
    known = {*_TEXTS, "dial", "n", *(name for runs in groups for name in quantities.every(runs))}
    for name, _ in columns or ():
        require_choice("--columns:", name, known - {"run"})


def _task_table(runs: Sequence[Run], against: Run | None, columns: Choice) -> FittingTable:
    """Return the table of one task; narrow, it has one column of names."""
    runs = sorted(runs, key=lambda run: (run.method, run.models, run.value or 0))
    first = runs[0]
    compared = comparisons(runs, against) if against else []
    rows = [
        _row(run, name, settings, columns, compared[place] if compared else None)
        for place, (run, name, settings) in enumerate(
            zip(runs, short_ids(runs), differing(runs), strict=True)
        )
    ]
    heads = {name: _head(name, title) for name, title in columns or ()}
    return FittingTable(
        [f"{first.task} ({first.source}): {first.metric} [95 % interval]"],
        [_headed(_wide(row), heads) for row in rows],
        [_headed(_narrow(row), heads) for row in rows],
        texts=[heads.get(name, name) for name in _TEXTS],
        spare=_SPARE,
        notes=notes(runs, compared, against),
    )


def _wide(row: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {
        name: _wrapped(parts, _WRAPPED[name]) if name in _WRAPPED else " ".join(parts)
        for name, parts in row.items()
    }


def _narrow(row: Mapping[str, Sequence[str]]) -> dict[str, str]:
    names = "\n".join(_wrapped(row[name], _NARROW) for name in _TEXTS if row.get(name))
    others = {name: "\n".join(parts) for name, parts in row.items() if name not in _TEXTS}
    return {"run": names} | others


def _head(name: str, title: str | None) -> str:
    return title or quantities.label(name, short=True)


def _headed(row: Mapping[str, str], heads: Mapping[str, str]) -> dict[str, str]:
    return {heads.get(name, name): cell for name, cell in row.items()}


def _row(
    run: Run,
    name: str,
    settings: Mapping[str, str],
    columns: Choice,
    compared: Comparison | None,
) -> dict[str, list[str]]:
    """Return a run's cells, each as parts that stand side by side or, in a narrow table, below."""
    usual = {
        "run": [name],
        "method": [run.method],
        "models": [run.models],
        "settings": in_words(settings),
        "dial": [] if run.value is None else [f"{run.value:g}"],
        "n": run.count.split(" ", 1),
        run.metric: _estimate(run.score["value"], run.score["ci95"]),
        "guide words": _guide_ratio(run),
        "tokens/s": [speed(run.summary["cost"]["tokens_per_second"])],
    }
    names = usual if columns is None else ["run", *(name for name, _ in columns)]
    cells = {name: usual[name] if name in usual else _quantity(run, name) for name in names}
    cells |= _compared(compared) if compared else {}
    return {column: [printable(part) for part in parts] for column, parts in cells.items()}


def _wrapped(parts: Sequence[str], width: int) -> str:
    return "\n".join(
        line
        for part in parts
        for line in textwrap.wrap(part, width, break_long_words=False, break_on_hyphens=False)
    )


def _estimate(value: float, ci95: Sequence[float] | None, form: str = SCORE) -> list[str]:
    return estimate(value, ci95, form).split(" ", 1)


def _quantity(run: Run, name: str) -> list[str]:
    reading = quantities.read(run, name)
    if reading is None:
        return []
    parts = [quantities.text(name, reading.value), quantities.interval_text(name, reading)]
    if unscored := run.unscored(name):
        parts.append(f"({unscored} unscored)")
    return [part for part in parts if part]


def _guide_ratio(run: Run) -> list[str]:
    ratio = run.summary["metrics"].get("guide_ratio")
    return [percent(ratio["value"], ".1f")] if ratio else []


def _compared(comparison: Comparison) -> dict[str, list[str]]:
    """Return the mean difference with its p-value, and the share of samples won, half of ties."""
    paired, wins = comparison.paired, comparison.wins
    if paired is None or wins is None:
        return {"difference": [comparison.reason], "p (Holm)": [], "wins": []}
    return {
        "difference": _estimate(paired.difference, paired.ci95, DIFFERENCE),
        "p (Holm)": [p_value(comparison.p_value)],
        "wins": [percent(wins.value, ".0f"), percent_interval(wins.ci95)],
    }

"""A table over run folders: what was run, its scores with intervals, and what it cost."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from trimtab.differences import differing, in_words
from trimtab.results import OtherRows, Run, by_question, compare, compare_wins

_SHORT = 6  # digits of a fingerprint that tell runs apart at a glance
_TEXTS = ("run", "method", "models", "settings")


def render(found: Sequence[Run], against: Run | None = None) -> Group:
    """Return a table per task; with `against`, a column compares each run with that one, paired."""
    return Group(*(_task_table(group, against) for group in by_question(found)))


def _task_table(runs: Sequence[Run], against: Run | None) -> Table:
    found = sorted(runs, key=lambda run: (run.method, run.models, run.value or 0))
    task, source = found[0].task, found[0].source
    metric = found[0].metric
    table = Table(
        title=f"\n{task} ({source}): {metric} [95 % interval]",
        title_justify="left",
        title_style="bold",
        header_style="",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    rows = [
        {
            "run": run.folder.name[:_SHORT],
            "method": run.method,
            "models": _wrapped(run.models, 28),
            "settings": "\n".join(_wrapped(setting, 40) for setting in in_words(settings)),
            "dial": "" if run.value is None else f"{run.value:g}",
            "n": run.count,
            metric: _score(run.score),
            "guide words": _guide_ratio(run),
            "tokens/s": _speed(run),
            **(_compared(run, against) if against else {}),
        }
        for run, settings in zip(found, differing(found), strict=True)
    ]
    shown = [name for name in rows[0] if name != "settings" or any(row[name] for row in rows)]
    for name in shown:
        lines = [line for row in rows for line in (name, *row[name].splitlines())]
        justify: Literal["left", "right"] = "left" if name in _TEXTS else "right"
        table.add_column(name, justify=justify, no_wrap=True, min_width=max(map(len, lines)))
    for row in rows:
        table.add_row(*(Text(row[name]) for name in shown))
    return table


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))


def _guide_ratio(run: Run) -> str:
    ratio = run.summary["metrics"].get("guide_ratio")
    return f"{100 * ratio['value']:.1f} %" if ratio else ""


def _speed(run: Run) -> str:
    speed = run.summary["cost"]["tokens_per_second"]
    return "" if speed is None else f"{speed:,.0f}"


def _score(estimate: Mapping[str, Any]) -> str:
    value = f"{estimate['value']:.3f}"
    if estimate["ci95"] is None:
        return value
    low, high = estimate["ci95"]
    return f"{value} [{low:.3f}, {high:.3f}]"


def _compared(run: Run, against: Run) -> dict[str, str]:
    """Return the mean difference with its p-value, and the share of samples won, half of ties."""
    if run.folder == against.folder:
        return {"difference": "-", "wins": ""}
    if run.task != against.task or run.metric != against.metric:
        return {"difference": "", "wins": ""}
    try:
        paired = compare(run, against)
    except OtherRows:
        return {"difference": "other samples", "wins": ""}
    p = "" if paired.p_value is None else f", p = {paired.p_value:.2g}"
    wins = compare_wins(run, against)
    low, high = wins.ci95
    won = f"{100 * wins.value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    return {"difference": f"{paired.difference:+.3f}{p}", "wins": won}

"""A table over run folders: what was run, its scores with intervals, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from trimtab.results import Run, compare, compare_wins

_SHORT = 6  # digits of a fingerprint that tell runs apart at a glance


def render(found: Sequence[Run], against: Run | None = None) -> Group:
    """Return a table per task; with `against`, a column compares each run with that one, paired."""
    tasks = sorted({(run.task, run.source, run.metric) for run in found})
    return Group(
        *(
            _task_table(
                f"{task} ({source}): {metric}",
                [
                    run
                    for run in found
                    if (run.task, run.source, run.metric) == (task, source, metric)
                ],
                against,
            )
            for task, source, metric in tasks
        )
    )


def _task_table(title: str, found: Sequence[Run], against: Run | None) -> Table:
    metric = found[0].metric
    table = Table(
        title=f"\n{title} [95 % interval]",
        title_justify="left",
        title_style="bold",
        header_style="",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("run", no_wrap=True)
    table.add_column("method", no_wrap=True)
    table.add_column("models", min_width=28)
    for name in ("dial", "n", metric, "guide words", "tokens/s"):
        table.add_column(name, justify="right", no_wrap=name != "guide words")
    if against:
        table.add_column("difference", justify="right", no_wrap=True)
        table.add_column("wins", justify="right", no_wrap=True)
    for run in sorted(found, key=lambda r: (r.method, r.models, r.value or 0)):
        cells = [
            run.folder.name[:_SHORT],
            run.method,
            run.models,
            "" if run.value is None else f"{run.value:g}",
            str(run.score["n"]),
            _score(run.score),
            _guide_ratio(run),
            _speed(run),
        ]
        table.add_row(*cells, *(_compared(run, against) if against else ()))
    return table


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


def _compared(run: Run, against: Run) -> tuple[str, str]:
    """Return the mean difference with its p-value, and the share of samples won, half of ties."""
    if run.folder == against.folder:
        return "-", ""
    if run.task != against.task or run.metric != against.metric:
        return "", ""
    if {line["id"] for line in run.samples} != {line["id"] for line in against.samples}:
        return "other samples", ""
    paired = compare(run, against)
    p = "" if paired.p_value is None else f", p = {paired.p_value:.2g}"
    wins = compare_wins(run, against)
    low, high = wins.ci95
    won = f"{100 * wins.value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{paired.difference:+.3f}{p}", won

"""A table over run folders: what was run, its scores with intervals, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from trimtab import record, statistics

_DIALS = ("threshold", "strength")
_SHORT = 6  # digits of a fingerprint that tell runs apart at a glance


@dataclass(frozen=True, kw_only=True)
class Row:
    """One finished run."""

    folder: Path
    task: str
    source: str
    method: str
    models: str
    dial: float | None
    metric: str
    score: dict[str, Any]
    guide_ratio: float | None
    tokens_per_second: float | None


def rows(folders: Sequence[Path]) -> Iterator[Row]:
    """Yield the finished runs among some run folders."""
    for folder in folders:
        summary = record.read_summary(folder)
        if summary is None:
            continue
        method = record.read_config(folder)["method"]
        models = [
            node["path"]
            for role, node in method.items()
            if isinstance(node, dict) and role != "draft"
        ]
        ratio = summary["metrics"].get("guide_ratio")
        metric = summary["task"]["metric"]
        yield Row(
            folder=folder,
            task=folder.parent.parent.name,
            source=summary["task"]["source"],
            method=folder.parent.name,
            models=" + ".join(path.removeprefix("zoo:") for path in models),
            dial=next((method[name] for name in _DIALS if name in method), None),
            metric=metric,
            score=summary["metrics"][metric],
            guide_ratio=ratio["value"] if ratio else None,
            tokens_per_second=summary["cost"]["tokens_per_second"],
        )


def render(found: Sequence[Row], against: Row | None = None) -> Group:
    """Return a table per task; with `against`, a column compares each run with that one, paired."""
    tasks = sorted({(row.task, row.source, row.metric) for row in found})
    return Group(
        *(
            _task_table(
                f"{task} ({source}): {metric}",
                [
                    row
                    for row in found
                    if (row.task, row.source, row.metric) == (task, source, metric)
                ],
                against,
            )
            for task, source, metric in tasks
        )
    )


def _task_table(title: str, found: Sequence[Row], against: Row | None) -> Table:
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
    for row in sorted(found, key=lambda r: (r.method, r.models, r.dial or 0)):
        cells = [
            row.folder.name[:_SHORT],
            row.method,
            row.models,
            "" if row.dial is None else f"{row.dial:g}",
            str(row.score["n"]),
            _score(row.score),
            "" if row.guide_ratio is None else f"{100 * row.guide_ratio:.1f} %",
            "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}",
        ]
        table.add_row(*cells, *([_difference(row, against)] if against else []))
    return table


def _score(estimate: dict[str, Any]) -> str:
    value = f"{estimate['value']:.3f}"
    if estimate["ci95"] is None:
        return value
    low, high = estimate["ci95"]
    return f"{value} [{low:.3f}, {high:.3f}]"


def _difference(row: Row, against: Row) -> str:
    if row.folder == against.folder:
        return "-"
    if row.task != against.task or row.metric != against.metric:
        return ""
    first, second = (
        {r["id"]: r["scores"][row.metric] for r in record.read_samples(f.folder)}
        for f in (row, against)
    )
    if first.keys() != second.keys():
        return "other samples"
    paired = statistics.paired(first, second)
    p = "" if paired.p_value is None else f", p = {paired.p_value:.2g}"
    return f"{paired.difference:+.3f}{p}"

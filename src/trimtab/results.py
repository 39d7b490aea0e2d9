"""Finished runs, read back: as objects, as curves along a dial, and as pandas tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab import record
from trimtab.config import digest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished run.

    Attributes:
        folder: its run folder.
        config: its resolved config.
        summary: its metrics and cost, as in `summary.json`.
    """

    folder: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def task(self) -> str:
        """The task's name on the command line."""
        return self.folder.absolute().parent.parent.name

    @property
    def method(self) -> str:
        """The method's name on the command line."""
        return self.folder.absolute().parent.name

    @property
    def models(self) -> str:
        """The paths of the models that have a say, joined by +."""
        paths = [
            node["path"]
            for role, node in self.config["method"].items()
            if isinstance(node, dict) and role != "draft"
        ]
        return " + ".join(path.removeprefix("zoo:") for path in paths)

    @property
    def source(self) -> str:
        """Where the task's rows come from."""
        return self.summary["task"]["source"]

    @property
    def split(self) -> str | None:
        """The split of the task's rows; None where the task knows of none."""
        return self.summary["task"]["split"]

    @property
    def metric(self) -> str:
        """The metric that the task is about."""
        return self.summary["task"]["metric"]

    @property
    def score(self) -> Mapping[str, Any]:
        """The task's metric: `value`, `n`, `stderr`, `ci95`."""
        return self.summary["metrics"][self.metric]

    @property
    def dial(self) -> str | None:
        """The name of the method's dial; None for a method without one."""
        return self.summary["dial"]["name"] if self.summary["dial"] else None

    @property
    def value(self) -> float | None:
        """Where the dial stands."""
        return self.summary["dial"]["value"] if self.summary["dial"] else None

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """The records of its samples, in the task's order."""
        return record.read_samples(self.folder)

    def scores(self, metric: str | None = None) -> dict[str, float]:
        """Return a metric of every sample by its id; None for the task's own."""
        name = metric or self.metric
        return {line["id"]: {**line["scores"], **line["measures"]}[name] for line in self.samples}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Runs that differ in the dial alone, in its order."""

    runs: Sequence[Run]

    @property
    def name(self) -> str:
        """Method and models."""
        return f"{self.runs[0].method}: {self.runs[0].models}"

    @property
    def dial(self) -> str | None:
        """The name of the dial; None for a single run without one."""
        return self.runs[0].dial


def read(roots: Iterable[Path]) -> list[Run]:
    """Return the finished runs at or below some folders, sorted by folder."""
    runs = []
    for folder in record.run_folders(roots):
        summary = record.read_summary(folder)
        if summary is not None:
            runs.append(Run(folder=folder, config=record.read_config(folder), summary=summary))
    return runs


def curves(runs: Iterable[Run]) -> list[Curve]:
    """Return the runs as curves; each run is in one, and one without a dial is its own."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.task, run.method, _all_but_dial(run)), []).append(run)
    return [
        Curve(runs=sorted(group, key=lambda run: run.value or 0.0))
        for _, group in sorted(groups.items())
    ]


def _all_but_dial(run: Run) -> str:
    method = {name: value for name, value in run.config["method"].items() if name != run.dial}
    return digest({**run.config, "method": method})


def runs_table(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a row per run: what it was, each metric with its interval, and what it cost."""
    import pandas as pd

    rows = []
    for run in runs:
        row = {
            "task": run.task,
            "split": run.split,
            "method": run.method,
            "models": run.models,
            "dial": run.dial,
            "value": run.value,
            "n": run.score["n"],
        }
        for name, estimate in run.summary["metrics"].items():
            low, high = estimate["ci95"] or (None, None)
            row |= {name: estimate["value"], f"{name}_low": low, f"{name}_high": high}
        cost = run.summary["cost"]
        row |= {name: cost[name] for name in ("tokens", "seconds", "tokens_per_second")}
        for role, work in cost["models"].items():
            row |= {f"{role}_{name}": value for name, value in work.items()}
        rows.append(row | {"folder": str(run.folder)})
    return pd.DataFrame(rows)


def samples_table(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a row per sample and run: the dial, the answer, its scores and its measures."""
    import pandas as pd

    columns = ("id", "question", "completion", "prediction", "target", "stop_reason")
    return pd.DataFrame(
        {
            "task": run.task,
            "method": run.method,
            "models": run.models,
            "dial": run.dial,
            "value": run.value,
            **{column: line[column] for column in columns},
            **line["scores"],
            **line["measures"],
            "tokens": sum(line["tokens"].values()),
        }
        for run in runs
        for line in run.samples
    )

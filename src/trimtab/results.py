"""Finished runs, read back: as objects, as curves along a dial, and as pandas tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab import record
from trimtab.choices import not_a_choice
from trimtab.config import digest
from trimtab.differences import differing, in_words
from trimtab.statistics import Paired, paired
from trimtab.win_rate import WinRate, win_rate

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
        """The paths of the models that have a say, and the names of vectors, joined by +."""
        method = self.config["method"]
        nodes = [node for role, node in method.items() if role != "draft"]
        paths = [node["path"] for node in nodes if isinstance(node, dict) and "path" in node]
        names = [path.removeprefix("zoo:") for path in paths]
        return " + ".join([*names, *(method.get("vectors") or ())])

    @property
    def source(self) -> str:
        """Where the task's rows come from."""
        return self.summary["task"]["source"]

    @property
    def split(self) -> str | None:
        """The split of the task's rows; None where the task knows of none."""
        return self.summary["task"].get("split")

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
        return self._dial["name"] if self._dial else None

    @property
    def value(self) -> float | None:
        """Where the dial stands."""
        return self._dial["value"] if self._dial else None

    @property
    def _dial(self) -> Mapping[str, Any] | None:
        return self.summary.get("dial")  # the first summaries had none

    @cached_property
    def content(self) -> str:
        """What tells runs of other weights or rows under the same names apart."""
        facts = record.read_run(self.folder) or {}
        return json.dumps([facts.get("content"), [line["id"] for line in self.samples]])

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """The records of its samples, in the task's order."""
        return record.read_samples(self.folder)

    def unscored(self, metric: str | None = None) -> int:
        """Return how many answers lack a score that a judge or a reward gives; None: the task's.

        A judge's answer may be unreadable: what it was about is then neither right nor wrong.
        """
        name = metric or self.metric
        estimate = self.summary["metrics"].get(name)
        asked = [
            scorer["scored"] + scorer["unscored"]
            for scorer in self.summary.get("scorers", {}).values()
            if name in scorer["metrics"]
        ]
        return max(asked, default=0) - estimate["n"] if asked and estimate else 0

    @property
    def count(self) -> str:
        """Of how many answers its score is, and how many have none: `96 (4 unscored)`."""
        n, unscored = self.score["n"], self.unscored()
        return f"{n} ({unscored} unscored)" if unscored else str(n)

    def scores(self, metric: str | None = None) -> dict[str, float]:
        """Return a metric of the samples that have it, by their ids; None for the task's own.

        Raises:
            ValueError: for a metric that no sample has.
        """
        name = metric or self.metric
        values = {line["id"]: {**line["scores"], **line["measures"]} for line in self.samples}
        found = {sample_id: own[name] for sample_id, own in values.items() if name in own}
        if not found:
            raise ValueError(
                not_a_choice("metric", name, {n for own in values.values() for n in own})
            )
        return found


def compare(first: Run, second: Run, metric: str | None = None) -> Paired:
    """Compare two runs over the same samples by a metric, where both have it.

    A judge may have left out an answer of either.

    Raises:
        ValueError: for runs over different samples, and for a metric that a run does not have.
    """
    return paired(*_in_common(first, second, metric))


def compare_wins(first: Run, second: Run, metric: str | None = None) -> WinRate:
    """Return how often a run beats another on the same samples by a metric; see `compare`."""
    return win_rate(*_in_common(first, second, metric))


def _in_common(first: Run, second: Run, metric: str | None) -> list[dict[str, float]]:
    own = [run.scores(metric) for run in (first, second)]
    if {line["id"] for line in first.samples} == {line["id"] for line in second.samples}:
        both = own[0].keys() & own[1].keys()
        return [{i: value for i, value in values.items() if i in both} for values in own]
    return own


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Runs that differ in the dial alone, in its order."""

    runs: Sequence[Run]

    @property
    def task(self) -> str:
        """The task's name on the command line."""
        return self.runs[0].task

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
        key = (run.task, run.method, run.metric, _all_but_dial(run))
        groups.setdefault(key, []).append(run)
    return [
        Curve(runs=sorted(group, key=lambda run: run.value or 0.0))
        for _, group in sorted(groups.items())
    ]


def _all_but_dial(run: Run) -> str:
    method = {name: value for name, value in run.config["method"].items() if name != run.dial}
    return digest({**run.config, "method": method})


def labels(found: Sequence[Curve]) -> list[str]:
    """Return each curve's name; where several of a task share it, with the settings that differ."""
    return [
        _label(curve, [c for c in found if (c.task, c.name) == (curve.task, curve.name)])
        for curve in found
    ]


def _label(curve: Curve, namesakes: Sequence[Curve]) -> str:
    settings = differing([other.runs[0] for other in namesakes])[namesakes.index(curve)]
    return f"{curve.name} ({', '.join(in_words(settings))})" if settings else curve.name


def by_question(runs: Iterable[Run]) -> list[list[Run]]:
    """Return the runs that answer one question together: a task's rows, judged by one metric."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.task, run.source, run.metric), []).append(run)
    return [group for _, group in sorted(groups.items())]


def runs_table(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a row per run: what it was, each metric with its interval, and what it cost.

    A setting in which the runs on the same rows differ, such as `limit_seed`, has a column too.
    """
    import pandas as pd

    found = list(runs)
    settings = {
        run.folder: own
        for group in by_question(found)
        for run, own in zip(group, differing(group), strict=True)
    }
    rows = []
    for run in found:
        row = {
            "task": run.task,
            "split": run.split,
            "method": run.method,
            "models": run.models,
            "dial": run.dial,
            "value": run.value,
            **settings[run.folder],
            "n": run.score["n"],
            "unscored": run.unscored(),
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

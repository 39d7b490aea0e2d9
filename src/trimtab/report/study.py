"""A study: the runs that answer one question, on the same rows by the same metric."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trimtab import quantities
from trimtab.results import Curve, Run, by_question, curves


@dataclass(frozen=True, kw_only=True)
class Study:
    """The curves over one task's rows, judged by one metric.

    Attributes:
        name: names it in files and addresses; no two studies of a report share it.
        curves: its runs.
    """

    name: str
    curves: Sequence[Curve]

    @property
    def runs(self) -> list[Run]:
        """Its runs, curve by curve."""
        return [run for curve in self.curves for run in curve.runs]

    @property
    def task(self) -> str:
        """The task's name on the command line."""
        return self.runs[0].task

    @property
    def source(self) -> str:
        """Where the rows come from."""
        return self.runs[0].source

    @property
    def metric(self) -> str:
        """The metric that the task is about."""
        return self.runs[0].metric

    @property
    def dial(self) -> str:
        """The name of the dial; of several, what they all are."""
        names = {curve.dial for curve in self.curves if curve.dial}
        return names.pop() if len(names) == 1 else "dial"

    @property
    def title(self) -> str:
        """What it is about: a score, and what it depends on."""
        dials = dict.fromkeys(curve.dial for curve in self.curves if curve.dial)
        score = quantities.label(self.metric)
        return f"{score} by {' and '.join(dials)}" if dials else score


def studies(runs: Iterable[Run]) -> list[Study]:
    """Return the runs as studies, sorted; each run is in one."""
    groups = by_question(runs)
    tasks = [group[0].task for group in groups]
    found: dict[str, Study] = {}
    for group in groups:
        run = group[0]
        twice = tasks.count(run.task) > 1
        name = first = slug(f"{run.task}-{run.split}" if twice and run.split else run.task)
        for number in itertools.count(2):
            if name not in found:
                break
            name = f"{first}-{number}"
        found[name] = Study(name=name, curves=curves(group))
    return list(found.values())


def slug(text: str) -> str:
    """Return a text as a part of a file name."""
    return re.sub(r"(?:[^\w.]|_)+", "-", text).strip("-")

"""A study: the runs that answer one question, on the same rows by the same metric."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trimtab.results import quantities
from trimtab.results.comparisons import Comparison, comparisons, notes
from trimtab.results.finished import short_ids
from trimtab.results.frames import Curve, Run, by_question, curves

_LONGEST = 80  # bytes of a part of a file name


@dataclass(frozen=True, kw_only=True)
class Study:
    """The curves over one task's rows, judged by one metric.

    Attributes:
        name: names it in files and addresses; no two studies of a report share it.
        curves: its runs.
        against: the run that its runs are compared with, if any.
    """

    name: str
    curves: Sequence[Curve]
    against: Run | None = None

    @cached_property
    def ids(self) -> Mapping[Path, str]:
        """What tells each run from the others at a glance, by its folder."""
        return dict(zip((run.folder for run in self.runs), short_ids(self.runs), strict=True))

    @cached_property
    def comparisons(self) -> Mapping[Path, Comparison]:
        """How each run compares with `against`, by its folder; empty without one."""
        if self.against is None:
            return {}
        folders = [run.folder for run in self.runs]
        return dict(zip(folders, comparisons(self.runs, self.against), strict=True))

    @property
    def notes(self) -> list[str]:
        """What is to be known of its runs together, in words; see `comparisons.notes`."""
        return notes(self.runs, list(self.comparisons.values()), self.against)

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


def studies(runs: Iterable[Run], against: Run | None = None) -> list[Study]:
    """Return the runs as studies, sorted; each run is in one, and compared with `against`."""
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
        found[name] = Study(name=name, curves=curves(group), against=against)
    return list(found.values())


def slug(text: str) -> str:
    """Return a text as a part of a file name; of a long one the beginning, and a hash."""
    plain = re.sub(r"(?:[^\w.]|_)+", "-", text).strip("-")
    if len(plain.encode()) <= _LONGEST:
        return plain
    short = plain.encode()[: _LONGEST - 9].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()[:8]}"

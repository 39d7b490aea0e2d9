"""Runs that differ in the seed of their draws alone, seen as one method that was repeated."""

from __future__ import annotations

import statistics as numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trimtab.config import digest
from trimtab.finished import Run, short_ids
from trimtab.record import Damaged
from trimtab.statistics import Estimate, repeated


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """What some runs come to together.

    Attributes:
        runs: by their seeds.
        estimate: the mean of their metric, with an interval over samples and seeds.
        spread: the standard deviation of the runs' own means.
    """

    runs: Sequence[Run]
    estimate: Estimate
    spread: float


def over_seeds(runs: Iterable[Run], metric: str | None = None) -> list[Repeated]:
    """Return what is repeated among some runs: the same rows and settings, another seed.

    Runs whose samples are not the same, or of which a judge left out an answer, are not taken
    together.

    Args:
        runs: finished runs.
        metric: a score of theirs; None for the task's own.
    """
    alike: dict[tuple[str, str | None, str], list[Run]] = {}
    for run in runs:
        generation = {**(run.config.get("generation") or {}), "seed": None}
        key = digest({**run.config, "generation": generation})
        alike.setdefault((key, run.data, run.task), []).append(run)
    groups = (sorted(group, key=seed) for group in alike.values() if len(group) > 1)
    return [found for group in groups if (found := _together(group, metric))]


def seed(run: Run) -> int:
    """Return the seed of a run's draws."""
    return int((run.config.get("generation") or {}).get("seed") or 0)


def note(found: Repeated) -> str:
    """Return in words what runs of several seeds come to."""
    value, n = found.estimate.value, found.estimate.n
    low, high = found.estimate.ci95 or (value, value)
    return (
        f"{', '.join(short_ids(found.runs))}: seeds {', '.join(str(seed(r)) for r in found.runs)} "
        f"of one experiment. {found.runs[0].metric} {value:.3f} [{low:.3f}, {high:.3f}] over "
        f"{n} samples and {len(found.runs)} seeds; standard deviation between seeds "
        f"{found.spread:.3f}."
    )


def _together(runs: Sequence[Run], metric: str | None) -> Repeated | None:
    try:
        scores = [run.scores(metric) for run in runs]
        same = all(run.rows == runs[0].rows for run in runs)
    except (Damaged, ValueError):
        return None
    if not same or any(own.keys() != scores[0].keys() for own in scores) or len(scores[0]) < 2:
        return None
    by_run = [[own[name] for name in scores[0]] for own in scores]
    spread = numbers.stdev(map(numbers.fmean, by_run))
    return Repeated(runs=runs, estimate=repeated(by_run), spread=spread)

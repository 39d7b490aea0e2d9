"""Runs that differ in the seed of their draws alone, seen as one method that was repeated."""

from __future__ import annotations

import statistics as numbers
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from trimtab.config.composition import digest
from trimtab.machine import numbers_as_text as text
from trimtab.results.finished import Run, short_ids
from trimtab.runs.reader import Damaged
from trimtab.runs.record_types import Config, EstimateRecord
from trimtab.statistics.estimates import Estimate
from trimtab.statistics.repeated import repeated


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
    """Return what is repeated among some runs: the same rows, weights and settings, another seed.

    Runs whose samples are not the same, or of which a judge left out an answer, are not taken
    together; of two with one seed, as of a copy, the first counts.

    Args:
        runs: finished runs.
        metric: a score of theirs; None for the task's own.
    """
    alike: dict[tuple[str | None, ...], dict[int, Run]] = {}
    for run in runs:
        key = (digest(without_seed(run.config)), run.data, run.makers, run.task)
        alike.setdefault(key, {}).setdefault(seed(run), run)
    several = [group for group in alike.values() if len(group) > 1]
    groups = ([group[one] for one in sorted(group)] for group in several)
    return [found for group in groups if (found := _together(group, metric))]


def without_seed(config: Config) -> Config:
    """Return a configuration as it is with any seed of its draws."""
    return {**config, "generation": {**(config.get("generation") or {}), "seed": None}}


def seed(run: Run) -> int:
    """Return the seed of a run's draws."""
    return int((run.config.get("generation") or {}).get("seed") or 0)


def means(runs: Sequence[Run], metric: str) -> dict[str, float]:
    """Return each sample's mean over some runs, of the samples that all of them scored."""
    scores = [run.scores(metric) for run in runs]
    return {
        i: numbers.fmean(own[i] for own in scores) for i in scores[0] if all(i in s for s in scores)
    }


def estimate(runs: Sequence[Run], metric: str) -> EstimateRecord:
    """Return a metric of runs of several seeds, as a summary has it: `value`, `n`, `ci95` ..."""
    if len(runs) == 1:
        return runs[0].summary["metrics"][metric]
    samples = means(runs, metric)
    by_run = [[run.scores(metric)[i] for i in samples] for run in runs]
    return cast(EstimateRecord, repeated(by_run).to_dict())


def common(runs: Iterable[Run]) -> list[int]:
    """Return the seeds that every value of a dial was run with; one, the most frequent, if none."""
    by_value: dict[float | None, set[int]] = {}
    for run in runs:
        by_value.setdefault(run.value, set()).add(seed(run))
    shared = set.intersection(*by_value.values()) if by_value else set()
    if shared or not by_value:
        return sorted(shared)
    times = Counter(sorted(one for found in by_value.values() for one in found))
    return [times.most_common(1)[0][0]]


def note(found: Repeated) -> str:
    """Return in words what runs of several seeds come to."""
    mean = found.estimate
    return (
        f"{', '.join(short_ids(found.runs))}: seeds {', '.join(str(seed(r)) for r in found.runs)} "
        f"of one experiment. {found.runs[0].metric} {text.estimate(mean.value, mean.ci95)} over "
        f"{mean.n} samples and {len(found.runs)} seeds; standard deviation between seeds "
        f"{text.score(found.spread)}."
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

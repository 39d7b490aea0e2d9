"""What a run comes to: its metrics with their intervals, and what they cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import cast

from trimtab.decoding import Generation
from trimtab.methods import Method
from trimtab.runs import divergence, draws, measures, most_likely, stretches, verdicts
from trimtab.runs.divergence import ALONG, KL, PER_TOKEN
from trimtab.runs.record_types import (
    EstimateRecord,
    ModelCostRecord,
    SampleRecord,
    ScorerRecord,
    StretchRecord,
    Summary,
)
from trimtab.runs.rule import PROPORTIONS
from trimtab.statistics import estimates
from trimtab.tasks import Task

_BOUNDS: dict[str, tuple[float, float]] = dict.fromkeys(
    ("guide_ratio", "guide_ratio_with_ending", "guide_ratio_tokens"), (0.0, 1.0)
) | dict.fromkeys(
    (
        *(name + ending for name in (KL, ALONG) for ending in ("", PER_TOKEN)),
        "ends_suppressed",
    ),
    (0.0, math.inf),
)


def summarize(
    task: Task,
    method: Method,
    generation: Generation,
    lines: Sequence[SampleRecord],
    worked: Sequence[StretchRecord],
    scorers: Mapping[str, ScorerRecord],
    rule: str | None = None,
) -> Summary:
    """Return metrics with their intervals, and what they cost.

    Args:
        task: says which metrics are proportions.
        method: says what its dial is.
        generation: says whether a divergence along the answers is a KL divergence.
        lines: one per sample, as in `samples.jsonl`.
        worked: the stretches of work in which they were computed.
        scorers: who scored them beside the task's rule, as `verdicts.describe` says.
        rule: the version of the task's own rule.

    Raises:
        ValueError: where no sample has the task's metric.
    """
    columns: dict[str, list[tuple[str, float]]] = {}
    for line in lines:
        ending = measures.ended(line["stop_reason"])
        measured = divergence.named(line["measures"], vars(generation))
        for name, value in {**line["scores"], **measured, **ending}.items():
            columns.setdefault(name, []).append((draws.sample_of(line), value))
    if task.metric not in columns:
        raise ValueError(
            f"None of {len(lines)} answers got a score for {task.metric!r}; samples.jsonl says "
            "why under `verdicts`."
        )
    proportions = {*task.proportions, *PROPORTIONS, *most_likely.PROPORTIONS, "ended"}
    bounds = {**_BOUNDS, **measures.BOUNDS, **task.bounds}
    for scorer in scorers.values():
        proportions |= {*scorer.get("proportions", ())}
        bounds |= {metric: tuple(ends) for metric, ends in scorer.get("bounds", {}).items()}
    spoken = sum(sum(line["tokens"].values()) for line in lines)
    seconds = sum(stretch["seconds"] for stretch in worked)
    together = max((stretch.get("together", 1) for stretch in worked), default=1)
    timed = stretches.is_timed(worked)
    # Of a run that shared passes with others there is no speed of its own, and none of one that
    # generated nothing, or whose seconds are those of other work too.
    has_speed = bool(spoken and seconds) and together == 1 and timed
    return {
        "task": {"metric": task.metric, "source": task.source, "split": task.split, "rule": rule},
        "scorers": dict(scorers),
        "agreement": verdicts.agreements(lines),
        "dial": {"name": method.dial, "value": method.value} if method.dial else None,
        "metrics": {
            name: cast(EstimateRecord, estimate.to_dict())
            for metric, values in columns.items()
            for name, estimate in _estimates(
                metric, draws.by_sample(values), metric in proportions, bounds.get(metric)
            )
        },
        "cost": {
            "tokens": spoken,
            "seconds": round(seconds, 3),
            "seconds_count": "decoding" if timed else "imports, loading and decoding",
            "tokens_per_second": round(spoken / seconds, 1) if has_speed else None,
            "together": together,
            "models": _work(lines, worked, spoken),
        },
    }


def _work(
    lines: Sequence[SampleRecord], worked: Sequence[StretchRecord], spoken: int
) -> dict[str, ModelCostRecord]:
    """Return what each model did.

    `forward_passes` serve whole batches; `passes_per_token` is what an answer alone would take, for
    each token that it says.
    """
    alone: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for line in lines:
        for role, work in line["work"].items():
            alone[role] += work["passes"]
            tokens[role] += work["tokens"]
    passes: Counter[str] = Counter()
    for stretch in worked:
        passes.update(stretch["forward_passes"])
    # A model that did nothing for these answers may have run for others of the same stretch.
    return {
        role: {
            "forward_passes": passes[role],
            "tokens_processed": tokens[role],
            "passes_per_token": round(alone[role] / spoken, 4) if spoken else None,
        }
        for role in alone
    }


def _estimates(
    metric: str,
    by_sample: Mapping[str, Sequence[float]],
    is_proportion: bool,
    bounds: tuple[float, float] | None,
) -> Iterator[tuple[str, estimates.Estimate]]:
    """Yield a metric's estimate and, where samples were drawn several times, the best of k.

    Samples are what is drawn from a population, so their means are what an interval is of.
    """
    means = [fmean(values) for values in by_sample.values()]
    most = max(map(len, by_sample.values()))
    if most == 1:
        yield metric, _estimate(means, is_proportion, bounds)
        return
    yield metric, estimates.share(means) if is_proportion else _estimate(means, False, bounds)
    whole = [values for values in by_sample.values() if len(values) == most]
    for k in draws.sizes(most):
        name = f"{metric}_pass@{k}" if is_proportion else f"{metric}_best@{k}"
        best = [draws.best_of(values, k) for values in whole]
        yield name, estimates.share(best) if is_proportion else _estimate(best, False, bounds)


def _estimate(
    values: Sequence[float], is_proportion: bool, bounds: tuple[float, float] | None
) -> estimates.Estimate:
    if is_proportion:
        return estimates.summarize(values, binary=True)
    return estimates.of_scores(values, bounds)

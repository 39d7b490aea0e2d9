"""What a run comes to: its metrics with their intervals, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab import behaviour, multiple_choice, statistics
from trimtab.methods import Method
from trimtab.scorers import verdicts
from trimtab.tasks import Task

_BOUNDS: dict[str, tuple[float, float]] = dict.fromkeys(
    ("guide_ratio", "guide_ratio_with_ending", "guide_ratio_tokens"), (0.0, 1.0)
) | dict.fromkeys(("kl", "kl_per_token", "ends_suppressed"), (0.0, math.inf))
_ANY = (-math.inf, math.inf)
# `forward_passes` serve whole batches; `passes_per_token` is what an answer alone would take.
_NO_COST = {"forward_passes": 0, "tokens_processed": 0, "passes_per_token": 0.0}


def summarize(
    task: Task,
    method: Method,
    records: Sequence[Mapping[str, Any]],
    segments: Sequence[Mapping[str, Any]],
    scorers: Mapping[str, Any],
) -> dict[str, Any]:
    """Return metrics with their intervals, and what they cost.

    Args:
        task: says which metrics are proportions.
        method: says what its dial is.
        records: one line per sample, as in `samples.jsonl`.
        segments: the stretches in which they were computed, as in `run.json`.
        scorers: who scored them beside the task's rule, as `verdicts.describe` says.

    Raises:
        ValueError: where no sample has the task's metric.
    """
    columns: dict[str, list[float]] = {}
    for line in records:
        ended = line["stop_reason"] in {"end", "guide", "base"}
        ending = {"ended": float(ended)} if line["stop_reason"] != "choice" else {}
        for name, value in {**line["scores"], **line["measures"], **ending}.items():
            columns.setdefault(name, []).append(value)
    if task.metric not in columns:
        raise ValueError(
            f"None of {len(records)} answers got a score for {task.metric!r}; samples.jsonl says "
            "why under `verdicts`."
        )
    proportions = {*task.proportions, *behaviour.PROPORTIONS, *multiple_choice.PROPORTIONS, "ended"}
    bounds = {**_BOUNDS, **behaviour.BOUNDS, **task.bounds}
    for scorer in scorers.values():
        proportions |= {*scorer["proportions"]}
        bounds |= {metric: tuple(ends) for metric, ends in scorer["bounds"].items()}
    spoken = sum(sum(line["tokens"].values()) for line in records)
    seconds = sum(segment["seconds"] for segment in segments)
    together = max((segment.get("together", 1) for segment in segments), default=1)
    models: dict[str, dict[str, float]] = {}
    for line in records:
        for role, work in line["work"].items():
            cost = models.setdefault(role, dict(_NO_COST))
            cost["tokens_processed"] += work["tokens"]
            cost["passes_per_token"] += work["passes"] / max(1, spoken)
    for segment in segments:
        for role, passes in segment["forward_passes"].items():
            if role in models:  # a model may have run for others of the same stretch alone
                models[role]["forward_passes"] += passes
    for cost in models.values():
        cost["passes_per_token"] = round(cost["passes_per_token"], 4)
    return {
        "task": {"metric": task.metric, "source": task.source, "split": task.split},
        "scorers": scorers,
        "agreement": verdicts.agreements(records),
        "dial": {"name": method.dial, "value": method.value} if method.dial else None,
        "metrics": {
            name: _estimate(values, name in proportions, bounds.get(name, _ANY)).to_dict()
            for name, values in columns.items()
        },
        "cost": {
            "tokens": spoken,
            "seconds": round(seconds, 3),
            # Of a run that shared passes with others there is no speed of its own.
            "tokens_per_second": round(spoken / seconds, 1) if seconds and together == 1 else None,
            "together": together,
            "models": models,
        },
    }


def _estimate(
    values: Sequence[float], is_proportion: bool, bounds: tuple[float, float]
) -> statistics.Estimate:
    if is_proportion:
        return statistics.summarize(values, binary=True)
    if bounds == (0, math.inf):  # lengths, divergences: never below 0, now and then very large
        return statistics.bootstrapped(values)
    return statistics.mean(values, bounds)

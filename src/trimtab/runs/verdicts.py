"""Verdicts of scorers, put into the records of a run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, cast

from trimtab.config import user_files
from trimtab.config.user_code import is_own, named
from trimtab.machine import shapes
from trimtab.runs import draws
from trimtab.runs.record_types import (
    AgreementRecord,
    SampleRecord,
    ScorerRecord,
    Summary,
    VerdictRecord,
)
from trimtab.scorers.scorer import Scorer
from trimtab.statistics.agreement import agreement

_VERDICT = shapes.of(VerdictRecord)
# Scores that say whether an answer is right: by the task's rule, by a published one, by a judge.
RIGHT = ("accuracy", "published", "correct")


def missing(summary: Summary, scorers: Iterable[Scorer]) -> bool:
    """Whether a finished run lacks the scores of a scorer, or has those of another version.

    Its verdicts may be there, and its scores those of a later scorer that gives the same metric.
    """
    known = summary.get("scorers", {})
    givers = {metric: name for name, one in known.items() for metric in one["metrics"]}
    return any(
        s.name not in known
        or known[s.name].get("identity") != _identity(s)
        or any(givers[metric] != s.name for metric in known[s.name]["metrics"])
        for s in scorers
    )


def _identity(scorer: Scorer) -> dict[str, Any]:
    """Return what a scorer says that its scores depend on and, of a user's own, its code."""
    own = user_files.hashes(user_files.behind(scorer)) if is_own(type(scorer)) else {}
    return {**scorer.identity, **({"code": own} if own else {})}


def add(
    lines: Sequence[SampleRecord],
    scorer: Scorer,
    seen: Callable[[], None],
    beside: Sequence[str] = (),
) -> None:
    """Put a scorer's verdicts into records of samples, as they come, each with a call of `seen`.

    A record keeps the verdicts of every scorer by name; among its scores stand those of the latest
    scorer that gives a metric, and of no earlier one.

    Args:
        lines: the records.
        scorer: who scores.
        seen: is called for each verdict.
        beside: names of the run's scorers whose scores are there already, and stay.

    Raises:
        ValueError: for a metric that the task's own rule gives, or one of those scorers.
    """
    by_id = {line["id"]: line for line in lines}
    given = {*scorer.proportions, *scorer.bounds}
    for line in lines:
        own = line.get("verdicts", {}).get(scorer.name)
        for metric in _by_scorers(line) & (given | {*(own["values"] if own else ())}):
            line["scores"].pop(metric, None)
    for sample_id, verdict in scorer.score(lines):
        line = by_id[sample_id]
        verdicts = line.setdefault("verdicts", {})
        others = {name: {*verdicts[name]["values"]} for name in beside}
        others["the task itself"] = {*line["scores"]} - _by_scorers(line)
        for whose, metrics in others.items():
            if taken := verdict.values.keys() & metrics:
                raise ValueError(
                    f"{scorer.name}: {whose} has a metric {min(taken)!r}. Give the scorer's "
                    f"another name, as in scorers.NAME.{scorer.told_apart_by}=fluency."
                )
        found = {"values": dict(verdict.values), **verdict.facts}
        _require_readable(found, scorer)
        verdicts[scorer.name] = cast(VerdictRecord, found)  # with facts of the scorer's own
        line["scores"] |= verdict.values
        seen()


def _require_readable(found: Mapping[str, Any], scorer: Scorer) -> None:
    """Refuse facts of a scorer's own under names that a record has for something else."""
    try:
        _VERDICT(found)
    except ValueError as error:
        raise ValueError(
            f"{named(type(scorer))}: a verdict with its facts {error}. Call the fact otherwise."
        ) from None


def scores(line: SampleRecord) -> dict[str, float]:
    """Return those of a record's scores that are a scorer's."""
    return {m: line["scores"][m] for m in _by_scorers(line) if m in line["scores"]}


def without(line: SampleRecord) -> SampleRecord:
    """Return a record as it was before any scorer, with what the task's rule gave alone."""
    found = copy(line)
    found["scores"] = {m: v for m, v in line["scores"].items() if m not in _by_scorers(line)}
    found.pop("verdicts", None)
    return found


def _by_scorers(line: SampleRecord) -> set[str]:
    """Return the metrics of a record that earlier verdicts gave."""
    return {metric for one in line.get("verdicts", {}).values() for metric in one["values"]}


def describe(
    lines: Sequence[SampleRecord],
    scorers: Iterable[Scorer],
    earlier: Mapping[str, ScorerRecord],
) -> dict[str, ScorerRecord]:
    """Return, for the summary, what each scorer is and how many answers it could not score.

    Those that scored the answers at an earlier start are kept: so are their verdicts.
    """
    described = dict(earlier)
    for scorer in scorers:
        described.pop(scorer.name, None)  # the last that gives a metric is who gave its scores
        verdicts = [line["verdicts"][scorer.name] for line in lines]
        metrics = dict.fromkeys(metric for verdict in verdicts for metric in verdict["values"])
        described[scorer.name] = {
            "identity": _identity(scorer),
            "metrics": sorted(metrics, key=lambda metric: metric != scorer.headline),
            "proportions": sorted(scorer.proportions),
            "bounds": {metric: list(ends) for metric, ends in scorer.bounds.items()},
            "scored": sum(bool(verdict["values"]) for verdict in verdicts),
            "unscored": sum(not verdict["values"] for verdict in verdicts),
        }
    return described


def agreements(lines: Sequence[SampleRecord]) -> list[AgreementRecord]:
    """Return how far rules and judges agree that score the same: Cohen's kappa of each pair.

    Several draws of a sample are no independent answers, which the interval allows for.
    """
    of = {line["id"]: draws.sample_of(line) for line in lines}
    opinions: dict[tuple[str, str], dict[str, float]] = {}
    for line in lines:
        for metric in RIGHT:
            if metric in line["scores"] and metric != "correct":
                opinions.setdefault(("rule", metric), {})[line["id"]] = line["scores"][metric]
        for name, verdict in line.get("verdicts", {}).items():
            for metric, value in verdict["values"].items():
                opinions.setdefault((name, _meant(metric, verdict)), {})[line["id"]] = value
    found = [
        {
            "first": " ".join(one),
            "second": " ".join(other),
            **agreement(opinions[one], opinions[other], of).to_dict(),
        }
        for one, other in itertools.combinations(opinions, 2)
        if one[1] == other[1] or {one[1], other[1]} <= {*RIGHT}
        if opinions[one].keys() & opinions[other].keys()
    ]
    return cast(list[AgreementRecord], found)


def differ(line: SampleRecord) -> float | None:
    """Return 1 where rules and judges do not agree whether an answer is right; None for one."""
    found = [line["scores"][metric] for metric in RIGHT if metric in line["scores"]]
    for verdict in line.get("verdicts", {}).values():
        told_apart = verdict["values"] if verdict.get("prefix") else {}
        found += [value for metric, value in told_apart.items() if _meant(metric, verdict) in RIGHT]
    return float(len(set(found)) > 1) if len(found) > 1 else None


def _meant(metric: str, verdict: VerdictRecord) -> str:
    """Return a metric's name without what tells it from that of another judge."""
    prefix = verdict.get("prefix")
    return metric.removeprefix(f"{prefix}_") if prefix else metric

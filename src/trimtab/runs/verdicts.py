"""Verdicts of scorers, put into the records of a run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from trimtab.config import user_files
from trimtab.config.user_code import is_own
from trimtab.scorers.scorer import Scorer
from trimtab.statistics.agreement import agreement

# Scores that say whether an answer is right: by the task's rule, by a published one, by a judge.
RIGHT = ("accuracy", "published", "correct")


def missing(summary: Mapping[str, Any], scorers: Iterable[Scorer]) -> bool:
    """Whether a finished run lacks the verdicts of a scorer, or has those of another version."""
    known = summary.get("scorers", {})
    return any(known.get(s.name, {}).get("identity") != _identity(s) for s in scorers)


def _identity(scorer: Scorer) -> dict[str, Any]:
    """Return what a scorer says that its scores depend on and, of a user's own, its code."""
    own = user_files.hashes(user_files.behind(scorer)) if is_own(type(scorer)) else {}
    return {**scorer.identity, **({"code": own} if own else {})}


def add(lines: Sequence[dict[str, Any]], scorer: Scorer, seen: Callable[[], None]) -> None:
    """Put a scorer's verdicts into records of samples, as they come, each with a call of `seen`.

    A record keeps the verdicts of every scorer by name; among its scores stand those of the latest
    scorer that gives a metric, and of no earlier one.

    Raises:
        ValueError: for a metric that the task's own rule gives.
    """
    by_id = {line["id"]: line for line in lines}
    given = {*scorer.proportions, *scorer.bounds}
    for line in lines:
        own = line.get("verdicts", {}).get(scorer.name, {}).get("values", {})
        for metric in _by_scorers(line) & (given | {*own}):
            line["scores"].pop(metric, None)
    for sample_id, verdict in scorer.score(lines):
        line = by_id[sample_id]
        if taken := verdict.values.keys() & line["scores"].keys() - _by_scorers(line):
            raise ValueError(
                f"{scorer.name}: the task itself has a metric {min(taken)!r}. Give the scorer's "
                "another name, as in reward.name=fluency."
            )
        verdicts = line.setdefault("verdicts", {})
        verdicts[scorer.name] = {"values": dict(verdict.values), **verdict.facts}
        line["scores"] |= verdict.values
        seen()


def scores(line: Mapping[str, Any]) -> dict[str, float]:
    """Return those of a record's scores that are a scorer's."""
    return {m: line["scores"][m] for m in _by_scorers(line) if m in line["scores"]}


def without(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as it was before any scorer, with what the task's rule gave alone."""
    own = {m: value for m, value in line["scores"].items() if m not in _by_scorers(line)}
    return {name: value for name, value in line.items() if name != "verdicts"} | {"scores": own}


def _by_scorers(line: Mapping[str, Any]) -> set[str]:
    """Return the metrics of a record that earlier verdicts gave."""
    return {metric for one in line.get("verdicts", {}).values() for metric in one["values"]}


def describe(
    lines: Sequence[Mapping[str, Any]],
    scorers: Iterable[Scorer],
    earlier: Mapping[str, Any],
) -> dict[str, Any]:
    """Return, for the summary, what each scorer is and how many answers it could not score.

    Those that scored the answers at an earlier start are kept: so are their verdicts.
    """
    described = dict(earlier)
    for scorer in scorers:
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


def agreements(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return how far rules and judges agree that score the same: Cohen's kappa of each pair."""
    opinions: dict[tuple[str, str], dict[str, float]] = {}
    for line in lines:
        for metric in RIGHT:
            if metric in line["scores"] and metric != "correct":
                opinions.setdefault(("rule", metric), {})[line["id"]] = line["scores"][metric]
        for name, verdict in line.get("verdicts", {}).items():
            for metric, value in verdict["values"].items():
                opinions.setdefault((name, metric), {})[line["id"]] = value
    return [
        {
            "first": " ".join(one),
            "second": " ".join(other),
            **agreement(opinions[one], opinions[other]).to_dict(),
        }
        for one, other in itertools.combinations(opinions, 2)
        if one[1] == other[1] or {one[1], other[1]} <= {*RIGHT}
        if opinions[one].keys() & opinions[other].keys()
    ]


def differ(line: Mapping[str, Any]) -> float | None:
    """Return 1 where rules and judges do not agree whether an answer is right; None for one."""
    found = [line["scores"][metric] for metric in RIGHT if metric in line["scores"]]
    return float(len(set(found)) > 1) if len(found) > 1 else None

"""Verdicts of scorers, put into the records of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trimtab.scorers.scorer import Scorer


def missing(summary: Mapping[str, Any], scorers: Iterable[Scorer]) -> bool:
    """Whether a finished run lacks the verdicts of a scorer, or has those of another version."""
    known = summary.get("scorers", {})
    return any(known.get(s.name, {}).get("identity") != dict(s.identity) for s in scorers)


def add(lines: Sequence[dict[str, Any]], scorer: Scorer) -> None:
    """Put a scorer's verdicts into records of samples, as they come.

    A record keeps the verdicts of every scorer by name; among its scores, those of the latest that
    gives a metric stand.
    """
    by_id = {line["id"]: line for line in lines}
    for sample_id, verdict in scorer.score(lines):
        line = by_id[sample_id]
        verdicts = line.setdefault("verdicts", {})
        for metric in verdicts.get(scorer.name, {}).get("values", {}):
            line["scores"].pop(metric, None)
        verdicts[scorer.name] = {"values": dict(verdict.values), **verdict.facts}
        line["scores"] |= verdict.values


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
        described[scorer.name] = {
            "identity": dict(scorer.identity),
            "proportions": sorted(scorer.proportions),
            "bounds": {metric: list(ends) for metric, ends in scorer.bounds.items()},
            "scored": sum(bool(verdict["values"]) for verdict in verdicts),
            "unscored": sum(not verdict["values"] for verdict in verdicts),
        }
    return described

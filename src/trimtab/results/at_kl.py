"""Methods compared at one KL divergence from the reference model, between values of their dials.

A score alone says little of a method: more of it can be had for more distance. Here each curve is
read where its KL is the same, by linear interpolation between the two neighbouring values of its
dial whose KL lie on either side; of several such places, at the one nearest to 0. Nothing is said
beyond the values that were run.

The KL is that of `runs.divergence`: the mean over answers, sampled from the method, of the sum over
their tokens of the divergence from the reference's distribution, in nats per answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trimtab.results import seeds
from trimtab.results.choose import comparable
from trimtab.results.comparisons import OtherRows, require_same_rows
from trimtab.results.frames import Curve, Run, by_question, curves, labels
from trimtab.runs.divergence import KL
from trimtab.statistics import estimates, several

_NO_KL = (
    "no KL to a reference model is known. It is of answers that are sampled at temperature 1 "
    "without cuts (generation=sampling), where that model is run (method.measure_kl=true)."
)


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where a curve has a given KL, and what it scores there.

    Attributes:
        name: of the curve.
        run: one of its runs at the lower of the two neighbouring values.
        between: these two values of the dial.
        value: of the dial, between them.
        kl: that of the answers at both values, mixed with the weights of `value`; its interval says
            how well it is known, with these weights held.
        score: interpolated. Its interval allows for both scores and for where the KL is reached:
            Student's, of each sample's part in the result (the delta method).
        parts: these parts, by sample; their mean is the score.
        against_best: this curve minus the one that scores best at this KL; None for that itself.
        p_value: of that difference, corrected for all pairs of curves; 1 for the best itself.
    """

    name: str
    run: Run
    between: tuple[float, float]
    value: float
    kl: estimates.Estimate
    score: estimates.Estimate
    parts: Mapping[str, float]
    against_best: estimates.Paired | None = None
    p_value: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON data, without the parts."""
        against = self.against_best
        return {
            "name": self.name,
            "method": self.run.method,
            "dial": self.run.dial,
            "between": list(self.between),
            "value": self.value,
            "kl": self.kl.to_dict(),
            "score": self.score.to_dict(),
            "against_best": against.to_dict() if against else None,
            "p_value": self.p_value,
        }


@dataclass(frozen=True, kw_only=True)
class AtKl:
    """The curves of one task's rows at one KL.

    Attributes:
        kl: nats per answer.
        metric: what is compared.
        crossings: the curves that reach it, the best first.
        left_out: the others, and why.
    """

    kl: float
    metric: str
    crossings: Sequence[Crossing]
    left_out: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON data."""
        run = self.crossings[0].run
        return {
            "kl": self.kl,
            "task": run.task,
            "source": run.source,
            "split": run.split,
            "metric": self.metric,
            "methods": [crossing.to_dict() for crossing in self.crossings],
            "left_out": list(self.left_out),
        }


def at_kl(
    runs: Iterable[Run], kl: float, metric: str | None = None
) -> tuple[list[AtKl], list[str]]:
    """Return what the curves among some runs score at one KL, for each task's rows apart.

    Args:
        runs: any runs.
        kl: nats per answer, above 0.
        metric: a score; None for each task's own.

    Returns:
        A comparison for each task's rows of which a curve reaches the KL, and what was left out.

    Raises:
        ValueError: for a KL that is none, and where no curve reaches it.
    """
    if not 0 < kl < float("inf"):
        raise ValueError(f"--at-kl {kl:g}: accepted are numbers above 0, in nats per answer.")
    found: list[AtKl] = []
    alone: list[str] = []
    for group in by_question(runs):
        one = of_curves(curves(group, repeated=True), kl, metric)
        if one.crossings:
            found.append(one)
        else:
            alone += one.left_out
    if not found:
        raise ValueError("\n  ".join([f"Nothing to compare at a KL of {kl:g}:", *alone]))
    return found, alone


def of_curves(found: Sequence[Curve], kl: float, metric: str | None = None) -> AtKl:
    """Return what curves over one task's rows score at one KL; see `at_kl`."""
    metric = metric or found[0].runs[0].metric
    crossings: list[Crossing] = []
    left_out = []
    for curve, name in zip(found, labels(found), strict=True):
        by_value, beside = comparable(curve) if curve.dial else ({}, [])
        measured = {v: group for v, group in by_value.items() if all(map(_has_kl, group))}
        left_out += [f"{name}: {reason}" for reason in beside]
        if unknown := [f"{value:g}" for value in by_value if value not in measured]:
            left_out.append(f"{name}: {curve.dial} {', '.join(unknown)}: {_NO_KL}")
        try:
            one = _crossing(name, measured, kl, metric)
            if crossings:
                require_same_rows(one.run, crossings[0].run)
        except OtherRows:
            left_out.append(f"{name}: over other samples than {crossings[0].name}.")
        except ValueError as reason:
            left_out.append(f"{name}: {reason}")
        else:
            crossings.append(one)
    return AtKl(kl=kl, metric=metric, crossings=_compared(crossings), left_out=left_out)


def _compared(crossings: Sequence[Crossing]) -> list[Crossing]:
    """Return crossings with their comparison, the best first."""
    ranked = sorted(crossings, key=lambda one: -one.score.value)
    if len(ranked) < 2:
        return ranked
    pairs = several.compared([one.parts for one in ranked], 0)
    others = [
        replace(one, against_best=pair, p_value=p)
        for one, (pair, p) in zip(ranked[1:], pairs[1:], strict=True)
    ]
    return [ranked[0], *others]


def _has_kl(run: Run) -> bool:
    return KL in run.summary["metrics"]


def _crossing(
    name: str, by_value: Mapping[float, Sequence[Run]], kl: float, metric: str
) -> Crossing:
    """Return where a curve has a KL.

    Raises:
        ValueError: saying why it has not.
    """
    if len(by_value) < 2:
        raise ValueError("has no two values of a dial with a known KL to read between.")
    means = {
        value: (seeds.means(group, KL), seeds.means(group, metric))
        for value, group in by_value.items()
    }
    shared = [scores for both in means.values() for scores in both]
    ids = [i for i in shared[0] if all(i in own for own in shared)]
    columns = {
        value: tuple(np.array([own[i] for i in ids]) for own in both)
        for value, both in means.items()
    }
    reached = {value: float(divergences.mean()) for value, (divergences, _) in columns.items()}
    around = [
        (low, high)
        for low, high in itertools.pairwise(sorted(reached))
        if reached[low] != reached[high] and (reached[low] - kl) * (reached[high] - kl) <= 0
    ]
    if not around or len(ids) < 2:
        least, most = min(reached.values()), max(reached.values())
        raise ValueError(f"its KL goes from {least:.3g} to {most:.3g}.")
    low, high = min(around, key=lambda ends: min(map(abs, ends)))
    weight = (kl - reached[low]) / (reached[high] - reached[low])
    divergences, scores = (
        (1 - weight) * columns[low][which] + weight * columns[high][which] for which in (0, 1)
    )
    slope = (columns[high][1].mean() - columns[low][1].mean()) / (reached[high] - reached[low])
    parts = scores - slope * (divergences - kl)
    of_both = np.concatenate([columns[low][1], columns[high][1]])
    bounds = (float(of_both.min()), float(of_both.max()))
    return Crossing(
        name=name,
        run=by_value[low][0],
        between=(low, high),
        value=(1 - weight) * low + weight * high,
        kl=estimates.of_scores(divergences.tolist(), (0, np.inf)),
        score=estimates.mean(parts.tolist(), bounds),
        parts=dict(zip(ids, parts.tolist(), strict=True)),
    )

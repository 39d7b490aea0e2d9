"""Where a dial should stand: its values compared over the same samples, on validation rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from trimtab.config.wording import not_a_choice
from trimtab.results import seeds
from trimtab.results.choice import Choice, Position, turn
from trimtab.results.comparisons import compare_repeated
from trimtab.results.frames import Curve, Run, curves, labels
from trimtab.statistics import estimates


class NoChoice(ValueError):
    """A curve that leaves nothing to choose from; the message says why."""


def choose(curve: Curve, metric: str | None = None, *, name: str | None = None) -> Choice:
    """Return the best value of a curve's dial, and those that the samples do not tell from it.

    The best has the highest mean; of several, it is the one nearest to 0, where the dial changes
    least: at strength 0 a model is as it was, at threshold 0 the base speaks wherever it may.

    Each other value is compared with the best over the same samples (`estimates.paired`; with
    several seeds, by the samples' means over those that every value was run with), and the p-values
    are corrected for their number (`estimates.holm`). A value whose corrected p-value is at least
    0.05 is *indistinguishable* from the best. What that means, and what it does not:

    - It is a lack of evidence, not evidence of equality: with few samples, the set is wide.
    - The best was picked by the same samples, so luck favours it. Its own score and interval are a
      little hopeful, and tests against it reject more often than against a value named beforehand,
      for which Holm's correction keeps the chance of leaving out any equal one below 5 %. Here, of
      five equal values at least one is left out in 9 % of repetitions, of nine in 13 %. A value
      that is truly best is itself left out in 2 to 3 %. (Measured by simulation.)

    Args:
        curve: runs that differ in the dial alone, or in their seeds too.
        metric: a score of the task, of which more is better; None for the task's own.
        name: what to call the curve; None for its own name.

    Raises:
        NoChoice: for a metric that is no score of the task, and for a curve without two values of
            a dial over the same samples.
    """
    name = name or curve.name
    metric = metric or curve.runs[0].metric
    if curve.dial is None:
        raise NoChoice(f"{name}: has no dial.")
    by_value, left_out = _comparable(curve)
    if len(by_value) < 2:
        values = ", ".join(f"{value:g}" for value in by_value) or "none"
        alone = f"{name}: has no two values of {curve.dial} to compare, but {values}."
        raise NoChoice("\n  ".join([alone, *left_out]))
    first = next(iter(by_value.values()))[0]
    scores = {score for line in first.samples for score in line["scores"]}
    if metric not in scores:
        raise NoChoice(not_a_choice(f"{name}: score", metric, scores))

    scored = {value: seeds.estimate(group, metric) for value, group in by_value.items()}
    best = min(by_value, key=lambda value: (-scored[value]["value"], turn(value)))
    against = {
        value: compare_repeated(group, by_value[best], metric)
        for value, group in by_value.items()
        if value != best
    }
    # One sample of a score that is not 0 or 1 has no p-value: it tells nothing from the best.
    p_values = [1.0 if pair.p_value is None else pair.p_value for pair in against.values()]
    corrected = dict(zip(against, estimates.holm(p_values), strict=True))
    return Choice(
        name=name,
        metric=metric,
        positions=[
            Position(
                runs=group,
                score=scored[value],
                against_best=against.get(value),
                p_value=corrected.get(value, 1.0),
            )
            for value, group in by_value.items()
        ],
        left_out=left_out,
    )


def choose_each(
    runs: Iterable[Run], metric: str | None = None, split: str | None = "validation"
) -> tuple[list[Choice], list[str]]:
    """Return a choice for each curve among the runs on one split, and what was left out, and why.

    Args:
        runs: any runs.
        metric: a score to compare by; None for each task's own.
        split: whose runs count; None for those of a task that knows of no split.

    Raises:
        ValueError: if nothing is left to choose from.
    """
    runs = list(runs)
    others = Counter(_on(run.split) for run in runs if run.split != split)
    found = curves((run for run in runs if run.split == split), repeated=True)
    if not found:
        seen = ", ".join(f"{count} {on}" for on, count in others.items()) or "none at all"
        raise ValueError(
            f"No run {_on(split)}, but {seen}. A dial is chosen on validation rows, so that the "
            "test rows can still say what the chosen value is worth: repeat the runs with "
            "task.split=validation. To choose by other rows all the same, name their split, as in "
            "`--split test` or, where rows have no split, `--split none`."
        )
    choices = []
    left_out = [f"{count} run{'s' * (count > 1)} {on}." for on, count in others.items()]
    for curve, name in zip(found, labels(found), strict=True):
        try:
            choices.append(choose(curve, metric, name=name))
        except NoChoice as reason:
            left_out.append(str(reason))
    if not choices:
        raise ValueError(
            "\n  ".join(["Nothing to choose from:", *left_out])
            + "\nA choice takes two values of a dial that differ in nothing else, as from "
            "`trimtab run --multirun method.threshold=0.2,0.4 task.split=validation`."
        )
    return choices, left_out


def _on(split: str | None) -> str:
    return f"on split {split}" if split else "on rows without a split"


def _comparable(curve: Curve) -> tuple[dict[float, list[Run]], list[str]]:
    """Return the runs of each value, all over the same rows with the same weights, and the others.

    Of several seeds those count that every value was run with.
    """
    alike: dict[str, list[Run]] = {}
    for run in curve.runs:
        alike.setdefault(run.content, []).append(run)
    most = max((group for group in alike.values() if group[0].samples), key=len, default=[])
    common = seeds.common(most)
    kept: dict[float, dict[int, Run]] = {}
    left_out = []
    for run in curve.runs:
        assert run.value is not None
        one = seeds.seed(run)
        if not run.samples:
            reason = "its samples are gone"
        elif run.content != most[0].content:
            reason = "other rows or weights than most of its curve"
        elif one not in common:
            reason = f"seed {one}, which not every value was run with"
        elif one in kept.get(run.value, {}):
            reason = "the same again"
        else:
            kept.setdefault(run.value, {})[one] = run
            continue
        left_out.append(f"{run.dial} {run.value:g}: {reason}, {run.folder}.")
    return {value: [own[one] for one in sorted(own)] for value, own in kept.items()}, left_out

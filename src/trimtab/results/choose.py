"""Where a dial should stand: its values compared over the same samples, on validation rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from trimtab.config.wording import not_a_choice
from trimtab.results import seeds
from trimtab.results.choice import MARGIN, Choice, Position, turn
from trimtab.results.frames import Curve, Run, curves, labels
from trimtab.statistics import several
from trimtab.statistics.estimates import Estimate
from trimtab.statistics.repeated import repeated


class NoChoice(ValueError):
    """A curve that leaves nothing to choose from; the message says why."""


def choose(
    curve: Curve, metric: str | None = None, *, name: str | None = None, margin: float = MARGIN
) -> Choice:
    """Return the best value of a curve's dial, and those that the samples do not tell from it.

    The best has the highest mean; of several, it is the one nearest to 0, where the dial changes
    least: at strength 0 a model is as it was, at threshold 0 the base speaks wherever it may.

    Each other value is compared with the best over the same samples (`estimates.paired`; with
    several seeds, by the samples' means over those that every value was run with), and the p-values
    are corrected for the comparisons of all pairs of values (`several.compared`). A value whose
    corrected p-value is at least 0.05 is *indistinguishable* from the best. What that means, and
    what it does not:

    - It is a lack of evidence, not evidence of equality: with few samples, the set is wide.
    - Of values that are all equal, any is called worse than another in less than 5 %. (Where paired
      tests hold their level, Holm's correction guarantees it; measured by simulation, of 5 to 21
      values: 0 to 5 %.)
    - The best was picked by the same samples, so luck favours it. What it is worth on other samples
      is estimated by cross-fitting (`several.held_out`).
    - The cheapest is named only among values that are shown to be no more than `margin` below the
      best: whose interval of the difference from it ends above `-margin`.

    Args:
        curve: runs that differ in the dial alone, or in their seeds too.
        metric: a score of the task, of which more is better; None for the task's own.
        name: what to call the curve; None for its own name.
        margin: how much less than the best is as good for your purpose, in units of the score.

    Raises:
        NoChoice: for a metric that is no score of the task, and for a curve without two values of
            a dial over the same samples.
    """
    name = name or curve.name
    metric = metric or curve.runs[0].metric
    if curve.dial is None:
        raise NoChoice(f"{name}: has no dial.")
    by_value, left_out = comparable(curve)
    if len(by_value) < 2:
        values = ", ".join(f"{value:g}" for value in by_value) or "none"
        alone = f"{name}: has no two values of {curve.dial} to compare, but {values}."
        raise NoChoice("\n  ".join([alone, *left_out]))
    first = next(iter(by_value.values()))[0]
    scores = {score for line in first.samples for score in line["scores"]}
    if metric not in scores:
        raise NoChoice(not_a_choice(f"{name}: score", metric, scores))

    if not margin >= 0:
        raise ValueError(f"margin={margin}: accepted are numbers from 0 up.")
    scored = {value: seeds.estimate(group, metric) for value, group in by_value.items()}
    means = {value: seeds.means(group, metric) for value, group in by_value.items()}
    # Of equals the first is the best: the one that is turned least.
    tried = sorted(by_value, key=turn)
    best = max(tried, key=lambda value: scored[value]["value"])
    compared = several.compared([means[value] for value in tried], tried.index(best))
    against = dict(zip(tried, compared, strict=True))
    return Choice(
        name=name,
        metric=metric,
        positions=[
            Position(
                runs=group,
                score=scored[value],
                against_best=None if value == best else against[value][0],
                p_value=against[value][1],
            )
            for value, group in by_value.items()
        ],
        held_out=_held_out([by_value[value] for value in tried], metric),
        margin=margin,
        left_out=left_out,
    )


def _held_out(groups: Sequence[Sequence[Run]], metric: str) -> Estimate | None:
    """Return what the best is worth on samples that did not pick it; see `several.held_out`."""
    means = [seeds.means(group, metric) for group in groups]
    times = len(groups[0])
    if times == 1:
        return several.held_out(means)
    picked = several.picks(means)
    if not picked:
        return None
    scores = [[run.scores(metric) for run in group] for group in groups]
    return repeated([[scores[at][time][i] for i, at in picked.items()] for time in range(times)])


def choose_each(
    runs: Iterable[Run],
    metric: str | None = None,
    split: str | None = "validation",
    margin: float = MARGIN,
) -> tuple[list[Choice], list[str]]:
    """Return a choice for each curve among the runs on one split, and what was left out, and why.

    Args:
        runs: any runs.
        metric: a score to compare by; None for each task's own.
        split: whose runs count; None for those of a task that knows of no split.
        margin: as in `choose`.

    Raises:
        ValueError: if nothing is left to choose from.
    """
    runs, left_out = on_split(runs, split)
    found = curves(runs, repeated=True)
    choices = []
    for curve, name in zip(found, labels(found), strict=True):
        try:
            choices.append(choose(curve, metric, name=name, margin=margin))
        except NoChoice as reason:
            left_out.append(str(reason))
    if not choices:
        raise ValueError(
            "\n  ".join(["Nothing to choose from:", *left_out])
            + "\nA choice takes two values of a dial that differ in nothing else, as from "
            "`trimtab run --multirun method.threshold=0.2,0.4 task.split=validation`."
        )
    return choices, left_out


def on_split(runs: Iterable[Run], split: str | None) -> tuple[list[Run], list[str]]:
    """Return the runs on one split, and how many others there are.

    Raises:
        ValueError: for none.
    """
    runs = list(runs)
    meant = [run for run in runs if run.split == split]
    others = Counter(_on(run.split) for run in runs if run.split != split)
    if not meant:
        seen = ", ".join(f"{count} {on}" for on, count in others.items()) or "none at all"
        raise ValueError(
            f"No run {_on(split)}, but {seen}. A dial is chosen on validation rows, so that the "
            "test rows can still say what the chosen value is worth: repeat the runs with "
            "task.split=validation. To choose by other rows all the same, name their split, as in "
            "`--split test` or, where rows have no split, `--split none`."
        )
    return meant, [f"{count} run{'s' * (count > 1)} {on}." for on, count in others.items()]


def _on(split: str | None) -> str:
    return f"on split {split}" if split else "on rows without a split"


def comparable(curve: Curve) -> tuple[dict[float, list[Run]], list[str]]:
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

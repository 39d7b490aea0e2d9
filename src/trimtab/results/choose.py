"""Where a dial should stand: its best value on validation rows, and those as good by the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from trimtab.config.wording import not_a_choice
from trimtab.machine.printable import printable
from trimtab.results import seeds
from trimtab.results.comparisons import compare_repeated
from trimtab.results.frames import Curve, Run, curves, labels
from trimtab.statistics import estimates

LEVEL = 0.05


class NoChoice(ValueError):
    """A curve that leaves nothing to choose from; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """A value of the dial, compared with the best one.

    Attributes:
        runs: the runs at this value, by their seeds.
        score: its metric: `value`, `n`, `stderr`, `ci95`.
        against_best: the paired comparison, this value minus the best; None for the best itself.
        p_value: of that comparison, corrected for all those of the curve; 1 for the best itself.
    """

    runs: Sequence[Run]
    score: Mapping[str, Any]
    against_best: estimates.Paired | None
    p_value: float

    @property
    def run(self) -> Run:
        """The run at this value; of several seeds, the first."""
        return self.runs[0]

    @property
    def value(self) -> float:
        """Where the dial stands."""
        assert self.run.value is not None
        return self.run.value

    @property
    def indistinguishable(self) -> bool:
        """Whether the samples do not tell it from the best; so for the best itself."""
        return self.p_value >= LEVEL

    @property
    def guide_ratio(self) -> float | None:
        """The guide's mean share of the words; None for a method that does not measure it."""
        found = [run.summary["metrics"].get("guide_ratio") for run in self.runs]
        ratios = [ratio["value"] for ratio in found if ratio]
        return fmean(ratios) if len(ratios) == len(found) else None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a curve says about its dial.

    Attributes:
        name: of the curve: method, models, and what tells it from others of that name.
        metric: the score that the values are compared by.
        positions: the compared values, in the dial's order.
        left_out: runs of the curve that were not compared, and why.
    """

    name: str
    metric: str
    positions: Sequence[Position]
    left_out: Sequence[str] = ()

    @property
    def best(self) -> Position:
        """The value with the highest mean."""
        return next(p for p in self.positions if p.against_best is None)

    @property
    def indistinguishable(self) -> list[Position]:
        """The best and all that the samples do not tell from it, in the dial's order."""
        return [p for p in self.positions if p.indistinguishable]

    @property
    def cheapest(self) -> Position | None:
        """Of the indistinguishable the one where the guide says least; None without a guide.

        By the mean `guide_ratio`, the paper's own account of cost; of equals, the nearest to 0.
        """
        measured = [p for p in self.indistinguishable if p.guide_ratio is not None]
        return min(measured, key=lambda p: (p.guide_ratio, _turn(p.value)), default=None)

    @property
    def betas(self) -> list[float]:
        """The KL weights that the runs record; the aligned model was trained with one."""
        recorded = (run.config["method"].get("beta") for p in self.positions for run in p.runs)
        return sorted({beta for beta in recorded if isinstance(beta, int | float)})

    @property
    def seeds(self) -> list[int]:
        """The seeds that every value was run with."""
        return [seeds.seed(run) for run in self.best.runs]

    def kl_weight(self, position: Position) -> float | None:
        """Return the KL weight to retrain at for what DeRa does there: beta / strength.

        Liu et al., "Decoding-time Realignment of Language Models", ICML 2024, arXiv 2402.02992.
        None where the runs do not record one beta, and at strength 0 (the reference itself, which
        an infinite weight would keep) or below, where no KL weight leads.
        """
        if len(self.betas) != 1 or position.value <= 0:
            return None
        return self.betas[0] / position.value

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON data."""
        run = self.best.run
        return {
            "name": self.name,
            "task": run.task,
            "source": run.source,
            "split": run.split,
            "method": run.method,
            "models": run.models,
            "dial": run.dial,
            "metric": self.metric,
            "seeds": self.seeds,
            "best": self.best.value,
            "indistinguishable": [p.value for p in self.indistinguishable],
            "cheapest": self.cheapest.value if self.cheapest else None,
            "betas": self.betas,
            "positions": [
                {
                    "value": p.value,
                    "score": dict(p.score),
                    "against_best": p.against_best.to_dict() if p.against_best else None,
                    "p_value": p.p_value,
                    "indistinguishable": p.indistinguishable,
                    "guide_ratio": p.guide_ratio,
                    "kl_weight": self.kl_weight(p),
                    "folder": str(p.run.folder),
                    "folders": [str(run.folder) for run in p.runs],
                }
                for p in self.positions
            ],
            "left_out": list(self.left_out),
        }


def choose(curve: Curve, metric: str | None = None, *, name: str | None = None) -> Choice:
    """Return the best value of a curve's dial, and those that the samples do not tell from it.

    The best has the highest mean; of several, it is the one nearest to 0, where the dial changes
    least: at strength 0 a model is as it was, at threshold 0 the base speaks wherever it may.

    Each other value is compared with the best over the same samples (`statistics.paired`; with
    several seeds, by the samples' means over those that every value was run with), and the p-values
    are corrected for their number (`statistics.holm`). A value whose corrected p-value is at least
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
    best = min(by_value, key=lambda value: (-scored[value]["value"], _turn(value)))
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


def _turn(value: float | None) -> tuple[float, bool]:
    """How far the dial is turned from 0; of equals, the positive one is less."""
    assert value is not None
    return abs(value), value < 0


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


# ---------------------------------------------------------------------------- as text


def render(choices: Sequence[Choice]) -> Group:
    """Return a table and a conclusion for each choice."""
    parts = [part for choice in choices for part in (_table(choice), _conclusion(choice))]
    return Group(*parts)


def _table(choice: Choice) -> Table:
    run = choice.best.run
    table = Table(
        title=Text(
            "\n"
            + printable(f"{run.task} ({run.source}): {choice.metric} [95 % interval]")
            + "\n"
            + printable(f"{choice.name}, n = {choice.best.score['n']}{_seeds(choice)}")
        ),
        title_justify="left",
        title_style="bold",
        header_style="",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    guided = any(p.guide_ratio is not None for p in choice.positions)
    columns = [str(run.dial), choice.metric, "difference", "p (Holm)"]
    for column in [*columns, *(["guide words"] if guided else [])]:
        table.add_column(Text(printable(column)), justify="right", no_wrap=True)
    table.add_column("")
    for p in choice.positions:
        against = p.against_best
        row = [
            f"{p.value:g}",
            _score(p),
            f"{against.difference:+.3f}" if against else "",
            f"{p.p_value:.2g}" if against else "",
        ]
        if guided:
            row.append("" if p.guide_ratio is None else f"{100 * p.guide_ratio:.2f} %")
        verdict = "indistinguishable" if p.indistinguishable else "worse"
        table.add_row(*map(Text, [*row, verdict if against else "best"]))
    return table


def _seeds(choice: Choice) -> str:
    several = len(choice.seeds) > 1
    return f", over seeds {', '.join(map(str, choice.seeds))}" if several else ""


def _conclusion(choice: Choice) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    dial, best = choice.best.run.dial, choice.best
    lines = {
        "best": f"{dial} {best.value:g}: {choice.metric} {_score(best)}",
        "indistinguishable": ", ".join(f"{p.value:g}" for p in choice.indistinguishable),
    }
    tests = dict.fromkeys(p.against_best.test for p in choice.positions if p.against_best)
    lines["compared by"] = f"{' and '.join(tests)} test, against the best, corrected (Holm)"
    if choice.cheapest:
        share = 100 * (choice.cheapest.guide_ratio or 0.0)
        lines["cheapest of these"] = (
            f"{dial} {choice.cheapest.value:g}: the guide says {share:.2f} % of the words"
        )
    if choice.betas or best.run.method == "dera":
        lines["retrain at"] = _retrain(choice)
    if choice.left_out:
        lines["left out"] = "\n".join(choice.left_out)
    for name, text in lines.items():
        grid.add_row(Text(f" {name}"), Text(printable(text, keep="\n")))
    return grid


def _score(position: Position) -> str:
    interval = position.score["ci95"]
    text = f"{position.score['value']:.3f}"
    return text if interval is None else "{} [{:.3f}, {:.3f}]".format(text, *interval)


def _retrain(choice: Choice) -> str:
    if not choice.betas:
        return (
            "not known, as no run records beta: one more run of this curve is enough, with\n"
            "method.beta=..., the KL weight that the aligned model was trained with"
        )
    if len(choice.betas) > 1:
        several = ", ".join(f"{beta:g}" for beta in choice.betas)
        return f"not known, as the runs record several betas of one aligned model: {several}"
    beta, strength = choice.betas[0], choice.best.value
    weight = choice.kl_weight(choice.best)
    text = (
        f"no KL weight: none stands for strength {strength:g}"
        if weight is None
        else f"KL weight {weight:.3g} = beta {beta:g} / strength {strength:g}"
    )
    ends = choice.indistinguishable[0], choice.indistinguishable[-1]
    highest, lowest = map(choice.kl_weight, ends)
    if ends[0] is ends[1] or lowest is None:
        return text
    among = f"{lowest:.3g} and more" if highest is None else f"{lowest:.3g} to {highest:.3g}"
    return f"{text}; over the indistinguishable, {among}"

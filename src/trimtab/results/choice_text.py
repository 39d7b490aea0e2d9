"""A choice as text: a table of the dial's values, and the conclusion."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trimtab.machine.numbers_as_text import DIFFERENCE, estimate, p_value, percent
from trimtab.machine.printable import printable
from trimtab.machine.table_style import FittingTable
from trimtab.results.choice import Choice, Position

_GUIDE_WORDS = "guide words"
_VERDICT = ""  # a column without a head
_ROUGHLY = "where to begin: DeRa approximates what training at that weight gives"


def render(choices: Sequence[Choice]) -> Group:
    """Return a table and a conclusion for each choice."""
    parts = [part for choice in choices for part in (_table(choice), _conclusion(choice))]
    return Group(*parts)


def _table(choice: Choice) -> FittingTable:
    run = choice.best.run
    rows = [_row(choice, position) for position in choice.positions]
    return FittingTable(
        [
            f"{run.task} ({run.source}): {choice.metric} [95 % interval]",
            f"{choice.name}, n = {choice.best.score['n']}{_seeds(choice)}",
        ],
        [{name: " ".join(parts) for name, parts in row.items()} for row in rows],
        [{name: "\n".join(parts) for name, parts in row.items()} for row in rows],
        texts=[_VERDICT],
        spare=[_GUIDE_WORDS],
    )


def _row(choice: Choice, position: Position) -> dict[str, list[str]]:
    """Return a value's cells, each as parts that stand side by side or in lines."""
    run, against = position.run, position.against_best
    verdict = "indistinguishable" if position.indistinguishable else "worse"
    return {
        str(run.dial): [f"{position.value:g}"],
        choice.metric: _score(position).split(" ", 1),
        "difference": [f"{against.difference:{DIFFERENCE}}" if against else ""],
        "p (Holm)": [p_value(position.p_value) if against else ""],
        _GUIDE_WORDS: [percent(position.guide_ratio, ".2f")],
        _VERDICT: [verdict if against else "best"],
    }


def _seeds(choice: Choice) -> str:
    several = len(choice.seeds) > 1
    return f", over seeds {', '.join(map(str, choice.seeds))}" if several else ""


def _conclusion(choice: Choice) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    dial, best = choice.best.run.dial, choice.best
    lines = {"best": f"{dial} {best.value:g}: {choice.metric} {_score(best)}"}
    if held := choice.held_out:
        lines["on other samples"] = (
            f"{choice.metric} {estimate(held.value, held.ci95)}: each half of the samples scored "
            "at the value\nthat the other half picks (cross-fitting); the line above picked itself"
        )
    lines["indistinguishable"] = ", ".join(f"{p.value:g}" for p in choice.indistinguishable)
    tests = dict.fromkeys(p.against_best.test for p in choice.positions if p.against_best)
    lines["compared by"] = (
        f"{' and '.join(tests)} test, against the best, corrected for all pairs (Holm)"
    )
    if choice.cheapest:
        lines[f"within {choice.margin:g}"] = ", ".join(f"{p.value:g}" for p in choice.within_margin)
        share = percent(choice.cheapest.guide_ratio, ".2f")
        lines["cheapest of these"] = (
            f"{dial} {choice.cheapest.value:g}: the guide says {share} of the words"
            if len(choice.within_margin) > 1
            else f"none is shown to be at most {choice.margin:g} below the best (--margin)"
        )
    if choice.betas or best.run.method == "dera":
        lines["retrain at"] = _retrain(choice)
    if choice.left_out:
        lines["left out"] = "\n".join(choice.left_out)
    for name, text in lines.items():
        grid.add_row(Text(f" {name}"), Text(printable(text, keep="\n")))
    return grid


def _score(position: Position) -> str:
    return estimate(position.score["value"], position.score["ci95"])


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
    if ends[0] is not ends[1] and lowest is not None:
        among = f"{lowest:.3g} and more" if highest is None else f"{lowest:.3g} to {highest:.3g}"
        text += f"; over the indistinguishable, {among}"
    return text if lowest is None else f"{text}\n{_ROUGHLY}"

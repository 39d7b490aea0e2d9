"""Methods at one KL as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group

from trimtab.machine.numbers_as_text import DIFFERENCE, estimate, p_value
from trimtab.machine.table_style import FittingTable
from trimtab.results.at_kl import AtKl, Crossing

_HOW = (
    "KL: the mean over answers sampled from the method of the sum over their tokens of the "
    "divergence from the reference model's distribution, in nats per answer. Scores and dials are "
    "interpolated between the two values that were run on either side; the score's interval allows "
    "for where the KL is reached, the KL's is of the interpolated mean itself."
)


def render(found: Sequence[AtKl]) -> Group:
    """Return a table for each comparison."""
    return Group(*map(_table, found))


def _table(one: AtKl) -> FittingTable:
    run = one.crossings[0].run
    rows = [_row(one, crossing) for crossing in one.crossings]
    tests = dict.fromkeys(c.against_best.test for c in one.crossings if c.against_best)
    compared = f"difference: from the first row, over the same samples; {' and '.join(tests)} test"
    notes = [_HOW, f"{compared}, corrected for all pairs (Holm)."] if tests else [_HOW]
    return FittingTable(
        [f"{run.task} ({run.source}): {one.metric} at a KL of {one.kl:g} [95 % interval]"],
        [{name: " ".join(parts) for name, parts in row.items()} for row in rows],
        [{name: "\n".join(parts) for name, parts in row.items()} for row in rows],
        texts=["curve"],
        notes=[*notes, *one.left_out],
    )


def _row(one: AtKl, crossing: Crossing) -> dict[str, list[str]]:
    pair = crossing.against_best
    low, high = crossing.between
    difference = estimate(pair.difference, pair.ci95, DIFFERENCE) if pair else ""
    return {
        "curve": [crossing.name],
        "dial": [f"{crossing.run.dial} {crossing.value:.3g}", f"({low:g} to {high:g})"],
        "KL (nats)": estimate(crossing.kl.value, crossing.kl.ci95).split(" ", 1),
        one.metric: estimate(crossing.score.value, crossing.score.ci95).split(" ", 1),
        "difference": difference.split(" ", 1),
        "p (Holm)": [p_value(crossing.p_value) if pair else ""],
    }

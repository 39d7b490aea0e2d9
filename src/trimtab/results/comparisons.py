"""Runs compared over the same samples: by what a row is, never by its number alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trimtab.config.composition import digest
from trimtab.results import seeds
from trimtab.results.finished import Row, Run, short_ids
from trimtab.statistics.estimates import Paired, holm, paired
from trimtab.statistics.win_rate import WinRate, win_rate


class OtherRows(ValueError):
    """Two runs over different samples, which nothing can pair; the message says where."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A run compared with another one by the other's metric.

    Attributes:
        paired: the difference, this run minus the other, with its interval and its test; None where
            there is nothing to compare, as `reason` says.
        wins: how often this run beats the other.
        p_value: of `paired`, corrected for all the runs that were compared with that one (Holm).
        asked_alike: whether both were asked in the same words; see `asked_alike`.
        reason: why there is no comparison: `other samples` for instance, or `-` for the run itself.
    """

    paired: Paired | None = None
    wins: WinRate | None = None
    p_value: float | None = None
    asked_alike: bool = True
    reason: str = ""


def comparisons(runs: Sequence[Run], other: Run) -> list[Comparison]:
    """Compare each of some runs with another one; the p-values are corrected for their number."""
    found = [_comparison(run, other) for run in runs]
    p_values = {
        place: one.paired.p_value
        for place, one in enumerate(found)
        if one.paired and one.paired.p_value is not None
    }
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return [replace(one, p_value=corrected.get(place)) for place, one in enumerate(found)]


def notes(
    runs: Sequence[Run], compared: Sequence[Comparison] = (), other: Run | None = None
) -> list[str]:
    """Return in words what runs have in common less than it seems, and what is compared.

    Args:
        runs: that stand together.
        compared: each with the other run; none if there is none.
        other: that run.
    """
    said = []
    if odd := _of_other_rows(runs):
        said.append(
            "Not of the same rows as the others, though of the same settings (content.data in "
            f"run.json): {', '.join(odd)}."
        )
    if odd := _by_others([*runs, *([other] if other else [])]):
        said.append(
            "Not of the same weights or code as the others, though of the same names "
            f"(content.models and content.code in run.json): {', '.join(odd)}."
        )
    if odd := _scored_otherwise([*runs, *([other] if other else [])]):
        said.append(
            "Not scored by the same version of the task's rule as the others (task.rule in "
            f"summary.json): {', '.join(odd)}. Repeat the commands of the older ones: their "
            "answers are scored anew, and none is generated."
        )
    if bare := [
        name
        for run, name in zip(runs, short_ids(runs), strict=True)
        if run.score["ci95"] is None and run.score["n"] > 1
    ]:
        said.append(
            f"No interval of {runs[0].metric} can be given, as all or nearly all samples score the "
            f"same and nothing says how far others could lie: {', '.join(bare)}."
        )
    said += map(seeds.note, seeds.over_seeds(runs))
    if other is None:
        return said
    (name,) = short_ids([other])
    if tests := dict.fromkeys(one.paired.test for one in compared if one.paired):
        count = sum(one.p_value is not None for one in compared)
        said.append(
            f"difference: from run {name}, over the same samples. p: {' and '.join(tests)} test, "
            f"corrected for {count} comparison{'s' * (count != 1)} (Holm). "
            "wins: samples with a higher score, and half of those with the same. Where an interval "
            "and a test disagree, the test decides."
        )
    if otherwise := [
        run_name
        for run_name, one in zip(short_ids(runs), compared, strict=True)
        if one.paired and not one.asked_alike
    ]:
        said.append(
            f"The same rows, but not asked in the same words as by run {name} (a system prompt, "
            f"examples or a date): {', '.join(otherwise)}."
        )
    return said


def _of_other_rows(runs: Sequence[Run]) -> list[str]:
    """Return the ids of runs over other rows than most that were asked for the same ones."""
    return _apart(runs, ("task", "limit", "limit_seed"), lambda run: run.data)


def _by_others(runs: Sequence[Run]) -> list[str]:
    """Return the ids of runs of other weights or code than most whose method is the same."""
    distinct = {run.folder.resolve(): run for run in runs}.values()
    return _apart([*distinct], ("method",), lambda run: run.makers)


def _scored_otherwise(runs: Sequence[Run]) -> list[str]:
    """Return the ids of runs whose answers were scored by another rule than most of their task."""
    return _apart(runs, ("task",), lambda run: str(run.summary["task"].get("rule")))


def _apart(
    runs: Sequence[Run], settings: Sequence[str], what: Callable[[Run], str | None]
) -> list[str]:
    """Return the ids of runs that have something else than most that share some settings."""
    alike: dict[str, dict[str, list[str]]] = {}
    for run, name in zip(runs, short_ids(runs), strict=True):
        if has := what(run):
            asked = {part: run.config.get(part) for part in settings}
            if "method" in asked:
                asked["method"] = {k: v for k, v in run.config["method"].items() if k != run.dial}
            alike.setdefault(digest(asked), {}).setdefault(has, []).append(name)
    return [
        name
        for groups in alike.values()
        for names in sorted(groups.values(), key=len, reverse=True)[1:]
        for name in names
    ]


def _comparison(run: Run, other: Run) -> Comparison:
    if run.folder.resolve() == other.folder.resolve():
        return Comparison(reason="-")
    if run.metric != other.metric:
        return Comparison(reason="another metric")
    try:
        return Comparison(
            paired=compare(run, other),
            wins=compare_wins(run, other),
            asked_alike=asked_alike(run, other),
        )
    except OtherRows:
        return Comparison(reason="other samples")
    except ValueError:
        return Comparison(reason="no scores")


def compare(first: Run, second: Run, metric: str | None = None) -> Paired:
    """Compare two runs over the same samples by a metric, where both have it.

    A judge may have left out an answer of either.

    Raises:
        ValueError: for runs over different samples, and for a metric that a run does not have.
    """
    return paired(*_in_common(first, second, metric))


def compare_repeated(first: Sequence[Run], second: Sequence[Run], metric: str) -> Paired:
    """Compare two methods that were run with several seeds each, by samples' means over these.

    Draws are independent from sample to sample, so that what they add to a mean is in the spread
    over the samples, by which the test goes.

    Raises:
        ValueError: as `compare`.
    """
    if len(first) == len(second) == 1:
        return compare(first[0], second[0], metric)
    for run in (*first, *second):
        require_same_rows(run, first[0])
    own = [seeds.means(runs, metric) for runs in (first, second)]
    both = own[0].keys() & own[1].keys()
    return paired(*({i: value for i, value in means.items() if i in both} for means in own))


def compare_wins(first: Run, second: Run, metric: str | None = None) -> WinRate:
    """Return how often a run beats another on the same samples by a metric; see `compare`."""
    return win_rate(*_in_common(first, second, metric))


def _in_common(first: Run, second: Run, metric: str | None) -> list[dict[str, float]]:
    require_same_rows(first, second)
    own = [run.scores(metric) for run in (first, second)]
    both = own[0].keys() & own[1].keys()
    return [{i: value for i, value in values.items() if i in both} for values in own]


def require_same_rows(first: Run, second: Run) -> None:
    """Refuse to pair samples that one id names in two runs and that are not the same row.

    A row is its question, its target and its choices; how a method, a system prompt or examples
    make a prompt of it may differ (see `asked_alike`).

    Raises:
        OtherRows: if a sample is in one run alone, or is another row there.
    """
    alone = sorted(map(str, first.rows.keys() ^ second.rows.keys()))
    if alone:
        shared = len(first.rows.keys() & second.rows.keys())
        raise OtherRows(
            f"The runs share {shared} samples, but {len(alone)} are in one alone, such as "
            f"{alone[0]!r}. Compare runs over the same samples."
        )
    other = [name for name, row in first.rows.items() if row != second.rows[name]]
    if other:
        raise OtherRows(
            f"{len(other)} of {len(first.rows)} samples are other rows in the two runs: "
            f"{str(other[0])!r} is {_shown(first.rows[other[0]])} in {first.folder}, and "
            f"{_shown(second.rows[other[0]])} in {second.folder}. Compare runs over the same "
            "samples."
        )


def _shown(row: Row) -> str:
    question, target, _ = row
    return f"{str(question)[:60]!r} with the target {str(target)[:20]!r}"


def asked_alike(first: Run, second: Run) -> bool:
    """Whether the conversations of two runs over the same rows are the same, as far as is known.

    Where they are not, a system prompt, examples or the day that a template tells differ: the
    comparison is of these, too.
    """
    same = None in (first.data, second.data) or first.data == second.data
    return same and first.day == second.day

"""What can be read off a finished run as a number: its metrics, its speed, its models' work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trimtab.machine.numbers_as_text import percent, score, speed
from trimtab.results.frames import Run
from trimtab.runs.divergence import ALONG, KL, PER_TOKEN

SPEED = "tokens_per_second"
DISTANCES = (KL, ALONG)
"""How far from the reference model answers are: those that may go along a frontier."""
_PASSES = "_passes_per_token"
_SHARE = "guide_ratio"  # it and its kin are shares of an answer's words or tokens
# By rules, judges and rewards, whichever the task is about.
_SCORES = ("accuracy", "published", "correct", "quality", "safety", "reward")
_SHARES = ("repetition", "buried", "unread", "ended")
_LABELS = {
    KL: ("KL (nats)", "KL to the reference (nats per answer)"),
    KL + PER_TOKEN: ("KL per token", "KL to the reference (nats per token, mean over answers)"),
    ALONG: ("divergence along (nats)", "divergence along the answers, no KL (nats per answer)"),
    ALONG + PER_TOKEN: (
        "divergence per token",
        "divergence along the answers, no KL (nats per token, mean over answers)",
    ),
    SPEED: ("tokens/s", "tokens per second"),
}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A number of one run and its 95 % interval, if it has one."""

    value: float
    interval: tuple[float, float] | None = None


def read(run: Run, name: str) -> Reading | None:
    """Return a quantity of a run, named as in `results.runs_table`; None where the run has none."""
    if estimate := run.summary["metrics"].get(name):
        ends = estimate["ci95"]
        return Reading(value=estimate["value"], interval=(ends[0], ends[1]) if ends else None)
    cost = run.summary["cost"]
    value: float | None
    if name == SPEED:
        value = cost["tokens_per_second"]  # unknown where several runs shared a process
    else:
        value = cost["models"].get(role(name), {}).get("passes_per_token")
    return None if value is None else Reading(value=value)


def main(runs: Iterable[Run]) -> list[str]:
    """Return what tables and figures show, where any run has it: scores, guide, KL, cost.

    Of a scorer's metrics that is the one that it is about.
    """
    found = list(runs)
    scorers = [scorer for run in found for scorer in run.summary.get("scorers", {}).values()]
    headlines = [metric for scorer in scorers for metric in scorer["metrics"][:1]]
    scores = dict.fromkeys([*(run.metric for run in found), *_SCORES, *headlines])
    names = [*scores, _SHARE, *DISTANCES, SPEED, *passes(found)]
    return [name for name in names if any(read(run, name) for run in found)]


def passes(runs: Iterable[Run]) -> list[str]:
    """Return the passes per token of each model that any of the runs has."""
    roles = dict.fromkeys(role for run in runs for role in run.summary["cost"]["models"])
    return [role + _PASSES for role in roles]


def role(name: str) -> str:
    """Return the model that a quantity of `passes` is about."""
    return name.removesuffix(_PASSES)


def every(runs: Iterable[Run]) -> list[str]:
    """Return all that any of the runs has, with the main ones first."""
    found = list(runs)
    metrics = [name for run in found for name in run.summary["metrics"]]
    return list(dict.fromkeys([*main(found), *metrics]))


def label(name: str, *, short: bool = False) -> str:
    """Return a quantity's name for people, or a short one for the head of a column."""
    if name.endswith(_PASSES):
        return f"{role(name)} passes/token" if short else f"passes per token of {role(name)}"
    if name in _LABELS:
        return _LABELS[name][0 if short else 1]
    return name.replace("_", " ")


def is_share(name: str) -> bool:
    """Whether a quantity is shown in percent."""
    return name.startswith(_SHARE) or name in _SHARES


def starts_at_zero(name: str) -> bool:
    """Whether an axis should begin at 0: costs, which are compared by their ratio."""
    return is_share(name) or name.startswith(DISTANCES) or name == SPEED or name.endswith(_PASSES)


def text(name: str, number: float) -> str:
    """Return a quantity's number as tables and figures print it."""
    if is_share(name):
        return percent(number, ".1f")
    return speed(number) if name == SPEED else score(number)


def interval_text(name: str, reading: Reading) -> str:
    """Return an interval in brackets; nothing where there is none."""
    if reading.interval is None:
        return ""
    low, high = (text(name, end) for end in reading.interval)
    return f"[{low}, {high}]"

"""A finished run of the same experiment on fewer samples, whose answers a larger one takes over.

An answer depends on its own sample alone, so the first hundred of two hundred are those of a run
of a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.config import composition
from trimtab.methods import Method
from trimtab.runs import reader, stretches, verdicts
from trimtab.runs.reader import Damaged
from trimtab.runs.record_types import RunFacts, SampleRecord, StretchRecord
from trimtab.tasks import Sample

_LIMITS = ("limit", "limit_seed")
_SAME = ("experiment", "rule", "git", "own_git", "packages")
_SAME_CONTENT = ("models", "code", "day")


@dataclass(frozen=True, kw_only=True)
class SmallerRun:
    """What a run leaves to a larger one.

    Attributes:
        folder: its run folder.
        lines: the records of its samples, by their ids, without the verdicts of scorers.
        stretches: those of work in which these were answered.
    """

    folder: Path
    lines: Mapping[str, SampleRecord]
    stretches: Sequence[StretchRecord]


def experiment(parts: Mapping[str, Any]) -> str | None:
    """Return what runs have in common that differ in their limits alone; None if not all is known.

    Args:
        parts: the resolved config, as it is recorded.
    """
    if not {"task", "method", "generation"} <= parts.keys():
        return None
    rest = {name: node for name, node in parts.items() if name not in _LIMITS}
    return composition.digest(rest, users=True)


def find(
    folder: Path,
    facts: RunFacts,
    samples: Mapping[str, Sample],
    method: Method,
    *,
    by_token: bool = False,
) -> SmallerRun | None:
    """Return the largest finished run beside `folder` that answered some of these samples.

    Its weights, code, rule, versions and prompts are the same, and all that it answered is asked
    here too.

    Args:
        folder: the run folder of the larger run.
        facts: what that one is made of, as in `run.json`.
        samples: what it asks, by id.
        method: what answers.
        by_token: whether its answers have records of their tokens; so do those of the smaller run.
    """
    found: SmallerRun | None = None
    if facts["experiment"] is None or not folder.parent.is_dir():
        return None
    for other in sorted(folder.parent.iterdir()):
        if other == folder or not (other / "summary.json").is_file():
            continue
        try:
            theirs = reader.read_facts(other)
            if theirs is None or not _is_same(theirs, facts):
                continue
            lines = {line["id"]: verdicts.without(line) for line in reader.read_samples(other)}
            worked = stretches.settled(theirs, len(lines))
        except (Damaged, ValueError):
            continue
        if any(("by_token" in line) != by_token for line in lines.values()):
            continue
        if len(lines) > len(found.lines if found else ()) and _asks_alike(lines, samples, method):
            for stretch in worked:
                stretch["taken_from"] = str(other)
            found = SmallerRun(folder=other, lines=lines, stretches=worked)
    return found


def _is_same(theirs: RunFacts, ours: RunFacts) -> bool:
    content, own = theirs.get("content", {}), ours["content"]
    return (
        theirs.get("status") == "finished"
        and all(theirs.get(name) == ours.get(name) for name in _SAME)
        and all(content.get(name) == own.get(name) for name in _SAME_CONTENT)
    )


def _asks_alike(
    lines: Mapping[str, SampleRecord], samples: Mapping[str, Sample], method: Method
) -> bool:
    """Whether all that was answered is asked here too, in the same words."""
    return lines.keys() <= samples.keys() and all(
        line["target"] == samples[name].target
        and line.get("also_right", []) == list(samples[name].also_right)
        and line.get("choices") == dict(samples[name].choices)
        and line["prompts"] == method.texts(samples[name].conversation)
        for name, line in lines.items()
    )

"""What a run needs to begin, or to go on: a task, its metric, the content that it began with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trimtab.methods import Method
from trimtab.own_code import named
from trimtab.scorers import Scorer
from trimtab.tasks import Sample, Score, Task


def require_task(task: object) -> None:
    """Refuse what is no task, and a task that does not say what it is about."""
    if not isinstance(task, Task):
        raise ValueError(
            f"The task is of type {named(type(task))}. Accepted is a class that inherits from "
            "trimtab.tasks.Task."
        )
    if not isinstance(getattr(task, "metric", None), str):
        raise ValueError(
            f"{named(type(task))} has no metric. Name the one that the task is about, as in "
            'metric = "accuracy".'
        )


def require_metric(task: Task, scorers: Iterable[Scorer], score: Score) -> None:
    """Refuse a task whose metric nobody gives, neither `score`, an example, nor the scorers."""
    given = {*score.values}
    for scorer in scorers:
        given |= {*scorer.proportions, *scorer.bounds}
    if task.metric in given:
        return
    what = f"{task.source}: nothing gives its metric {task.metric!r}, but"
    known = f"{what} {', '.join(sorted(given)) or 'no other'}."
    if task.judged is None:
        raise ValueError(f"{known} Let the task's score() give it.")
    raise ValueError(
        f"{known} A judge does: add judge={task.judged}, which needs an OpenAI-compatible endpoint."
    )


def content(method: Method, samples: Iterable[Sample]) -> dict[str, Any]:
    """Return what tells other weights or rows under the same names apart."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.id}\x00{sample.conversation}\x00{sample.target}\n".encode())
    return {
        "models": method.identity,
        "data": digest.hexdigest(),
    }


def require_same(now: Mapping[str, Any], then: Mapping[str, Any], folder: Path) -> None:
    """Refuse to add to a folder that was begun with other weights or rows under the same names."""
    for what in ("models", "data"):
        if now[what] != then[what]:
            raise ValueError(
                f"{folder} was begun with other {what} of the same name (compare `content` in "
                "run.json). Move the folder away, or give another results=DIR."
            )

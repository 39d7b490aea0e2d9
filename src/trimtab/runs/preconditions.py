"""What a run needs to begin, or to go on: a task, its metric, the content that it began with."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from trimtab.config import user_files
from trimtab.config.parts import parts
from trimtab.config.user_code import named
from trimtab.config.working_directory import get_object
from trimtab.decoding import Generation
from trimtab.methods import Method
from trimtab.runs.record_types import ContentRecord, RunFacts, SampleRecord
from trimtab.scorers import Scorer
from trimtab.tasks import Sample, Score, Task

_log = logging.getLogger(__name__)
_TO_GO_ON = ("content.models", "content.data", "segments")  # of run.json
_FURTHER = "Move the folder away, or give another results=DIR: the command then begins anew."


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


def require_drawn(task: Task, generation: Generation) -> None:
    """Refuse several draws of what is not drawn."""
    if task.likelihood and generation.draws > 1:
        raise ValueError(
            f"generation.draws={generation.draws}: this task compares likelihoods, and nothing "
            "is drawn. Leave it at 1."
        )


def require_apart(scorers: Sequence[object]) -> None:
    """Refuse what is no scorer, and two that would share a name in the record, or a metric."""
    for scorer in scorers:
        if not isinstance(scorer, Scorer):
            raise ValueError(
                f"A scorer is of type {named(type(scorer))}. Accepted is a class that inherits "
                "from trimtab.scorers.Scorer."
            )
    for one, other in itertools.combinations(scorers, 2):
        assert isinstance(one, Scorer) and isinstance(other, Scorer)
        if shared := one.shares(other):
            raise ValueError(
                f"{one.name} and {other.name}: both give {shared!r}. Tell the two scorers apart, "
                f"by another {other.told_apart_by} for one of them."
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
        f"{known} A judge does: add scorers={task.judged}, which needs an OpenAI-compatible "
        "endpoint."
    )


def content(
    method: Method,
    samples: Iterable[Sample],
    generation: Generation,
    config: Mapping[str, Any],
    day: date | None = None,
) -> ContentRecord:
    """Return what tells other weights, rows, code or days under the same names apart."""
    digest = hashlib.sha256()
    for sample in samples:
        also = f"\x00{list(sample.also_right)}" if sample.also_right else ""
        asked = f"{sample.id}\x00{sample.conversation}\x00{sample.target}{also}\n"
        digest.update(asked.encode())
    found: ContentRecord = {"models": method.identity, "data": digest.hexdigest()}
    if own := user_files.hashes(code(method, generation, config)):
        found["code"] = own
    if day:
        found["day"] = day.isoformat()
    return found


def code(
    method: Method,
    generation: Generation | None = None,
    config: Mapping[str, Any] | None = None,
) -> set[Path]:
    """Return the user's files that the answers are made by, and those that their settings name.

    Rows are known by their content, and a task's rule by a hash of its own.

    Args:
        method: what answers.
        generation: how answers are drawn.
        config: the nodes that both are built from.
    """
    nodes = [(config or {}).get("method"), (config or {}).get("generation")]
    named = [part for node in nodes for name, part in parts(node) if name.endswith("_target_")]
    return user_files.behind(method, generation) | {*user_files.sources(*map(_found, named))}


def _found(target: str) -> Any:
    try:
        return get_object(target)
    except Exception:  # said where the configuration is checked
        return None


def require_facts(facts: RunFacts | None, folder: Path) -> None:
    """Refuse to go on with answers of which it is not known what they were made with."""
    content = facts.get("content", {}) if facts else {}
    known = {f"content.{name}" for name in content} | {*(facts or ())}
    if lacking := [key for key in _TO_GO_ON if key not in known]:
        problem = "is missing" if facts is None else f"has no {lacking[0]}"
        raise ValueError(
            f"{folder} holds answers, but its run.json {problem}: nothing says which weights, rows "
            f"and settings they are of. {_FURTHER}"
        )


def prompts(method: Method, samples: Mapping[str, Sample]) -> dict[str, str]:
    """Return hashes, by role, of the first sample's prompts as they are rendered now."""
    asked = next(iter(samples.values())).conversation
    rendered = method.texts(asked).items()
    return {role: hashlib.sha256(text.encode()).hexdigest() for role, text in rendered}


def begun_with_other(what: str, folder: Path) -> ValueError:
    """Return the error of a folder that was begun with something else under the same name."""
    return ValueError(
        f"{folder} was begun with other {what} of the same name (compare `content` in run.json). "
        f"{_FURTHER}"
    )


def require_asked(
    done: Mapping[str, SampleRecord], samples: Mapping[str, Sample], folder: Path
) -> None:
    """Refuse a folder whose samples had other choices, which the hash of its rows leaves out."""
    for sample_id, line in done.items():
        if line.get("choices") not in (None, dict(samples[sample_id].choices)):
            raise begun_with_other(f"choices (sample {sample_id!r})", folder)


def require_same(now: ContentRecord, then: ContentRecord, folder: Path) -> None:
    """Refuse to add to a folder that was begun with other weights, rows or code of the same name.

    Of what was not recorded when the folder was begun, a warning says so.
    """
    differing = [
        f"models ({role})"
        for role, found in then["models"].items()
        if _differs(now["models"].get(role), found)
    ]
    if now["data"] != then["data"]:
        differing.append("data")
    if differing:
        raise begun_with_other(" and ".join(differing), folder)
    new, old = now.get("code", {}), then.get("code", {})
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if changed and new and "code" in then:
        raise ValueError(
            f"{folder} was begun with other code: {', '.join(changed)} changed since, and its "
            f"answers are those of before. {_FURTHER}"
        )
    if unknown := [*changed, *(now["models"].keys() - then["models"].keys())]:
        _log.warning(
            "%s was begun by a version that did not record all it is made of: whether %s changed "
            "since is not known.",
            folder,
            ", ".join(unknown),
        )


def say_what_has_no_tokens(
    done: Mapping[str, SampleRecord], generation: Generation, folder: Path
) -> None:
    """Warn of answers whose tokens were not asked for when they were given, and are now."""
    bare = sum("by_token" not in line for line in done.values())
    if generation.token_records and bare:
        _log.warning(
            "generation.token_records: %d answers of %s were given before, without records of "
            "their tokens. They stay so; in another results folder they are answered anew.",
            bare,
            folder,
        )


def say_what_no_file_holds(method: Method, task: Task, folder: Path) -> None:
    """Warn of code that a folder's answers or scores are of, whose changes nobody can tell."""
    if names := user_files.in_no_file(method, task):
        _log.warning(
            "%s holds answers of before. Whether %s changed since is not known, as no file holds "
            "it: what is written in a notebook counts once it is in a module.",
            folder,
            ", ".join(names),
        )


def _differs(now: Any, then: Any) -> bool:
    """Whether what was recorded of a model is another now; what was not (None), nobody can tell.

    That of the number format says nothing where it was that of the model's files.
    """
    if isinstance(now, Mapping) and isinstance(then, Mapping):
        recorded = {name: value for name, value in then.items() if value is not None}
        recorded.setdefault("dtype_in_use", None)
        return any(now.get(name) != value for name, value in recorded.items())
    return bool(now != then)

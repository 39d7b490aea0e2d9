"""One day for one run: some chat templates write the date into the prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime

from trimtab.methods import Method
from trimtab.runs.record_types import RunFacts
from trimtab.tasks import Sample


def day_of(method: Method, facts: RunFacts | None, default: date | None = None) -> date | None:
    """Return the day on which a run asks all its samples; None where no prompt depends on it.

    Args:
        method: has the models that are asked.
        facts: what the run was begun with, if it was: the day is as recorded or, by a version that
            recorded none, that of its first start.
        default: the day of a run that begins; None for today.
    """
    if not any(model.is_dated for model in method.models.values()):
        return None
    return recorded(facts) or default or date.today()


def recorded(facts: RunFacts | None) -> date | None:
    """Return the day on which a run was begun; None where nothing says so."""
    if not facts:
        return None
    if day := facts.get("content", {}).get("day"):
        return date.fromisoformat(day)
    first = next(iter(facts.get("segments", [])), None)
    started = first.get("start") if first else None
    return datetime.fromisoformat(started).astimezone().date() if started else None


def asked_on(samples: Mapping[str, Sample], day: date | None) -> dict[str, Sample]:
    """Return the samples as they are asked on a day."""
    if day is None:
        return dict(samples)
    return {
        i: dataclasses.replace(
            sample, conversation=dataclasses.replace(sample.conversation, day=day)
        )
        for i, sample in samples.items()
    }

"""What the files of a run folder must hold for those who read them, a line for each key.

A key that is not named here is kept as it is and read by nobody. One that came later is optional.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.machine.shapes import (
    anything,
    count,
    each,
    fields,
    items,
    maybe,
    name,
    number,
    pair,
    text,
)

_ESTIMATE = fields(
    {"value": number, "n": count, "ci95": maybe(pair(number))}, {"stderr": maybe(number)}
)
_SCORER = fields({"metrics": items(text), "scored": count, "unscored": count})
_SUMMARY = fields(
    {
        "task": fields(
            {"metric": text, "source": text}, {"split": maybe(text), "rule": maybe(text)}
        ),
        "metrics": each(_ESTIMATE),
        "cost": fields(
            {
                "tokens": count,
                "seconds": number,
                "tokens_per_second": maybe(number),
                "models": each(each(maybe(number))),
            }
        ),
    },
    {"dial": maybe(fields({"name": text, "value": number})), "scorers": each(_SCORER)},
)


def summary(value: Any, at: str) -> None:
    """Accept what `summary.json` holds."""
    _SUMMARY(value, at)
    metric = value["task"]["metric"]
    if metric not in value["metrics"]:
        raise ValueError(f"has no metrics.{metric}, which its task is about")


_SEGMENT = fields({}, {"start": maybe(text), "end": maybe(text)})
stretches = items(fields({"samples": count, "seconds": number, "forward_passes": each(count)}))
"""What `run.json` holds under `segments`, for whoever goes on with a run."""
run = fields(
    {},
    {
        "status": text,
        "content": fields({}, {"data": text, "day": text}),
        "git": maybe(fields({"commit": text, "dirty": number})),
        "packages": maybe(each(maybe(text))),
        "hardware": maybe(fields({}, {"platform": text, "gpus": maybe(items(text))})),
        "segments": items(_SEGMENT),
        "launch": fields(
            {},
            {"directory": text, "choices": each(text), "scorers": each(anything)},
        ),
    },
)
"""What `run.json` holds."""


def _trace(value: Any, at: str) -> None:
    """Accept the spans of an answer; one look at each, as there are many."""
    items(anything)(value, at)
    for place, span in enumerate(value):
        fits = (
            isinstance(span, dict)
            and isinstance(span.get("text"), str)
            and isinstance(span.get("speaker", 0), str | None)
            and isinstance(span.get("probability", ""), float | int | None)
        )
        if not fits:
            raise ValueError(
                f"has {at}[{place}] that is no span of an answer: text, speaker, probability"
            )


_BY_TOKEN = fields(
    {
        "ids": items(count),
        "log_probability": items(number),
        "entropy": items(number),
        "kl": items(maybe(number)),
        "models": each(items(number)),
    }
)


def _by_token(value: Any, at: str) -> None:
    """Accept what was kept of an answer's tokens: lists of one length."""
    _BY_TOKEN(value, at)
    lists = [*(own for key, own in value.items() if key != "models"), *value["models"].values()]
    if len({len(own) for own in lists if isinstance(own, list)}) > 1:
        raise ValueError(f"has lists of several lengths in {at}")


_VERDICT = fields(
    {"values": each(number)}, {"reasons": maybe(each(maybe(text))), "problem": maybe(text)}
)
sample = fields(
    {
        "id": name,
        "question": text,
        "prompts": each(text),
        "completion": text,
        "trace": _trace,
        "target": maybe(text),
        "prediction": maybe(text),
        "scores": each(number),
        "measures": each(number),
        "stop_reason": text,
        "tokens": each(count),
    },
    {
        "choices": each(text),
        "readings": each(maybe(text)),
        "by_token": _by_token,
        "of": name,
        "draw": count,
        "verdicts": each(_VERDICT),
        "work": each(fields({"passes": number, "tokens": count})),
    },
)
"""What a line of `samples.jsonl` holds."""


def config(value: Any, at: str) -> None:
    """Accept what `config.yaml` holds: plain data, with a method."""
    fields({"method": each(_plain)}, {"task": maybe(each(_plain)), "generation": each(_plain)})(
        value, at
    )
    each(_plain)(value, at)


def _plain(value: Any, at: str) -> None:
    if isinstance(value, Mapping):
        each(_plain)(value, at)
    elif isinstance(value, list):
        items(_plain)(value, at)
    elif not (value is None or isinstance(value, str | float | int)):
        raise ValueError(f"has {at} of the type {type(value).__name__}, which no setting has")

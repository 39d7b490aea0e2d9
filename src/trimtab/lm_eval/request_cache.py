"""The harness's cache of answers (`--use_cache`), which knows requests and not who was asked.

So within its file each method has a table of its own, named by all that its answers depend on.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlitedict import SqliteDict

import trimtab
from trimtab.lm_eval.chat import TODAY
from trimtab.methods import Method
from trimtab.models import LanguageModel
from trimtab.runs.preconditions import code

# What tells which weights a model has: of a folder, of the hub, or given as loaded.
_CONTENT = ("content_sha256", "commit", "in_memory_sha256")


def keep_apart(cache: SqliteDict, method: Method, seed: int) -> None:
    """Turn a cache to the table of one method.

    Raises:
        ValueError: for a method of which a cache cannot know what it is.
    """
    table = f"trimtab-{_digest(method, seed)}"
    SqliteDict(cache.filename, tablename=table).close()  # makes it
    cache.tablename = table


@functools.cache
def code_version() -> str:
    """Return a hash of this package's code."""
    return _hashed(sorted(Path(trimtab.__file__).parent.rglob("*.py")))


def _digest(method: Method, seed: int) -> str:
    known = {
        "method": _plain("method", method),
        "content": method.identity,
        "own_code": _hashed(sorted(code(method))),
        "trimtab": code_version(),
        "seed": seed,
        "day": str(TODAY) if any(m.is_dated for m in method.models.values()) else None,
    }
    for role, model in method.participants.items():
        identity = model.identity  # of a loaded model, a hash of all its weights
        if not any(identity.get(name) for name in _CONTENT):
            raise _unknown(f"the weights of {role}, {model.path!r}")
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def _plain(name: str, value: Any) -> Any:
    """Return a method's settings as plain data, each model among them by its own."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(f"{name}[{i}]", each) for i, each in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(f"{name}.{key}", each) for key, each in value.items()}
    if isinstance(value, Method | LanguageModel) and dataclasses.is_dataclass(value):
        kind = type(value)
        return {"": f"{kind.__module__}.{kind.__qualname__}"} | dict(_fields(name, value))
    raise _unknown(f"{name}, of type {type(value).__name__}")


def _fields(name: str, value: Method | LanguageModel) -> Iterator[tuple[str, Any]]:
    assert dataclasses.is_dataclass(value)
    without_effect = LanguageModel.without_effect if isinstance(value, LanguageModel) else ()
    for field in dataclasses.fields(value):
        if field.name not in without_effect:
            yield field.name, _plain(f"{name}.{field.name}", getattr(value, field.name))


def _hashed(files: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _unknown(what: str) -> ValueError:
    return ValueError(
        f"use_cache: a cache of answers cannot know {what}, and would give another method's "
        "answers for this one's. Leave --use_cache out."
    )

"""What an object is made of: all that its fields hold, however deep."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from trimtab.config.user_code import is_users


class Whole:
    """Marks what is one part of whatever holds it, and says itself what it is made of."""


def parts(thing: object) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, each with its name in it: `guide`, `guides.large`, `models[0]`.

    Mappings, sequences, dataclasses and a user's own objects are looked into, but not a `Whole`, as
    language models are. What an object computes when it is asked, and keeps, is no part.
    """
    yield from _parts(thing, "", frozenset())


def _parts(thing: object, name: str, above: frozenset[int]) -> Iterator[tuple[str, Any]]:
    if id(thing) in above:
        return
    for key, value in _held(thing):
        plain = isinstance(key, str) and "." not in key
        path = (f"{name}.{key}" if name else str(key)) if plain else f"{name}[{key!r}]"
        yield path, value
        yield from _parts(value, path, above | {id(thing)})


def _held(thing: object) -> Iterator[tuple[object, Any]]:
    if isinstance(thing, Mapping):
        yield from thing.items()
    elif isinstance(thing, (list, tuple)):
        yield from enumerate(thing)
    elif isinstance(thing, (set, frozenset)):
        yield from enumerate(sorted(thing, key=repr))
    elif not isinstance(thing, (Whole, type)):
        fields = dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ()
        if fields or is_users(type(thing)):
            for key in dict.fromkeys([*(f.name for f in fields), *getattr(thing, "__dict__", ())]):
                if not isinstance(getattr(type(thing), key, None), cached_property):
                    yield key, getattr(thing, key)

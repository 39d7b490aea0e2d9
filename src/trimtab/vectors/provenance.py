"""Where a vector comes from, and what one was made of that comes from others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from trimtab.machine.printable import printable
from trimtab.machine.shapes import (
    Shape,
    count,
    each,
    fields,
    flag,
    items,
    maybe,
    misfit,
    number,
    text,
)

Facts = Mapping[str, Any]

MADE_OF = "made_of"
_NAMING = ("base", "aligned", "dtype", "rank", MADE_OF)
_SUM = "sum"
_LONGEST = 1e150  # whose square is a number still


def read(said: str) -> dict[str, Any]:
    """Return the facts that a vector's file carries.

    Raises:
        ValueError: for what is no JSON, or has other shapes than what is written here.
    """
    try:
        facts = json.loads(said)
        _FACTS(facts)
    except RecursionError:
        raise ValueError("what it says of itself is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"what it says of itself is no JSON ({error})") from None
    except ValueError as error:
        raise ValueError(f"what it says of itself {printable(str(error))}") from None
    return {key: value for key, value in facts.items() if value is not None or key == "rank"}


def _length(value: Any) -> None:
    number(value)
    if not 0 <= value < _LONGEST:
        raise misfit(value, "a length or a count")


def _made(value: Any) -> None:
    fields({"how": text, "vectors": items(_PART)})(value)
    if value["how"] == _SUM:
        fields({"vectors": items(fields({"strength": number}))})(value)


_MODEL = maybe(
    fields(
        {}, dict.fromkeys(("name", "revision", "content_sha256", "tokenizer_sha256"), maybe(text))
    )
)
_ENDS: dict[str, Shape] = {"base": _MODEL, "aligned": _MODEL, MADE_OF: maybe(_made)}
_PART = fields({}, {"name": maybe(text), "strength": number, "dtype": maybe(text), **_ENDS})
_FACTS = fields(
    {},
    {
        **_ENDS,
        "dtype": maybe(text),
        "rank": maybe(count),
        "vocabulary": maybe(text),
        "exact": maybe(flag),
        "tensors": maybe(
            each(
                fields(
                    dict.fromkeys(("norm", "base_norm", "error", "changed", "parameters"), _length)
                )
            )
        ),
    },
)


def origin(facts: Facts) -> dict[str, Any]:
    """Return those facts of a vector that name where it comes from."""
    return {key: facts[key] for key in _NAMING if facts.get(key) is not None}


class _Recorded(Protocol):
    """A vector, as far as it says where it comes from."""

    @property
    def facts(self) -> Facts: ...


def made(how: str, vectors: Mapping[str, _Recorded], **settings: Any) -> dict[str, Any]:
    """Return the facts of what was made of vectors.

    Args:
        how: what was done, such as `ties`.
        vectors: what it was done to, by name.
        settings: how it was done: plain data.
    """
    parts = [{"name": name, **origin(vector.facts)} for name, vector in vectors.items()]
    plain = {
        key: {name: float(each) for name, each in value.items()}
        if isinstance(value, Mapping)
        else value
        for key, value in settings.items()
    }
    return _of_parts(how, parts, plain)


def transferred(facts: Facts, content_sha256: str | None) -> bool | None:
    """Tell whether a model is another than the one that a vector starts from; None if unknown."""
    start = (facts.get("base") or {}).get("content_sha256")
    return None if start is None or content_sha256 is None else start != content_sha256


def scaled(facts: Facts, strength: float) -> dict[str, Any]:
    """Return the facts of a vector multiplied by a number."""
    terms = [{**term, "strength": term["strength"] * strength} for term in _terms(facts)]
    return _of_parts(_SUM, terms, {})


def summed(one: Facts, other: Facts) -> dict[str, Any]:
    """Return the facts of the sum of two vectors; terms of one vector become one."""
    found: dict[str, dict[str, Any]] = {}
    for term in (*_terms(one), *_terms(other)):
        key = json.dumps({**term, "strength": None}, sort_keys=True)
        strength = found[key]["strength"] if key in found else 0.0
        found[key] = {**term, "strength": strength + term["strength"]}
    return _of_parts(_SUM, found.values(), {})


def described(facts: Facts) -> str | None:
    """Return in words what a vector was made of; None for one that was extracted, or is unknown."""
    if not (made_of := facts.get(MADE_OF)):
        return None
    parts = made_of["vectors"]
    if made_of["how"] == _SUM:
        return " + ".join(f"{part['strength']:g} x {_called(part)}" for part in parts)
    settings = [f"{key} {value}" for key, value in made_of.items() if key not in ("how", "vectors")]
    said = f" ({', '.join(settings)})" if settings else ""
    return f"{made_of['how']} of {', '.join(map(_called, parts))}{said}"


def _terms(facts: Facts) -> list[dict[str, Any]]:
    """Return a vector as a sum."""
    made_of = facts.get(MADE_OF, {})
    if made_of.get("how") == _SUM:
        return [{"base": facts.get("base"), **term} for term in made_of["vectors"]]
    return [{"strength": 1.0, **origin(facts)}]


def _of_parts(
    how: str, parts: Iterable[Mapping[str, Any]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return facts that name the base once, if it is one and the same of all parts."""
    listed = [{key: value for key, value in part.items() if value is not None} for part in parts]
    made_of = {"how": how, **settings}
    bases = [part.get("base", {}) for part in listed]
    if len({base.get("content_sha256") for base in bases}) == 1 and bases[0]:
        listed = [{key: value for key, value in part.items() if key != "base"} for part in listed]
        return {"base": bases[0], MADE_OF: {**made_of, "vectors": listed}}
    return {MADE_OF: {**made_of, "vectors": listed}}


def _called(part: Mapping[str, Any]) -> str:
    if made_of := described(part):
        return f"({made_of})"
    end = part.get("aligned") or {}
    return str(part.get("name") or end.get("name") or "unknown")

"""Where a vector comes from, and what one was made of that comes from others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Protocol, cast

from trimtab.vectors.facts import SUM, MadeOf, ModelFacts, PartFacts, VectorFacts

UNKNOWN = "unknown"
_NAMING = ("base", "aligned", "dtype", "rank", "made_of")


class _Recorded(Protocol):
    """A vector, as far as it says where it comes from."""

    @property
    def facts(self) -> VectorFacts: ...


def origin(facts: VectorFacts) -> PartFacts:
    """Return those facts of a vector that name where it comes from."""
    said: Mapping[str, object] = facts
    return cast(PartFacts, {key: said[key] for key in _NAMING if said.get(key) is not None})


def transferred(facts: VectorFacts, content_sha256: str | None) -> bool | None:
    """Tell whether a model is another than the one that a vector starts from; None if unknown."""
    start = (facts.get("base") or {}).get("content_sha256")
    return None if start is None or content_sha256 is None else start != content_sha256


def name_of(model: ModelFacts | None) -> str:
    """Return what a model is called, as far as it is known."""
    return (model or {}).get("name") or UNKNOWN


def made(how: str, vectors: Mapping[str, _Recorded], **settings: object) -> VectorFacts:
    """Return the facts of what was made of vectors.

    Args:
        how: what was done, such as `ties`.
        vectors: what it was done to, by name.
        settings: how it was done: plain data, by the names in `MadeOf`.
    """
    parts: list[PartFacts] = [
        {"name": name, **origin(vector.facts)} for name, vector in vectors.items()
    ]
    plain = {
        key: {name: float(each) for name, each in value.items()}
        if isinstance(value, Mapping)
        else value
        for key, value in settings.items()
    }
    return _of_parts(how, parts, plain)


def scaled(facts: VectorFacts, strength: float) -> VectorFacts:
    """Return the facts of a vector multiplied by a number."""
    terms: list[PartFacts] = [
        {**term, "strength": term["strength"] * strength} for term in _terms(facts)
    ]
    return _of_parts(SUM, terms, {})


def summed(one: VectorFacts, other: VectorFacts) -> VectorFacts:
    """Return the facts of the sum of two vectors; terms of one vector become one."""
    found: dict[str, PartFacts] = {}
    for term in (*_terms(one), *_terms(other)):
        key = json.dumps({**term, "strength": None}, sort_keys=True)
        strength = found[key]["strength"] if key in found else 0.0
        found[key] = {**term, "strength": strength + term["strength"]}
    return _of_parts(SUM, found.values(), {})


def described(facts: VectorFacts | PartFacts) -> str | None:
    """Return in words what a vector was made of; None for one that was extracted, or is unknown."""
    if not (made_of := facts.get("made_of")):
        return None
    parts = made_of["vectors"]
    if made_of["how"] == SUM:
        return " + ".join(f"{part['strength']:g} x {_called(part)}" for part in parts)
    settings = [f"{key} {value}" for key, value in made_of.items() if key not in ("how", "vectors")]
    said = f" ({', '.join(settings)})" if settings else ""
    return f"{made_of['how']} of {', '.join(map(_called, parts))}{said}"


def _terms(facts: VectorFacts) -> list[PartFacts]:
    """Return a vector as a sum."""
    made_of = facts.get("made_of")
    if made_of and made_of["how"] == SUM:
        return [{"base": facts.get("base"), **term} for term in made_of["vectors"]]
    return [{"strength": 1.0, **origin(facts)}]


def _of_parts(how: str, parts: Iterable[PartFacts], settings: Mapping[str, object]) -> VectorFacts:
    """Return facts that name the base once, if it is one and the same of all parts."""
    listed = [{key: value for key, value in part.items() if value is not None} for part in parts]
    bases = [cast(ModelFacts, part.get("base", {})) for part in listed]
    facts = VectorFacts()
    if len({base.get("content_sha256") for base in bases}) == 1 and bases[0]:
        facts["base"] = bases[0]
        listed = [{key: value for key, value in part.items() if key != "base"} for part in listed]
    facts["made_of"] = cast(MadeOf, {"how": how, **settings, "vectors": listed})
    return facts


def _called(part: PartFacts) -> str:
    if made_of := described(part):
        return f"({made_of})"
    return part.get("name") or name_of(part.get("aligned"))

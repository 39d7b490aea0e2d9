"""What was written, held against its typed record."""

from types import NoneType
from typing import Any, get_args, get_type_hints, is_typeddict


def nameless(value: Any, hint: Any) -> set[str]:
    """Return the keys of what was written that a typed record has no line for."""
    return _keys(value, hint, lambda own, hint: own - get_type_hints(hint).keys())


def lacking(value: Any, hint: Any) -> set[str]:
    """Return the keys that a typed record requires, and that what was written does not have."""
    return _keys(value, hint, lambda own, hint: hint.__required_keys__ - own)


def _keys(value: Any, hint: Any, wrong: Any) -> set[str]:
    inner = [each for each in get_args(hint) if each is not NoneType]
    if is_typeddict(hint):
        lines = get_type_hints(hint)
        below = [_keys(each, lines[key], wrong) for key, each in value.items() if key in lines]
        return set().union(wrong(value.keys(), hint), *below)
    if isinstance(value, list):
        return set().union(*(_keys(each, inner[0], wrong) for each in value))
    if isinstance(value, dict) and len(inner) == 2:
        return set().union(*(_keys(each, inner[1], wrong) for each in value.values()))
    return _keys(value, inner[0], wrong) if value is not None and len(inner) == 1 else set()

"""Settings as one text, equal for settings that give the same answers and for no others."""

from __future__ import annotations

import inspect
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from trimtab.config.user_code import declared, is_own
from trimtab.config.working_directory import get_object

_IN_ORDER = "\0in order"  # marks a mapping whose order counts, or whose keys are not text


def text(parts: Mapping[str, Any], *, users: bool) -> str:
    """Return resolved parts of a configuration as one text.

    This package's classes take numbers by their value, as in 1 and 1.0, and mappings in any order.
    Of a user's class neither is known: but for a number that its signature calls one, what is
    typed otherwise is another setting.

    Args:
        parts: by name, plain data.
        users: whether a user's classes are imported, to be asked.
    """
    return json.dumps(counted(parts, users=users), sort_keys=True, ensure_ascii=False)


def counted(node: Any, *, users: bool) -> Any:
    """Return the settings of a node that change answers; see `text`."""
    return _plain(node, users, exact=False)


def _plain(node: Any, users: bool, exact: bool) -> Any:
    if isinstance(node, Mapping):
        kind = _named(node.get("_target_"), users)
        if kind is not None:
            return _call(kind, node, users)
        return _mapping({k: _plain(child, users, exact) for k, child in node.items()}, exact)
    if isinstance(node, list):
        return [_plain(child, users, exact) for child in node]
    # 1 and 1.0 are the same setting, however it was typed.
    return int(node) if isinstance(node, float) and node.is_integer() and not exact else node


def _call(kind: Any, node: Mapping[str, Any], users: bool) -> dict[str, Any]:
    """Return the settings of a class that count, as the class itself says."""
    without, since = declared(kind, "without_effect", ()), declared(kind, "since", {})
    own = is_own(kind)
    numbers = _numbers(kind) if own else ()
    settings = {}
    for name, value in node.items():
        exact = own and (name not in numbers or _is_negative_zero(value))
        plain = _plain(value, users, exact)
        as_before = name in since and _same(plain, _plain(since[name], users, exact))
        if name not in without and not as_before:
            settings[name] = plain
    return settings


def _mapping(node: dict[Any, Any], exact: bool) -> dict[str, Any]:
    as_json = {key if isinstance(key, str) else json.dumps(key): v for key, v in node.items()}
    in_order = [*node] == sorted(as_json)  # of texts alone, that is
    if len(as_json) < len(node) or (exact and not in_order):
        return {_IN_ORDER: [[key, value] for key, value in node.items()]}
    return as_json


def _named(target: Any, users: bool) -> Any:
    """Return the class, or the function, that a node names; None for one that cannot be asked."""
    ours = isinstance(target, str) and target.startswith("trimtab.")
    if not isinstance(target, str) or not (ours or users):
        return None
    try:
        return get_object(target)
    except Exception:  # said where the configuration is checked
        return None


def _numbers(kind: Any) -> set[str]:
    """Return the parameters that a signature calls numbers."""
    try:
        parameters = inspect.signature(kind, eval_str=True).parameters
    except (NameError, TypeError, ValueError):
        return set()
    return {name for name, one in parameters.items() if _is_number(one.annotation)}


def _is_number(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return {*typing.get_args(hint)} - {types.NoneType} <= {int, float}
    return hint in (int, float)


def _is_negative_zero(value: Any) -> bool:
    return isinstance(value, float) and value == 0 and math.copysign(1, value) < 0


def _same(value: Any, other: Any) -> bool:
    """Whether two plain values are one setting."""
    return json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)

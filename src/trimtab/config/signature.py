"""What a callable takes, and what is wrong with settings that it is to be called with.

The signature is the schema, whichever door settings come through: a configuration's nodes, what
follows `trimtab vector`, the harness's arguments. How a door spells them is its `Wording`. Objects
made in Python ask `require_types` at their door.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

from trimtab.config.accepted import is_number, is_whole

_VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


class Wording(Protocol):
    """A door's sentences about settings, each spelled as it is given there."""

    def misfit(self, name: str, value: Any, hint: Any) -> str:
        """Return what is said of a value that is not of the annotated type; see `in_words`."""
        ...

    def unknown(self, name: str) -> str:
        """Return what is said of a setting that is no parameter."""
        ...

    def missing(self, name: str) -> str:
        """Return what is said where a parameter without a default is not set."""
        ...


class Signature:
    """The parameters of a class or a function."""

    def __init__(self, target: Callable[..., Any]) -> None:
        self.target = target
        try:
            found = inspect.signature(target, eval_str=True, locals=_names_of(target))
        except NameError:  # annotations imported for type checkers alone
            found = inspect.signature(target)
        self.parameters: Mapping[str, inspect.Parameter] = found.parameters

    @cached_property
    def required(self) -> list[str]:
        """The parameters that have to be set."""
        named = self.parameters.items()
        return [n for n, p in named if p.default is p.empty and p.kind not in _VARIADIC]

    @cached_property
    def takes_any(self) -> bool:
        """Whether settings of any name are taken."""
        kinds = {parameter.kind for parameter in self.parameters.values()}
        return inspect.Parameter.VAR_KEYWORD in kinds

    def mistakes(self, settings: Mapping[str, Any], wording: Wording) -> dict[str, str]:
        """Return what is wrong with each of the settings, and with the absence of each, by name."""
        found = {}
        for name, value in settings.items():
            if name in self.parameters:
                hint = self.parameters[name].annotation
                if not fits(value, hint):
                    found[name] = wording.misfit(name, value, hint)
            elif not self.takes_any:
                found[name] = wording.unknown(name)
        for name in self.required:
            if name not in settings:
                found[name] = wording.missing(name)
        return found


def _names_of(target: Any) -> dict[str, Any]:
    """Return what annotations may name: all that a class and those that it comes from have seen.

    A dataclass inherits fields, but not the imports of the module where these are annotated.
    """
    modules = [sys.modules[each.__module__] for each in reversed(getattr(target, "__mro__", ()))]
    return {name: value for module in modules for name, value in vars(module).items()}


def require_types(thing: object) -> None:
    """Refuse an object whose fields are not of the types that its class declares, naming each.

    Python itself takes whatever it is given: `trust_remote_code="false"` would be true. What a
    class has as its own default is its affair.
    """
    parameters = Signature(type(thing)).parameters
    given = {name: getattr(thing, name) for name in parameters if hasattr(thing, name)}
    mistakes = [
        f"{name}={value!r}: accepted is {in_words(parameters[name].annotation)}."
        for name, value in given.items()
        if value is not parameters[name].default and not fits(value, parameters[name].annotation)
    ]
    if mistakes:
        raise ValueError("\n".join(mistakes))


def fits(value: Any, hint: Any) -> bool:
    """Tell whether a plain value is of the annotated type; annotations of other kinds accept."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if hint in (None, types.NoneType):
        return value is None
    if hint is float:
        return is_number(value)
    if hint is int:
        return is_whole(value)
    if hint in (bool, str):
        return isinstance(value, hint)
    return True


def in_words(hint: Any) -> str:
    """Return which values are of an annotated type, in words."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(in_words(option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    return "null" if hint in (None, types.NoneType) else words.get(hint, str(hint))

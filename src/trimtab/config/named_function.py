"""A function of the user's that a setting names, as in `my_rewards.brevity`."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

from trimtab.config import working_directory
from trimtab.config.user_code import described
from trimtab.config.wording import not_a_choice


def find(setting: str, name: str, example: str) -> Any:
    """Return what a setting names: a module, which may lie in the working directory, and a name.

    Args:
        setting: whose value it is.
        name: the value.
        example: of one, for the message.

    Raises:
        ValueError: for a name that leads nowhere.
    """
    module_name, _, attribute = name.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(
            f"{setting}={name!r}: accepted is module.name, as in {example}, where the "
            "module may lie in the working directory."
        )
    working_directory.allow(name)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever importing a user's module raises
        raise ValueError(
            f"{setting}={name!r}: {module_name} cannot be imported: {described(error)}. It is "
            f"looked for in the working directory, {os.getcwd()}, too."
        ) from error
    if not hasattr(module, attribute):
        public = [other for other in vars(module) if not other.startswith("_")]
        where = getattr(module, "__file__", None) or module_name
        raise ValueError(not_a_choice(f"Function of {where}:", attribute, public))
    return getattr(module, attribute)


def require_takes(
    setting: str, given: object, function: Callable[..., Any], arguments: Sequence[str], also: str
) -> None:
    """Refuse a function that cannot be called with some arguments; `also` ends the message."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-ins have none
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        *most, last = arguments
        raise ValueError(
            f"{setting}={given!r} takes {signature}, and is called with {', '.join(most)} and "
            f"{last} ({error}). Accepted is a function of these {also}."
        ) from None

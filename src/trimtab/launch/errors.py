"""How errors are told: a user's mistake as a message, what was not foreseen with its traceback."""

from __future__ import annotations

import os
import sys
import traceback

from hydra.errors import HydraException
from yaml import YAMLError

from trimtab.config import user_code
from trimtab.machine.printable import printable

FORESEEN = (ValueError, OSError, MemoryError, FloatingPointError, HydraException, YAMLError)
"""Errors whose messages speak to users; of others the traceback is shown as well."""
FULL_ERROR = "HYDRA_FULL_ERROR"
TRACEBACKS = os.environ.get(FULL_ERROR) == "1"
"""Whether the user wants them all, as in any Hydra application."""


def report(error: Exception, *, where: str = "", tracebacks: bool = TRACEBACKS) -> None:
    """Print a user's mistake as a message; a traceback is for what we did not foresee.

    Of an error in code of the user's own, its last line there is told.
    """
    is_users = isinstance(error, FORESEEN) or user_code.place(error)
    if tracebacks or not is_users:
        traceback.print_exception(error)
    location = f" in {where}" if where and where not in str(error) else ""
    text = f"trimtab: error{location}: {message(error)}"
    print(printable(text, keep="\n"), file=sys.stderr)
    if not tracebacks and not isinstance(error, FORESEEN) and is_users:
        print(f"{FULL_ERROR}=1 shows the whole traceback.", file=sys.stderr)


def message(error: Exception) -> str:
    """Return what an error says, and where in the user's own code, if there, it came about."""
    if not isinstance(error, FORESEEN):
        return user_code.described(error)
    at = user_code.place(error)
    text = str(error) or type(error).__name__
    return f"{text} ({at})" if at else text

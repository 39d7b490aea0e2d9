"""The code that a user brings: whose it is, and where in it an error came from."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_OURS = Path(__file__).parents[1]
_PACKAGE = _OURS.name
_INSTALLED = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]


def is_own(kind: object) -> bool:
    """Whether a class, or a function, is a user's, not one of this package's or of Python's."""
    top = (getattr(kind, "__module__", None) or "builtins").partition(".")[0]
    return top != _PACKAGE and top not in sys.stdlib_module_names


def file_of(module: str) -> Path | None:
    """Return the file of an imported module; None where it is in none."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).absolute() if file and os.path.isfile(file) else None


def is_users(kind: type) -> bool:
    """Whether a class is a user's, and of no library that is installed."""
    file = file_of(kind.__module__)
    return is_own(kind) and not (file and is_installed(file))


def is_installed(file: Path) -> bool:
    """Whether a file is of this package, of Python or of a library."""
    return any(file.is_relative_to(folder) for folder in (_OURS, *_INSTALLED))


def declared(kind: object, name: str, none: Any) -> Any:
    """Return what a class says of its settings, such as `without_effect`.

    A user's class says it itself: what its base makes no use of, it may.
    """
    ours = getattr(kind, "__module__", "").partition(".")[0] == _PACKAGE
    return getattr(kind, name, none) if ours else getattr(kind, "__dict__", {}).get(name, none)


def named(kind: type) -> str:
    """Return a class's dotted name, with its file where that is a user's."""
    name, file = f"{kind.__module__}.{kind.__qualname__}", file_of(kind.__module__)
    return f"{name} ({_short(file)})" if file and is_own(kind) else name


def described(error: BaseException, module: str | None = None) -> str:
    """Return an error with its type, and the last line of the user's code that it passed through.

    Args:
        error: what was raised.
        module: of the user's that was called; beside it, a user's code is what lies below the
            working directory and the folders of PYTHONPATH, where it is looked for.
    """
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError):  # which names the place itself
        return what
    at = place(error, module)
    return f"{what} ({at})" if at else what


def place(error: BaseException, module: str | None = None) -> str:
    """Return the last line of the user's code that an error passed through, or ""."""
    folders = list(_folders(module))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(os.path.abspath(frame.filename))
        if _is_users(file, folders) and file.is_file():
            # A line that raises says what the message says.
            tells = frame.line and not frame.line.startswith("raise ")
            line = f": {frame.line}" if tells else ""
            return f"{_short(file)}, line {frame.lineno}, in {frame.name}{line}"
    return ""


def _folders(module: str | None) -> Iterator[Path]:
    yield Path.cwd()
    yield from (Path(p).absolute() for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)
    if module and (file := file_of(module)):
        yield file.parent


def _is_users(file: Path, folders: list[Path]) -> bool:
    """Whether a file lies in one of some folders, and is no library that is installed there."""
    below = any(file.is_relative_to(folder) for folder in folders)
    return below and not is_installed(file)


def _short(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)

"""What of the working directory is obeyed, which may be a folder that somebody else made.

A module there is found only if a setting names it, or if such a module imports it. It is not on
Python's path: a file called as something that a library looks for is not run.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from hydra import utils

from trimtab.config.user_code import is_installed


class _Here(MetaPathFinder):
    """Finds modules in the working directory, after all other places."""

    def __init__(self) -> None:
        self.named: set[str] = set()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if path is not None or not (fullname in self.named or _is_users(_importer())):
            return None
        return PathFinder.find_spec(fullname, [os.getcwd()])


_HERE = _Here()


def allow(*names: str) -> None:
    """Let modules that settings name, as `my_tasks.Shout` or `my_tasks`, be found here."""
    _HERE.named |= {name.partition(".")[0] for name in names}
    if _HERE not in sys.meta_path:
        sys.meta_path.append(_HERE)


def get_object(name: str) -> Any:
    """Return what a setting names, here too, as Hydra's function of this name does."""
    allow(name)
    return utils.get_object(name)


def named(node: Any) -> Iterator[str]:
    """Yield what the nodes of a configuration name: classes, functions, what Hydra is to get."""
    if isinstance(node, Mapping):
        target = str(node.get("_target_", ""))
        gets = target.startswith("hydra.utils.get_")
        yield from [target, *(str(value) for value in node.values() if gets)]
    inner = node.values() if isinstance(node, Mapping) else node
    if isinstance(node, (Mapping, list)):
        for part in inner:
            yield from named(part)


def spec_of(module: str) -> ModuleSpec | None:
    """Return where a module is, or would be if it were named, without importing it."""
    return importlib.util.find_spec(module) or PathFinder.find_spec(module, [os.getcwd()])


def import_apart(module: str) -> None:
    """Import a library that obeys a file of its settings in the working directory, without it."""
    with apart():
        importlib.import_module(module)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Be in a folder of this package, which holds no settings of libraries."""
    with contextlib.chdir(Path(__file__).parent):
        yield


def _importer() -> Path | None:
    """Return the file whose import is under way."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != __name__ and name.partition(".")[0] != "importlib":
            file = frame.f_globals.get("__file__")
            return Path(os.path.abspath(file)) if file else None
        frame = frame.f_back
    return None


def _is_users(file: Path | None) -> bool:
    return file is not None and file.is_relative_to(Path.cwd()) and not is_installed(file)

"""The files that a user's code consists of, so that it can be told whether it has changed.

They are read, not run: what a function imports only when it is called counts like any other import.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trimtab.config import working_directory
from trimtab.config.parts import Whole, parts
from trimtab.config.user_code import file_of, is_installed, is_own, is_users
from trimtab.machine import whole_files

_log = logging.getLogger(__name__)
_OURS = "trimtab."
_LONGEST_NAME = 200  # of a file that code names
_WRITTEN = re.compile(r"[wax]b?t?\+?")  # modes of open(): what is written is no source
_OF_WEIGHTS = {".safetensors", ".bin", ".json", ".jinja", ".model"}
_LOGS = (".log", ".lock", ".tmp")
_MAKES_FOLDERS = ("mkdir", "makedirs")  # what lies in these is no source either
_MOST_FILES, _MOST_BYTES = 1000, 2**26  # of a folder, and of a file in it
_PASSED = ("__pycache__", ".")  # begin the names of what is no source


def sources(*things: Any) -> list[Path]:
    """Return the files of some classes or functions, as far as they are a user's.

    These are the files that define them and what they inherit from, all that these import wherever
    they do, installed libraries aside, and the files and folders that lie beside the code, or above
    it in its package, and are named in it.
    """
    users: set[str] = set()
    modules = set()
    for thing in things:
        kinds = getattr(thing, "__mro__", (thing,))
        modules |= {kind.__module__ for kind in kinds if is_own(kind)}
        # A package that is itself installed is a user's where it builds on this one.
        if is_own(thing) and any(kind.__module__.startswith(_OURS) for kind in kinds):
            users.add(thing.__module__.partition(".")[0])
    search = _Search(users)
    for module in modules:
        search.visit(module)
    return sorted(search.found)


def behind(*wholes: Any) -> set[Path]:
    """Return the user's files that make some objects, all that these hold included.

    Beside the code these are the files, and the code, that settings of a user's class name.
    """
    held = [*wholes, *(part for whole in wholes for _, part in parts(whole))]
    functions = filter(inspect.isfunction, held)
    files = {*sources(*map(type, held), *functions)}
    for whole in held:
        if is_users(type(whole)):
            files |= {file for value in _settings(whole) for file in _of_setting(value)}
    return files


def in_no_file(*wholes: Any) -> list[str]:
    """Return the names of the user's classes, of some objects and what these hold, in no file."""
    held = [*wholes, *(part for whole in wholes for _, part in parts(whole))]
    kinds = dict.fromkeys(kind for one in held for kind in type(one).__mro__ if is_own(kind))
    return [
        kind.__qualname__
        for kind in kinds
        if kind.__module__ == "__main__" and not file_of("__main__")
    ]


def digest(files: Iterable[Path]) -> str | None:
    """Return one hash of some files, that of the file itself where it is one; None without any."""
    found = hashes(files)
    if len(found) < 2:
        return next(iter(found.values()), None)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """Return the hashes of some files, by the end of each path that tells it from the others."""
    files = sorted(set(files))
    lengths = dict.fromkeys(files, 1)
    named: dict[str, Path] = {}
    while len(named) < len(files):
        named = {}
        for file in files:
            name = "/".join(file.parts[-lengths[file] :])
            if name in named:
                lengths[file] += 1
                lengths[named[name]] += 1
            named[name] = file
    return {name: whole_files.sha256(file) for name, file in sorted(named.items())}


def located(module: str) -> Path | None:
    """Return where a module is, without importing it; None for one that is in no file."""
    if loaded := file_of(module):
        return loaded
    top, *below = module.split(".")
    try:
        spec = working_directory.spec_of(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not below:
        file = Path(spec.origin).absolute() if spec.origin else None
        return file if file and file.is_file() else None
    for place in spec.submodule_search_locations or ():
        path = Path(place).absolute().joinpath(*below)
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file():
                return file
    return None


def _settings(whole: Any) -> Iterator[Any]:
    """Yield what an object of a user's class holds; of a model, what that class adds to it."""
    if not isinstance(whole, Whole):
        yield from (value for _, value in parts(whole))
        return
    for kind in type(whole).__mro__:
        for name in vars(kind).get("__annotations__", ()) if is_users(kind) else ():
            value = getattr(whole, name, None)
            yield value
            yield from (held for _, held in parts(value))


def _of_setting(value: Any) -> set[Path]:
    if inspect.isfunction(value) or (isinstance(value, type) and is_own(value)):
        return {*sources(value)}
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        return set()
    path = Path(os.path.abspath(os.path.expanduser(os.fspath(value))))
    if os.path.isfile(path):
        return {path}
    if os.path.isdir(path):
        files = {file for file in path.iterdir() if file.suffix in _OF_WEIGHTS}
        is_model = any(file.name.endswith("config.json") for file in files)
        return _within(path) | (files if is_model else set())
    module = str(value).rpartition(".")[0]
    search = _Search(set())
    if module in sys.modules:
        search.visit(module)
    return search.found


class _Search:
    """Follows imports from file to file."""

    def __init__(self, installed: set[str]) -> None:
        self.found: set[Path] = set()
        self._installed = installed
        self._seen: set[str] = set()

    def visit(self, module: str) -> None:
        """Add a module, if it is a user's and not there yet, the packages it is in, and so on."""
        if module in self._seen:
            return
        self._seen.add(module)
        package = module.rpartition(".")[0]
        if package:
            self.visit(package)
        file = located(module)
        if file is None or (is_installed(file) and module.partition(".")[0] not in self._installed):
            return
        self.found.add(file)
        if file.suffix != ".py":
            return
        is_package = file.name == "__init__.py"
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):  # said where it is imported
            return
        for name in _imported(tree, module if is_package else package):
            self.visit(name)
        self.found |= set(_named_in(tree, file.parent))


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the names of all that may be modules in the imports of a file of some package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*above, *([module] if module else [])])
            if module:
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            for text in _texts(node):
                yield text.lstrip(".") if not text.startswith(".") else f"{package}{text}"


def _called(node: ast.Call) -> str:
    return str(getattr(node.func, "attr", None) or getattr(node.func, "id", ""))


def _texts(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value


def _named_in(tree: ast.AST, folder: Path) -> Iterator[Path]:
    """Yield the files that texts in code name, from its folder or from the working directory."""
    written = {
        text
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (_called(node).startswith("write") or any(map(_WRITTEN.fullmatch, _texts(node))))
        for text in _texts(node)
    }
    names = {
        text
        for text in set(_texts(tree)) - written
        if 0 < len(text) <= _LONGEST_NAME and text.isprintable() and not text.endswith(_LOGS)
    }
    names |= {name.strip("/") for name in names}  # as in folder + "/name"
    calls = {_called(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    whole = calls.isdisjoint(_MAKES_FOLDERS)
    seen, starts = set[Path](), [*_up(folder), Path.cwd()]
    places = [*starts]
    for place in places:  # which grows: names may follow on names of folders
        for name in names:
            path = Path(os.path.abspath(place / name))
            if path in seen or path in starts or path == path.parent:
                continue
            seen.add(path)
            if os.path.isfile(path) and not is_installed(path):
                yield path
            elif os.path.isdir(path) and (path.is_relative_to(place) or place in starts):
                places.append(path)
                yield from _within(path) if whole and path.is_relative_to(place) else ()


def _up(folder: Path) -> Iterator[Path]:
    """Yield the folder of some code, and those above it up to that of its outermost package."""
    yield folder
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
        yield folder


def _within(folder: Path) -> set[Path]:
    """Return the files in a folder and below; runs, what is hidden and what is huge aside."""
    found: set[Path] = set()
    for place, folders, names in os.walk(folder):
        is_run = "run.json" in names or is_installed(Path(place))
        folders[:] = [name for name in folders if not (is_run or name.startswith(_PASSED))]
        ours = [n for n in names if not (is_run or n.startswith(_PASSED) or n.endswith(_LOGS))]
        files = (Path(os.path.abspath(place), name) for name in ours)
        found |= {f for f in files if f.is_file() and f.stat().st_size <= _MOST_BYTES}
        if len(found) > _MOST_FILES:
            _log.warning(
                "%s has more than %d files: whether they change between runs is not looked at.",
                folder,
                _MOST_FILES,
            )
            return set()
    return found

"""The command `trimtab ls`: what a command can name, each in a line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import OmegaConf
from rich.table import Table
from rich.text import Text

from trimtab import zoo
from trimtab.cli.output import show
from trimtab.config import composition
from trimtab.config.launchers import LAUNCHERS, installed_by
from trimtab.config.overrides import Source
from trimtab.config.working_directory import get_object
from trimtab.machine.printable import printable

_VECTORS, _METHODS, _LAUNCHERS = "vectors", "methods", "launchers"
_GROUPS = {
    "models": "model",
    _METHODS: "method",
    "tasks": "task",
    "generations": "generation",
    "scorers": "scorer",
    "trackers": "tracker",
    "experiments": "experiment",
}
_KINDS = ("models", _VECTORS, *(kind for kind in _GROUPS if kind != "models"), _LAUNCHERS)


def main(arguments: Sequence[str]) -> int:
    """Print all of a kind, or of every kind, and return the exit code."""
    parser = argparse.ArgumentParser(prog="trimtab ls")
    parser.add_argument("kind", nargs="?", choices=_KINDS, help="list these alone")
    parser.add_argument(
        "-cd", "--config-dir", type=Path, metavar="DIR", help="a folder of further choices"
    )
    options = parser.parse_args(arguments)
    if options.config_dir:
        Source(further=(options.config_dir,))  # says if there is none
    for kind in [options.kind] if options.kind else _KINDS:
        further = ["needs"] if kind == _METHODS else []
        table = Table(kind, "", *further, box=None, padding=(0, 2, 0, 0), title_justify="left")
        for row in _rows(kind, options.config_dir):
            table.add_row(*(Text(printable(cell)) for cell in row))
        show(table)
    return 0


def _rows(kind: str, further: Path | None) -> Iterator[tuple[str, ...]]:
    if kind == _VECTORS:
        for name in zoo.vector_names():
            yield f"zoo:{name}", _origin(name)
    elif kind == _LAUNCHERS:
        for name, launcher in LAUNCHERS.items():
            needs = installed_by(name)
            yield name, f"{launcher.what} ({needs})" if needs else launcher.what
    else:
        for folder in (composition.DIRECTORY, *([further] if further else [])):
            own = f" ({folder})" if folder == further else ""
            for file in sorted((folder / _GROUPS[kind]).glob("*.yaml")):
                row = file.stem, _description(file) + own
                yield (*row, _needs(file)) if kind == _METHODS else row


def _description(file: Path) -> str:
    """Return the first comment of an option's file, which says what it is."""
    lines = file.read_text("utf-8", errors="replace").splitlines()
    comments = (line[1:].strip() for line in lines if line.startswith("#"))
    return next((text for text in comments if not text.startswith("@")), "")  # @package is Hydra's


def _needs(file: Path) -> str:
    """Return what a method's models must have in common, as its class says; "" if it is not found.

    A file without a class of its own goes by the first that it is made from.
    """
    try:
        node = OmegaConf.load(file)
        named = OmegaConf.select(node, "_target_")
        if named is None:
            above = [name for name in node.defaults if isinstance(name, str) and name != "_self_"]
            return _needs(file.with_name(f"{above[0]}.yaml"))
        return str(getattr(get_object(named), "needs", ""))
    except Exception:  # of a user's own, which a run will name
        return ""


def _origin(name: str) -> str:
    """Return the models that an embedded vector lies between."""
    from trimtab.vectors import Vector  # imports NumPy
    from trimtab.vectors.provenance import name_of

    facts = Vector.open(f"zoo:{name}").facts
    ends = (name_of(facts.get("base")), name_of(facts.get("aligned")))
    base, aligned = (Path(zoo.name_in(end) or end).name for end in ends)
    return f"Alignment vector from {base} to {aligned}"

"""What a command can name: models, vectors, methods, tasks and experiments, each in a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab import config, zoo

if TYPE_CHECKING:
    from rich.table import Table

_VECTORS = "vectors"
_GROUPS = {"models": "model", "methods": "method", "tasks": "task", "experiments": "experiment"}
KINDS = ("models", _VECTORS, "methods", "tasks", "experiments")


def listing(kind: str) -> Table:
    """Return all of a kind, each with what it is."""
    from rich.table import Table

    table = Table(kind, "", box=None, padding=(0, 2, 0, 0), title_justify="left")
    if kind == _VECTORS:
        for name in zoo.vector_names():
            table.add_row(f"zoo:{name}", _origin(name))
    else:
        for file in sorted((config.DIRECTORY / _GROUPS[kind]).glob("*.yaml")):
            table.add_row(file.stem, _description(file))
    return table


def _description(file: Path) -> str:
    """Return the first comment of an option's file, which says what it is."""
    lines = file.read_text("utf-8").splitlines()
    comments = (line[1:].strip() for line in lines if line.startswith("#"))
    return next((text for text in comments if not text.startswith("@")), "")  # @package is Hydra's


def _origin(name: str) -> str:
    """Return the models that an embedded vector lies between."""
    from trimtab.vectors import Vector

    facts = Vector.open(f"zoo:{name}").facts
    base, aligned = (Path(facts[end]["name"].removeprefix("zoo:")) for end in ("base", "aligned"))
    return f"Alignment vector from {base.name} to {aligned.name}"

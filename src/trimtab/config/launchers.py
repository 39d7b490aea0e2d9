"""Where the jobs of a multirun can run, and what has to be installed for that."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Launcher(NamedTuple):
    """What a launcher does, and the extra that it is in; None for one that is always there."""

    what: str
    extra: str | None = None


LAUNCHERS: Mapping[str, Launcher] = MappingProxyType(
    {
        "basic": Launcher("The jobs of a multirun one after another; the default"),
        "fused": Launcher("Jobs that differ in the dial alone are decoded together"),
        "joblib": Launcher("Processes of this machine", "joblib"),
        "ray": Launcher("A Ray cluster", "ray"),
        "submitit_local": Launcher("Processes of this machine, as if by Slurm", "submitit"),
        "submitit_slurm": Launcher("Slurm", "submitit"),
    }
)


def installed_by(name: str) -> str | None:
    """Return the command that installs a launcher; None for one that needs none, or is unknown."""
    known = LAUNCHERS.get(name)
    return f"pip install 'trimtab[{known.extra}]'" if known and known.extra else None

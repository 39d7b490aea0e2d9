"""Groups whose choices are the files of another group's folder, so that one file is enough.

A model is a file in `model/`, of the package's folder or of a further one: every role then offers
it, as in `base=NAME guide=NAME`. A role can have files of its own beside that. A scorer is a file
in `scorer/`, and `scorers` takes any number of them: `scorers=NAME`, or `'scorers=[NAME,NAME]'`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from hydra.core.config_store import ConfigStore

ROLES = ("base", "guide", "untuned")
"""What a model can be in an experiment; a method refers to those that it takes."""
SCORERS = "scorers"
"""Any number of scorers, by name: each has its settings below it, as in `scorers.quality.model`."""
FOLDERS: Mapping[str, str] = MappingProxyType(dict.fromkeys(ROLES, "model") | {SCORERS: "scorer"})
"""Where the choices of a group lie that has no folder of its own."""


def offer(*folders: Path) -> None:
    """Let each such group offer what lies in these folders, and nothing else.

    The offers are in Hydra's store, which goes with a job to whatever process it runs in.
    """
    store = ConfigStore.instance()
    for group, place in FOLDERS.items():
        # Where a file of the group's own has the name, it is that which is meant.
        names = _names(folders, place) - _names(folders, group)
        if store.repo.get(group, {}).keys() == {f"{name}.yaml" for name in names}:
            continue
        store.repo.pop(group, None)
        for name in sorted(names):
            node = {"defaults": [f"/{place}/{name}@_here_"]}
            package = f"{group}.{name}" if group == SCORERS else group
            store.store(name, node, group=group, package=package)


def _names(folders: Sequence[Path], group: str) -> set[str]:
    return {file.stem for folder in folders for file in (folder / group).glob("*.yaml")}

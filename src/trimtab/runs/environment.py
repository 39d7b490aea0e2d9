"""What a run depends on besides its settings: the state of the code, packages, the machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

from trimtab.runs.record_types import GitRecord, RunFacts

_PACKAGES = (
    "trimtab",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "datasets",
    "hydra-core",
    "omegaconf",
    "numpy",
    "wandb",
    "accelerate",
    "bitsandbytes",
    "torchao",
)


def renderer() -> str:
    """Return a hash of all that makes a prompt of a conversation, but for the model's files.

    It changes with a line of this package, and with the version of a package that takes part.
    """
    package = Path(__file__).parents[1]
    found = hashlib.sha256(platform.python_version().encode())
    for file in sorted(package.rglob("*.py")):
        found.update(f"{file.relative_to(package)}\x00".encode() + file.read_bytes())
    for name in ("transformers", "tokenizers", "jinja2"):
        found.update(f"{name} {_version(name)}\x00".encode())
    return found.hexdigest()


def now(code: Iterable[Path] = ()) -> RunFacts:
    """Return what the run depends on besides its config: code, packages, hardware.

    Args:
        code: files of the user's that it depends on; where these are in a repository, its commit
            is recorded too.
    """
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "git": _git(),
        "own_git": _own_git(code),
        "packages": {name: _version(name) for name in _PACKAGES},
        "hardware": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": devices,
        },
    }


def _git() -> GitRecord | None:
    """Commit and dirty flag of the repository that this package runs from, if it is one."""
    where = Path(__file__).parent
    root = _repository(where)
    return _commit(where) if root and (root / "src" / "trimtab").is_dir() else None


def _own_git(code: Iterable[Path]) -> list[GitRecord]:
    """Commit and dirty flag of each repository that holds some code."""
    places = {file.parent for file in code}
    roots = sorted({root for place in places if (root := _repository(place))})
    return [{"folder": root.name, **found} for root in roots if (found := _commit(root))]


def _repository(folder: Path) -> Path | None:
    root = _asked_of_git(folder, "rev-parse", "--show-toplevel")
    return Path(root) if root else None


def _commit(folder: Path) -> GitRecord | None:
    commit = _asked_of_git(folder, "rev-parse", "HEAD")
    changes = _asked_of_git(folder, "status", "--porcelain")
    return {"commit": commit, "dirty": bool(changes)} if commit else None


def _asked_of_git(folder: Path, *arguments: str) -> str | None:
    """Return what git says; None where there is no git, no repository or no commit."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

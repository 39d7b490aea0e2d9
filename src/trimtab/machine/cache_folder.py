"""The folder of this machine for what would otherwise be made, or paid for, again."""

import os
from pathlib import Path

VARIABLE = "TRIMTAB_CACHE"


def cache_folder(name: str) -> Path:
    """Return `name` in the folder that TRIMTAB_CACHE names, or in ~/.cache/trimtab."""
    root = os.environ.get(VARIABLE)
    return (Path(root).expanduser() if root else Path.home() / ".cache" / "trimtab") / name

"""Packages that not everybody needs: whether they are there, and how to get them."""

from __future__ import annotations

from importlib.util import find_spec


def require_installed(packages: tuple[str, ...], what: str) -> None:
    """Refuse what needs packages that are not there, with the command that installs them.

    Args:
        packages: as pip names them.
        what: needs them; begins the message.
    """
    absent = [name for name in packages if find_spec(name.replace("-", "_")) is None]
    if absent:
        raise ValueError(
            f"{what} needs the packages {' and '.join(packages)}: pip install {' '.join(absent)}"
        )

"""Finished runs: found, compared, chosen from, and as tables of pandas.

Names are imported when they are used: pandas takes longer than a mistake in a command should.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.results.frames import curves, read, runs_table, samples_table, tokens_table

__all__ = ["curves", "read", "runs_table", "samples_table", "tokens_table"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trimtab.results import frames

    return getattr(frames, name)

"""Finished runs: found, compared, chosen from, and as tables of pandas.

Names are imported when they are used: pandas takes longer than a mistake in a command should.
"""

from typing import TYPE_CHECKING

from trimtab.machine.lazy_names import lazily

if TYPE_CHECKING:
    from trimtab.results.frames import curves, read, runs_table, samples_table, tokens_table

__all__ = ["curves", "read", "runs_table", "samples_table", "tokens_table"]

__getattr__ = lazily(__name__, dict.fromkeys(__all__, "trimtab.results.frames"))

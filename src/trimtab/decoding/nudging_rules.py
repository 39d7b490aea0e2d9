"""Nudging's rules: who speaks when."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A word keeps the space before it. Of several spaces the authors' code, which cuts at each, leaves
# all but the last with the word before them.
_WORDS = {
    "space": re.compile(r"(?:^ +| )?[^ ]+(?: +(?= ))?| +"),
    "whitespace": re.compile(r"\s*\S+|\s+"),
}
_BLANK = {"space": " ", "whitespace": None}
_WORDS_OF_BLOCKS = _WORDS | {"space": re.compile(r" *[^ ]+| +")}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Who speaks when; the options of `trimtab.methods.Nudging`, where they are explained.

    Attributes:
        by_blocks: as in this package's first versions: the guard tests whole blocks of a turn of
            the base, several spaces are the next word's, and the base is asked before a lone space
            at the end of the guide's look-ahead.
    """

    threshold: float
    agreement: bool
    boundary: str
    stop: str
    lookahead: int
    repetition_guard: bool
    by_blocks: bool = False

    def words(self, text: str) -> list[str]:
        """Cut a guide's continuation into words; each keeps its leading space."""
        return (_WORDS_OF_BLOCKS if self.by_blocks else _WORDS)[self.boundary].findall(text)

    def is_sure(self, probability: float) -> bool:
        """Whether the base speaks, by its top-1 probability."""
        return probability >= self.threshold

    def asks_before(self, word: str) -> bool:
        """Whether the base is asked before a word: not where it is the space of one to come."""
        return self.by_blocks or word.strip(_BLANK[self.boundary]) != ""

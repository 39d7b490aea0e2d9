"""Nudging's rules: who speaks when, in each of the versions that its authors published."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_API: Mapping[str, Any] = {
    "agreement": True,
    "boundary": "space",
    "stop": "guide",
    "lookahead": 16,
    "repetition_guard": True,
}
_BY_TOKEN: Mapping[str, Any] = {
    "agreement": False,
    "boundary": "token",
    "stop": "speaker",
    "repetition_guard": False,
}
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "api": _API,
    "blocks": _API,
    "notebook": {**_BY_TOKEN, "lookahead": 16},
    "paper": {**_BY_TOKEN, "lookahead": 0},
}
"""The options of each version of the rules, by its name."""

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
    """Who speaks when; the options of `trimtab.methods.Nudging`, where they are explained."""

    threshold: float
    agreement: bool
    boundary: str
    stop: str
    lookahead: int
    repetition_guard: bool
    version: str = "api"

    @property
    def by_blocks(self) -> bool:
        """Whether the guard tests whole blocks of a turn, as in this package's first versions."""
        return self.version == "blocks"

    @property
    def asks_at_end(self) -> bool:
        """Whether the base is asked where the guide's look-ahead ends, in a word or not.

        Else the last word, which may be cut there, opens the guide's next.
        """
        return self.version == "notebook"

    def words(self, text: str) -> list[str]:
        """Cut a guide's continuation into words; each keeps its leading space."""
        return (_WORDS_OF_BLOCKS if self.by_blocks else _WORDS)[self.boundary].findall(text)

    def cut(self, pieces: Sequence[str]) -> list[str]:
        """Cut a guide's continuation into words, given what each of its tokens adds."""
        if self.boundary != "token":
            return self.words("".join(pieces))
        words: list[str] = []
        for piece in pieces:
            begins = " " in piece if self.version == "paper" else piece.startswith(" ")
            if begins or not words:
                words.append(piece)
            else:
                words[-1] += piece
        return words

    def is_sure(self, probability: float) -> bool:
        """Whether the base speaks, by its top-1 probability."""
        if self.version == "notebook":
            return probability > self.threshold
        return probability >= self.threshold

    def asks_before(self, word: str) -> bool:
        """Whether the base is asked before a word: not where it is the space of one to come."""
        blank = self.boundary in _BLANK and word.strip(_BLANK[self.boundary]) == ""
        return self.by_blocks or not blank

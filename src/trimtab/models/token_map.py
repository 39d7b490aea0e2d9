"""A map between two vocabularies: which tokens of one stand for which of the other.

PM-MinED (Wu et al., "Cross-model Control: Improving Multiple Large Language Models in One-time
Training", NeurIPS 2024, arXiv 2410.17599): a token of the target maps to the same token of the
other vocabulary; where there is none, to that of the smallest edit distance among those of which
one begins with the other. Of two such, the distance is the difference of their lengths. Theirs
compares tokens as vocabularies write them, here they are bytes, which two alphabets share.

Tokens of the other vocabulary that none of the target's maps to would be lost; they count for the
longest token of the target that begins them, which is what the target says on the way to them.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from trimtab.models.token_bytes import TokenBytes

PM_MINED, EXACT, PM_MINED_RAW = "pm-mined", "exact", "pm-mined-raw"
TOKEN_MAPS = (PM_MINED, EXACT, PM_MINED_RAW)
Match = Literal["exact", "role", "prefix", "none"]

UNMATCHED, RULED_OUT = 0, 1
"""Classes of tokens without a counterpart, and of those that what is said already rules out."""
_FIRST_CLASS = 2
_KEPT = 16  # a table of a large vocabulary takes megabytes
_CONTINUES = range(0x80, 0xC0)  # bytes that are not the first of a character


@dataclass(frozen=True)
class Classes:
    """Tokens of both vocabularies that stand for the same, by number.

    Attributes:
        target: the class of each token of the target, `UNMATCHED` for one without a counterpart.
        other: the class of each token of the other vocabulary; `UNMATCHED` for one that nothing of
            the target stands for, `RULED_OUT` for one that contradicts what is said already.
        count: how many classes there are, these two among them.
    """

    target: list[int]
    other: list[int]
    count: int


class TokenMap:
    """Which tokens of another vocabulary stand for those of a target, and the other way round.

    Args:
        target: the tokens of the vocabulary that answers are in.
        other: those of the model that is read through the map.
        kind: one of `TOKEN_MAPS`; `exact` leaves out what has not the same bytes, `pm-mined-raw`
            is the same map, through which logits are read as they are.
    """

    def __init__(self, target: TokenBytes, other: TokenBytes, kind: str = PM_MINED) -> None:
        self.target = target
        self.other = other
        self.kind = kind
        # What follows part of a character is asked for rarely, and by few different parts.
        self._classes = lru_cache(maxsize=_KEPT)(self._find_classes)
        self._nearest = lru_cache(maxsize=_KEPT)(self._find_nearest)

    def classes(self, pending: bytes = b"") -> Classes:
        """Return the classes of tokens.

        Args:
            pending: the bytes of a character that the target has begun to say, and the other
                model has not read: its tokens that go on otherwise are ruled out.
        """
        return self._classes(pending)

    def nearest(self, pending: bytes = b"") -> list[int]:
        """Return the other's token for each of the target's; -1 for none.

        Of several alike it is the first, one that is written as text before one that is a number.

        Args:
            pending: as above.
        """
        return self._nearest(pending)

    def _find_nearest(self, pending: bytes) -> list[int]:
        return [self._first(key) for key in self._keys(pending)]

    @cached_property
    def matches(self) -> list[Match]:
        """How each token of the target is matched."""
        return [
            "none" if i < 0 else "role" if own is None else self._match(own, i)
            for own, i in zip(self.target.spelled, self.nearest(), strict=True)
        ]

    def _match(self, own: bytes, i: int) -> Match:
        return "exact" if self.other.spelled[i] == own else "prefix"

    def _first(self, key: str | bytes | None) -> int:
        if key is None:
            return -1
        return min(self.other.signs[key]) if isinstance(key, str) else self._other_words.ids[key]

    def _find_classes(self, pending: bytes) -> Classes:
        keys = self._keys(pending)
        found = dict.fromkeys(key for key in keys if key is not None)
        numbers = {key: i for i, key in enumerate(found, _FIRST_CLASS)}
        own = [UNMATCHED if key is None else numbers[key] for key in keys]
        other = [UNMATCHED] * len(self.other.spelled)
        for key, number in numbers.items():
            if isinstance(key, str):
                for i in self.other.signs[key]:
                    other[i] = number
        said = self._target_words
        if pending:
            said = _Words({word: i for i, word in enumerate(self._said(pending)) if word})
        for i, word in enumerate(self.other.spelled):
            if word is None:
                continue
            if not (word.startswith(pending) or pending.startswith(word)):
                other[i] = RULED_OUT
            elif word in numbers:
                other[i] = numbers[word]
            elif self.kind != EXACT and (begun := said.longest_in(word)) is not None:
                other[i] = own[said.ids[begun]]
        return Classes(own, other, _FIRST_CLASS + len(numbers))

    def _keys(self, pending: bytes) -> list[str | bytes | None]:
        """Return what each token of the target maps to: bytes, the role of a sign, or nothing."""
        roles = {i: role for role, ids in self.target.signs.items() for i in ids}
        alike = self.other.signs.keys()
        words = self._other_words
        keys: list[str | bytes | None] = []
        for i, word in enumerate(self._said(pending)):
            if word is not None:
                keys.append(words.nearest(word, exactly=self.kind == EXACT))
            else:
                keys.append(roles[i] if roles.get(i) in alike else None)
        return keys

    def _said(self, pending: bytes) -> Iterable[bytes | None]:
        """Return what stands after a token of the target is said; None where that is no text."""
        if not pending:
            return self.target.spelled
        return (
            pending + word if word and word[0] in _CONTINUES else None
            for word in self.target.spelled
        )

    @cached_property
    def _target_words(self) -> _Words:
        return _Words(self.target.ids)

    @cached_property
    def _other_words(self) -> _Words:
        return _Words(self.other.ids)


class _Words:
    """The words of a vocabulary, to be looked up.

    Args:
        ids: the token of each.
    """

    def __init__(self, ids: Mapping[bytes, int]) -> None:
        self.ids = ids

    @cached_property
    def _in_order(self) -> list[bytes]:
        return sorted(self.ids)

    def nearest(self, word: bytes, *, exactly: bool) -> bytes | None:
        """Return the word of the smallest edit distance of which one begins with the other."""
        if word in self.ids or exactly or not word:
            return word if word in self.ids else None
        begun, longer = self.longest_in(word), self.shortest_after(word)
        if begun is None or longer is None:
            return begun or longer
        return begun if len(word) - len(begun) <= len(longer) - len(word) else longer

    def longest_in(self, word: bytes) -> bytes | None:
        """Return the longest word that another begins with."""
        for length in range(len(word), 0, -1):
            if word[:length] in self.ids:
                return word[:length]
        return None

    def shortest_after(self, word: bytes) -> bytes | None:
        """Return the shortest word that begins with another; of several the first by id."""
        start = bisect.bisect_left(self._in_order, word)
        following = (self._in_order[i] for i in range(start, len(self._in_order)))
        longer = itertools.takewhile(lambda other: other.startswith(word), following)
        return min(longer, key=lambda other: (len(other), self.ids[other]), default=None)

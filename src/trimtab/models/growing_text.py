"""Canonical tokens of a text that grows at its end, found from the last stable boundary.

What stands before a boundary and what follows are tokenized as if they were alone (see
`boundaries`), so a text need be tokenized only from its last boundary on.
"""

from __future__ import annotations

from trimtab.models.codec import Codec

# Characters that stay open to change at the end of a text.
_TAIL = 128
# Characters before a boundary that are tokenized again, so that what follows is read in mid-text.
_LEAD = 16


class GrowingText:
    """Tokens of texts that each begin with what was settled of the ones before.

    Any text gets its canonical tokens; one that does not begin so costs a pass over all of it.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._settled = ""
        self._settled_tokens: list[int] = []
        self._lead = ""
        self._lead_tokens: list[int] = []

    def tokens(self, text: str) -> list[int]:
        """Return the canonical tokens of `text`, with the beginning-of-sequence token once."""
        tokens = self._from_boundary(text)
        if tokens is None:
            self._settled, tokens = "", self._codec.encode(text)
        if len(text) > len(self._settled) + 2 * _TAIL:
            self._settle(text, tokens)
        return tokens

    def _from_boundary(self, text: str) -> list[int] | None:
        if not self._settled or not text.startswith(self._settled):
            return None
        tail = self._codec.encode_bare(self._lead + text[len(self._settled) :])
        if tail[: len(self._lead_tokens)] != self._lead_tokens:
            return None
        return self._settled_tokens + tail[len(self._lead_tokens) :]

    def _settle(self, text: str, tokens: list[int]) -> None:
        """Move to the last boundary that leaves enough of the text open to change."""
        end = self._codec.last_boundary(text, len(text) - _TAIL)
        if end - _LEAD <= len(self._settled):
            return
        lead = text[end - _LEAD : end]
        lead_tokens = self._codec.encode_bare(lead)
        rest = self._codec.encode_bare(lead + text[end:])[len(lead_tokens) :]
        if rest and tokens[-len(rest) :] == rest:
            self._settled, self._settled_tokens = text[:end], tokens[: -len(rest)]
            self._lead, self._lead_tokens = lead, lead_tokens

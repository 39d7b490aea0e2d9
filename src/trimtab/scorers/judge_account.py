"""Where a judge is and by which key it is asked: from OPENAI_BASE_URL and OPENAI_API_KEY alone.

Both go nowhere else: into no message, log, record or file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from trimtab.machine.redaction import redact, secrets_of

KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A server and what opens it.

    Attributes:
        key: sent as a bearer token.
        url: without its query; None for OpenAI's own.
        query: goes with each request.
    """

    key: str = field(repr=False)
    url: str | None = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    _secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def of_environment(cls) -> Account:
        """Return what the environment says.

        Raises:
            ValueError: without a usable key or address.
        """
        key = _key()
        url = os.environ.get(ADDRESS, "").strip()
        query = _query(url) if url else {}
        secrets = (key, *(secrets_of(url) if url else ()))
        base = url.partition("?")[0] or None
        return cls(key=key, url=base, query=query, _secrets=secrets)

    def without_secrets(self, text: str) -> str:
        """Return what somebody else says, without the key and the address."""
        return redact(text, self._secrets)


def _key() -> str:
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise ValueError(
            f"A judge needs a key: set the environment variable {KEY}. For a server that asks for "
            f"none, any word will do; {ADDRESS} says where the server is."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError(
            f"The key in {KEY} has characters that no key has. Copy it again: printable ASCII, no "
            "blanks."
        )
    return key


def _query(url: str) -> dict[str, str]:
    """Return the query of an address that is one."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        valid = valid and not parts.fragment and len(dict(pairs)) == len(pairs)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(
            f"{ADDRESS} is not the address of a server: accepted is http:// or https://, a host "
            "and a path, such as http://localhost:8000/v1, and a query that names nothing twice."
        )
    if "@" in parts.netloc:
        raise ValueError(
            f"{ADDRESS} holds a user name or a password, which would be sent in place of the key. "
            f"Leave them out: a server is opened by {KEY}, as a bearer token."
        )
    return dict(pairs)

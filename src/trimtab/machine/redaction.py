"""Secrets taken out of what others say, before it gets into a message, a record or a cache."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, unquote, urlsplit

_HIDDEN = "***"
_SHORTEST = 6  # what is shorter is a word such as EMPTY, for servers that want any key
# What may open a door in a path, in which there are words too, and names of models.
_TOKEN = re.compile(
    r"(?<=/)(?<!/deployments/)(?<!/models/)(?:(?=[^/]*\d)[^/]{8,}|[^/]{16,})(?![^/])"
)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return a text in which secrets are ***, in every form in which a server may quote them."""
    forms = {form for secret in secrets for form in _forms(secret) if len(secret) >= _SHORTEST}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, _HIDDEN)
    return text


def secrets_of(url: str) -> Iterator[str]:
    """Yield what nobody should read of a private address: itself, where it is, what it carries."""
    try:
        parts = urlsplit(url)
    except ValueError:  # such as http://[host, which nobody can be asked at
        yield url
        return
    yield from (url, url.rstrip("/"), f"{parts.scheme}://{parts.netloc}{parts.path}", parts.netloc)
    yield from (parts.netloc.rpartition("@")[2], parts.hostname or "")
    yield from (parts.username or "", parts.password or "")
    yield from (value for _, value in parse_qsl(parts.query))
    yield from _TOKEN.findall(parts.path)


def _forms(secret: str) -> Iterator[str]:
    for form in (secret, unquote(secret)):
        yield from (form, json.dumps(form)[1:-1], quote(form, safe=""), quote(form))
        yield from (html.escape(form), form.lower())

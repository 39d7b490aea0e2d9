"""The connection to a judge: an OpenAI-compatible server, with patience for its troubles.

The address and the key come from the environment alone, from OPENAI_BASE_URL and OPENAI_API_KEY,
and go nowhere else: into no message, log or record.
"""

from __future__ import annotations

import email.utils
import logging
import math
import os
import random
import socket
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import openai

KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds before a request is repeated
_PATIENCE = 300.0  # seconds; a server that wants to be left alone for longer is given up
_GREETING = 3.0  # seconds to wait for a connection before anything is asked
_SAID = 300  # characters of a server's message that are shown
_TEMPORARY = (408, 409, 429)  # and all from 500 up
# Parts of a request that some servers and models refuse, and the setting that leaves them out.
_OPTIONAL = {
    "response_format": "json_mode=false",
    "temperature": "temperature=null",
    "max_tokens": "max_tokens=null",
}
# They would tell the address.
_TALKATIVE = ("httpcore", "httpcore2", "httpx", "httpx2", "openai")


class NoAnswer(Exception):
    """One request that stays without an answer, whatever was tried."""


class _Trouble(Exception):
    """A failure that may pass; `wait` is how many seconds the server asks for, if it does."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an endpoint answers to one request.

    Attributes:
        text: the answer; empty where the model gave none.
        model: what the server says has answered, which may be more precise than what was asked for.
        finish_reason: why the text ends, as the server says it.
        tokens: of `prompt` and `completion`, as far as the server counts them.
        date: when it came, UTC.
    """

    text: str
    model: str | None
    finish_reason: str | None
    tokens: Mapping[str, int]
    date: str


class Endpoint:
    """An OpenAI-compatible server; many threads may ask at once.

    Args:
        timeout: seconds that a server may be silent.
        retries: how often a request is repeated that met a fault which may pass: HTTP 408, 409, 429
            and 5xx, no connection, a time-out, an answer cut off or not of the right form. The
            waits in between double, with jitter; a server's Retry-After goes before.

    Raises:
        ValueError: without a usable key or address in the environment, or without the package.
    """

    def __init__(self, *, timeout: float, retries: int) -> None:
        try:
            import openai
        except ModuleNotFoundError:
            raise ValueError(
                "A judge needs the package openai: pip install 'trimtab[judge]'."
            ) from None
        for name in _TALKATIVE:
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.WARNING)
        self._key, url = _key(), _url()
        self._retries = retries
        self._halted = threading.Event()
        self._client = openai.OpenAI(
            api_key=self._key, base_url=url, timeout=timeout, max_retries=0
        )
        base = self._client.base_url
        self._secrets = (self._key, str(base), base.netloc.decode())
        self.address = f"{base.host}:{base.port or ''}{base.path}"

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def require_listening(self) -> None:
        """Raise ConnectionError if nobody listens at the address; nothing is asked there."""
        base = self._client.base_url
        if _has_proxy(base.scheme, base.host):
            return
        port = base.port or (443 if base.scheme == "https" else 80)
        try:
            socket.create_connection((base.host, port), timeout=_GREETING).close()
        except TimeoutError:  # slow is not down
            return
        except OSError as error:
            raise ConnectionError(
                f"The judge's server cannot be reached ({error.strerror or type(error).__name__}). "
                f"Start it, or set {ADDRESS} to where it is."
            ) from None

    def halt(self) -> None:
        """Let no request begin, and none be repeated, from now on."""
        self._halted.set()

    def ask(self, request: Mapping[str, Any]) -> Reply:
        """Return the reply to a chat completion request.

        Raises:
            NoAnswer: if there is none after all retries, or the request itself is refused.
            ValueError: if every request would fail: the key, the model or an option is refused.
        """
        for retry in range(self._retries + 1):
            if self._halted.is_set():
                raise NoAnswer("stopped before it was asked")
            try:
                return self._ask_once(request)
            except _Trouble as trouble:
                problem = trouble
            wait = problem.wait if problem.wait is not None else _backoff(retry)
            if wait > _PATIENCE:
                raise NoAnswer(f"{problem}; the server asks for {wait:.0f} seconds of patience")
            if retry < self._retries:
                self._halted.wait(wait)
        raise NoAnswer(f"{problem} (asked {self._retries + 1} times)")

    def _ask_once(self, request: Mapping[str, Any]) -> Reply:
        import openai

        try:
            response = self._client.chat.completions.with_raw_response.create(**request)
            return _reply(response.http_response.json())
        # `from None`: the original holds the request, and with it the key.
        except openai.APITimeoutError:
            raise _Trouble("no answer in time") from None
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__
            raise _Trouble(f"the connection failed ({cause})") from None
        except openai.APIStatusError as error:
            raise self._failure(error, request) from None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise _Trouble("an answer that is no chat completion") from None

    def _failure(self, error: openai.APIStatusError, request: Mapping[str, Any]) -> Exception:
        status, body = error.status_code, error.body
        told = body.get("message") if isinstance(body, dict) else None
        said = self._without_secrets(str(told or error.message))
        if status in (401, 403):  # what the server says may quote the key
            return ValueError(
                f"The judge's endpoint refuses the key (HTTP {status}). Set {KEY} to one that may "
                f"use {request['model']!r}, and {ADDRESS} to the server that it belongs to."
            )
        if status == 404:
            return ValueError(
                f"The judge's endpoint has no model {request['model']!r}, or no chat completions "
                f"(HTTP 404: {said}). Check judge.model, and {ADDRESS}, which ends in /v1 as a "
                "rule."
            )
        if error.code == "insufficient_quota":
            return ValueError(
                f"The account of {KEY} has no quota left ({said}). What is judged is kept: the "
                "same command goes on once there is."
            )
        if status in _TEMPORARY or status >= 500:
            return _Trouble(f"HTTP {status}: {said}", _retry_after(error.response.headers))
        # Some servers name the option in their message alone.
        named = "response_format" if "response_format" in said else str(error.param).split(".")[0]
        if named in _OPTIONAL and named in request:
            return ValueError(
                f"The judge's endpoint refuses {named!r} (HTTP {status}: {said}). Leave it out: "
                f"judge.{_OPTIONAL[named]}."
            )
        return NoAnswer(f"HTTP {status}: {said}")

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:_SAID]


def _has_proxy(scheme: str, host: str) -> bool:
    """Whether requests go to a proxy, which alone may know the way."""
    proxies = urllib.request.getproxies()
    return bool({scheme, "all"} & proxies.keys()) and not urllib.request.proxy_bypass(host)


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


def _url() -> str | None:
    url = os.environ.get(ADDRESS, "").strip()
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if url and not valid:
        raise ValueError(
            f"{ADDRESS} is not the address of a server: accepted is http:// or https://, a host "
            "and a path, such as http://localhost:8000/v1."
        )
    return url or None


def _reply(body: Any) -> Reply:
    """Read the body of a chat completion; it fails somehow if it is none."""
    choice = body["choices"][0]
    text = choice["message"].get("content") or ""  # null, or not there, where the model refuses
    if not isinstance(text, str):
        raise TypeError("content is not text")
    usage = body.get("usage")
    return Reply(
        text=text.encode(errors="replace").decode(),  # half a surrogate pair cannot be recorded
        model=body.get("model"),
        finish_reason=choice.get("finish_reason"),
        tokens=_tokens(usage if isinstance(usage, dict) else {}),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _tokens(usage: Mapping[str, Any]) -> dict[str, int]:
    counts = {part: usage.get(f"{part}_tokens") for part in ("prompt", "completion")}
    # A server that does not count is no reason to throw away what it answered.
    return {part: count for part, count in counts.items() if isinstance(count, int)}


def _backoff(retry: int) -> float:
    """Seconds to wait: doubling, and not for all requests alike."""
    return min(_FIRST_WAIT * 2.0**retry, _LONGEST_WAIT) * random.uniform(0.5, 1)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks for, which it gives as a number or as a date (RFC 9110)."""
    header = headers.get("retry-after", "")
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None

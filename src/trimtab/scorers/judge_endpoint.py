"""The connection to a judge: an OpenAI-compatible server, with patience for its troubles."""

from __future__ import annotations

import dataclasses
import email.utils
import logging
import math
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from trimtab.machine.network import unreachable
from trimtab.scorers.judge_account import ADDRESS, KEY, Account
from trimtab.scorers.judge_reply import Reply, is_filtered, read_reply, refused

if TYPE_CHECKING:
    import openai

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds before a request is repeated
_PATIENCE = 300.0  # seconds; a server that wants to be left alone for longer is given up
_SAID = 300  # characters of a server's message that are shown
_LONGEST, _LONGEST_PACKED = 1 << 20, 1 << 16  # bytes of an answer; packed ones grow
_TEMPORARY = (408, 409, 429)  # and all from 500 up
# Where a message may be a filter's.
_OF_ONE_REQUEST = (400, 403, 422, 451)
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


class Refused(NoAnswer):
    """A request that the server refuses for what it is, such as one that is too long for it."""


class _TooLong(Exception):
    """An answer that nobody needs."""


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
        self._account = Account.of_environment()
        self._retries = retries
        self._halted = threading.Event()
        self._client = openai.OpenAI(
            api_key=self._account.key,
            base_url=self._account.url,
            default_query=self._account.query,
            default_headers={"Accept-Encoding": "identity"},
            timeout=timeout,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(event_hooks={"response": [_bound]}),
        )
        base = self._client.base_url
        query = f"?{urlencode(self._account.query)}" if self._account.query else ""
        self.address = f"{base.host}:{base.port or ''}{base.path}{query}"

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def require_listening(self) -> None:
        """Raise ConnectionError if nobody listens at the address; nothing is asked there."""
        if why := unreachable(str(self._client.base_url)):
            raise ConnectionError(
                f"The judge's server cannot be reached ({why}). Start it, or set {ADDRESS} to "
                "where it is."
            )

    def halt(self) -> None:
        """Let no request begin, and none be repeated, from now on."""
        self._halted.set()

    def ask(self, request: Mapping[str, Any]) -> Reply:
        """Return the reply to a chat completion request; one that a filter refuses is a reply too.

        Raises:
            Refused: if the server refuses this request, whoever may be behind it.
            NoAnswer: if there is none after all retries.
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
            body = response.http_response.json()
            told = body.get("error") if isinstance(body, dict) else None
            if told and not body.get("choices"):
                return self._told(told)
            return self._clean(read_reply(body))
        # `from None`: the original holds the request, and with it the key.
        except openai.APITimeoutError:
            raise _Trouble("no answer in time") from None
        except _TooLong as error:
            raise Refused(str(error)) from None
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, _TooLong):  # as some versions of the client have it
                raise Refused(str(error.__cause__)) from None
            cause = type(error.__cause__).__name__
            raise _Trouble(f"the connection failed ({cause})") from None
        except openai.APIStatusError as error:
            if is_filtered(error.body, in_words=error.status_code in _OF_ONE_REQUEST):
                return refused(f"HTTP {error.status_code}: {self._said(error.body, error.message)}")
            raise self._failure(error, request) from None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise _Trouble("an answer that is no chat completion") from None

    def _told(self, error: Any) -> Reply:
        """Read an error that comes as if it were an answer."""
        said = self._said(error, "")
        if is_filtered(error, in_words=True):
            return refused(said)
        raise _Trouble(f"an error in place of an answer: {said}")

    def _failure(self, error: openai.APIStatusError, request: Mapping[str, Any]) -> Exception:
        status = error.status_code
        said = self._said(error.body, error.message)
        if status in (401, 403):  # what the server says may quote the key
            return ValueError(
                f"The judge's endpoint refuses the key (HTTP {status}). Set {KEY} to one that may "
                f"use {request['model']!r}, and {ADDRESS} to the server that it belongs to."
            )
        if status == 404:
            return ValueError(
                f"The judge's endpoint has no model {request['model']!r}, or no chat completions "
                f"(HTTP 404: {said}). Check scorers.NAME.model, and {ADDRESS}, which ends in /v1 "
                "as a rule."
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
                f"scorers.NAME.{_OPTIONAL[named]}."
            )
        return Refused(f"HTTP {status}: {said}")

    def _said(self, body: Any, otherwise: str) -> str:
        """Return a server's message in a line, without secrets."""
        told = body.get("message") if isinstance(body, dict) else None
        text = self._account.without_secrets(str(told or otherwise or body))
        return " ".join(text.split())[:_SAID]

    def _clean(self, reply: Reply) -> Reply:
        """Return a reply without the secrets that whoever answers may quote."""
        without = self._account.without_secrets
        return dataclasses.replace(
            reply,
            text=without(reply.text),
            model=reply.model and without(reply.model),
            finish_reason=reply.finish_reason and without(reply.finish_reason),
            refusal=reply.refusal and without(reply.refusal),
        )


def _bound(response: Any) -> None:
    """Let no answer be read that is longer than any judgement, whatever the server sends."""
    # Of httpx or of its successor: the client has one of them.
    library = sys.modules[type(response).__module__.partition(".")[0]]
    base: Any = library.SyncByteStream
    packed = response.headers.get("content-encoding", "identity") != "identity"
    longest = _LONGEST_PACKED if packed else _LONGEST
    stream = response.stream

    class Bounded(base):
        def __iter__(self) -> Iterator[bytes]:
            length = 0
            for chunk in stream:
                length += len(chunk)
                if length > longest:
                    raise _TooLong(f"an answer of more than {longest:,} bytes")
                yield chunk

        def close(self) -> None:
            stream.close()

    response.stream = Bounded()


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

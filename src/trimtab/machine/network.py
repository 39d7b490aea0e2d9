"""Whether somebody listens at an address, found out before anything depends on it."""

from __future__ import annotations

import functools
import time
from contextlib import suppress
from urllib.parse import urlsplit

_PATIENCE = 3.0  # seconds
_SOON = 2.0  # seconds


def unreachable(url: str) -> str | None:
    """Return why nobody can be reached at an address, or None where somebody may be.

    What is slow to accept may be there, and so may what only a proxy knows the way to.
    """
    if _is_by_proxy(url):
        return None
    try:
        _connect(url, _PATIENCE)
    except TimeoutError:
        return None
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def answers_soon(url: str) -> bool:
    """Whether somebody accepts within two seconds, as far as we can tell: a proxy may reach it.

    What was found is remembered for a minute, as several ask one after another.
    """
    return _is_by_proxy(url) or _answers(url, int(time.monotonic() // 60))


@functools.lru_cache(maxsize=8)
def _answers(url: str, minute: int) -> bool:
    import threading

    answered = threading.Event()

    def connect() -> None:
        with suppress(OSError):
            _connect(url, _SOON)
            answered.set()

    # Looking a name up has no timeout of its own.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(_SOON)
    return answered.is_set()


def _is_by_proxy(url: str) -> bool:
    from urllib.request import getproxies, proxy_bypass  # which takes a while to import

    parts = urlsplit(url)
    proxied = {parts.scheme, "all"} & getproxies().keys()
    return bool(proxied) and not proxy_bypass(parts.hostname or "")


def _connect(url: str, patience: float) -> None:
    import socket

    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), timeout=patience).close()

"""Whether somebody listens at an address, found out before anything depends on it."""

from __future__ import annotations

import socket
import urllib.request
from urllib.parse import urlsplit

_PATIENCE = 3.0  # seconds


def unreachable(url: str) -> str | None:
    """Return why nobody can be reached at an address, or None where somebody may be.

    What is slow to accept may be there, and so may what only a proxy knows the way to.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = urllib.request.getproxies()
    if {parts.scheme, "all"} & proxies.keys() and not urllib.request.proxy_bypass(host):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except TimeoutError:
        return None
    except OSError as error:
        return error.strerror or type(error).__name__
    return None

"""Rows of the Hugging Face hub, without a long wait where there is no network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

if TYPE_CHECKING:
    from datasets import Dataset


def load_rows(name: str, config: str | None, *, split: str, revision: str | None) -> Dataset:
    """Return a split of a data set of the hub, from the cache where the hub's host is unknown.

    A slow network, or one that fails now and then, is retried by the hub's own client, as ever.

    Raises:
        ConnectionError: if the host is unknown and the cache does not have the rows.
        Exception: whatever the hub's client raises.
    """
    from datasets import load_dataset
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname or ""
    if is_known(host):
        return load_dataset(name, config, split=split, revision=revision)
    try:
        with _offline():
            return load_dataset(name, config, split=split, revision=revision)
    except ConnectionError as error:
        raise ConnectionError(
            f"the host {host!r} is not found, and the rows are not in the cache of an earlier run."
        ) from error


def is_known(host: str) -> bool:
    """Whether a host has an address, as far as we can tell: a proxy looks it up by itself."""
    if getproxies().keys() & {"http", "https", "all"}:
        return True
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


@contextmanager
def _offline() -> Iterator[None]:
    """Let the hub's client go by its cache alone: it has no argument that says so."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before

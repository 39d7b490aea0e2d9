"""Repositories of the Hugging Face hub as folders of its cache, without a long wait."""

from __future__ import annotations

import functools
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

_PATIENCE = 2.0  # seconds that a host has to answer


def snapshot(name: str, revision: str | None, patterns: Sequence[str], what: str) -> Path:
    """Return the cache's folder of a repository, with the files that are not there yet downloaded.

    Where the hub's host does not answer, what an earlier download has left is taken.

    Args:
        name: the hub id.
        revision: branch, tag or commit; None for the main branch.
        patterns: which files are wanted; those in folders of the repository are not.
        what: what it is, for the error.

    Raises:
        ValueError: for what cannot be had.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError

    there = constants.HF_HUB_OFFLINE or is_reachable(constants.ENDPOINT)
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(patterns),
                ignore_patterns=["*/*"],
                local_files_only=not there,
            )
        )
    except IncompleteSnapshotError as error:  # whoever reads it misses what it needs, or nothing
        return Path(error.snapshot_path)
    except Exception as error:  # whatever its many layers raise
        if there and not constants.HF_HUB_OFFLINE:
            why = " ".join(filter(None, map(str.strip, str(error).splitlines()[:3])))
            raise ValueError(
                f"{what} {name!r}: there is no such folder, and the hub gives none: {why}"
            ) from error
        reason = (
            "HF_HUB_OFFLINE is set" if there else f"the hub ({constants.ENDPOINT}) does not answer"
        )
        raise ValueError(
            f"{what} {name!r}: there is no such folder, {reason}, and the cache "
            f"({constants.HF_HUB_CACHE}) does not hold {revision or 'it'}. Give a local folder, or "
            f"download it where there is a network: hf download {name}"
        ) from error


def commit_of(folder: Path) -> str:
    """Return the commit that a folder of the cache is of."""
    return folder.name


def is_reachable(endpoint: str) -> bool:
    """Whether a server answers, as far as we can tell: a proxy may reach it where we do not.

    What was found is remembered for a minute, as several models ask one after another.
    """
    if getproxies().keys() & {"http", "https", "all"}:
        return True
    return _answers(endpoint, int(time.monotonic() // 60))


@functools.lru_cache(maxsize=8)
def _answers(endpoint: str, minute: int) -> bool:
    address = urlsplit(endpoint)
    port = address.port or (80 if address.scheme == "http" else 443)
    answered = threading.Event()

    def connect() -> None:
        with suppress(OSError):
            socket.create_connection((address.hostname or "", port), timeout=_PATIENCE).close()
            answered.set()

    # Looking a name up has no timeout of its own.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(_PATIENCE)
    return answered.is_set()

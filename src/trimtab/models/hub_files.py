"""Repositories of the Hugging Face hub as folders of its cache, without a long wait."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trimtab.machine.network import answers_soon


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

    there = constants.HF_HUB_OFFLINE or answers_soon(constants.ENDPOINT)
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

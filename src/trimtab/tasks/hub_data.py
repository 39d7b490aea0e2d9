"""Rows of the Hugging Face hub, without a long wait where there is no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trimtab.machine.network import answers_soon

if TYPE_CHECKING:
    from datasets import Dataset


def load_rows(name: str, config: str | None, *, split: str, revision: str | None) -> Dataset:
    """Return a split of a data set of the hub, from the cache where the hub does not answer.

    A slow network, or one that fails now and then, is retried by the hub's own client, as ever.

    Raises:
        ValueError: if a file or folder of this name is in the working directory, which the client
            would read instead.
        ConnectionError: if the hub does not answer and the cache does not have the rows.
        Exception: whatever the hub's client raises.
    """
    from datasets import load_dataset
    from huggingface_hub import constants

    if not os.path.isabs(name) and os.path.exists(name):
        raise ValueError(f"{os.path.abspath(name)} would be read in its place. Move it away.")
    if answers_soon(constants.ENDPOINT):
        return load_dataset(name, config, split=split, revision=revision)
    try:
        with _offline():
            return load_dataset(name, config, split=split, revision=revision)
    except ConnectionError as error:
        raise ConnectionError(
            f"the hub ({constants.ENDPOINT}) does not answer, and the rows are not in the "
            "cache of an earlier run."
        ) from error


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

"""Shared models: the embedded family, each loaded once."""

import functools
import os

import pytest
import torch

from trimtab import LanguageModel

torch.set_num_threads(1)
# As wide wherever the tests run; those about width say theirs.
os.environ["COLUMNS"] = "160"


@functools.cache
def zoo_model(name: str) -> LanguageModel:
    """Return an embedded model, rendered as its name says (base: plain, all others: chat)."""
    prompt = "plain" if name.endswith("-base") else "chat"
    return LanguageModel(path=f"zoo:{name}", prompt=prompt)


@pytest.fixture(scope="session")
def zoo():
    """The loader of embedded models, by name."""
    return zoo_model

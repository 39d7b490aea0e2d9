"""Shared models: the embedded family, each loaded once."""

import functools

import pytest
import torch

from trimtab import LanguageModel

torch.set_num_threads(1)


@functools.cache
def zoo_model(name: str) -> LanguageModel:
    """Return an embedded model, rendered as its name says (base: plain, all others: chat)."""
    prompt = "plain" if name.endswith("-base") else "chat"
    return LanguageModel(path=f"zoo:{name}", prompt=prompt)


@pytest.fixture(scope="session")
def zoo():
    """The loader of embedded models, by name."""
    return zoo_model

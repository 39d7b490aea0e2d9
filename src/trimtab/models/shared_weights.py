"""One copy of the weights for models of one method that differ in a live adapter alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable

from trimtab.models.language_model import LanguageModel

# How a model is asked, and what is added to its weights: they stay the same.
_BESIDE_WEIGHTS = {
    "prompt",
    "chat_template",
    "tokenizer_path",
    "adapter",
    "adapter_mode",
    "token_map",
}


def share(models: Iterable[LanguageModel]) -> None:
    """Let models with live adapters use the weights of another that has the same base.

    Weights that are loaded already stay where they are. Otherwise equal models without a live
    adapter keep a copy each.
    """
    owners: dict[Hashable, LanguageModel] = {}
    known = [model for model in models if "_in_memory" not in model.__dict__]
    for model in sorted(known, key=_rank):
        if model.adapter is None:
            owner = owners.setdefault(_base(model), model)
            if not any(owner is each for each in known):  # loaded for a model with an adapter
                model.__dict__["weights"] = owner.weights
        elif model.has_live_adapter:
            owner = owners.setdefault(_base(model), model.without_adapter)
            if "weights" not in model.__dict__:
                model.__dict__["without_adapter"] = owner


def _rank(model: LanguageModel) -> tuple[bool, bool]:
    """Return what comes first: what is loaded; of those, models without an adapter."""
    held = model.without_adapter if model.has_live_adapter else model
    return "weights" not in held.__dict__, model.has_live_adapter


def _base(model: LanguageModel) -> Hashable:
    """Return what decides a model's weights, adapters aside."""
    settings = {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(model)
        if field.name not in _BESIDE_WEIGHTS
    }
    return type(model), *(repr(item) for item in settings.items())

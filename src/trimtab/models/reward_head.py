"""A sequence classifier's output at each position, where transformers gives that of the last.

Legend: R rows of a pass, T tokens of a row, K last positions of them.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import Cache, PreTrainedModel

from trimtab.models.language_model import LanguageModel

_HEAD = "score"


class AtEachPosition(nn.Module):
    """A classifier as a language model's session reads one.

    Args:
        classifier: the model; `score` is its head.
    """

    def __init__(self, classifier: PreTrainedModel) -> None:
        super().__init__()
        self.config, self.dtype, self.device = (
            classifier.config,
            classifier.dtype,
            classifier.device,
        )
        self._body = getattr(classifier, classifier.base_model_prefix)
        self._head = getattr(classifier, _HEAD)
        self._is_stateful = getattr(classifier, "_is_stateful", False)

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        past_key_values: Cache,
        use_cache: bool,
        logits_to_keep: int,
    ) -> SimpleNamespace:
        """Return `logits`, `[R, K, 1]`."""
        given: dict[str, Any] = {"attention_mask": attention_mask, "position_ids": position_ids}
        hidden_RTH = self._body(
            input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache, **given
        ).last_hidden_state
        return SimpleNamespace(logits=self._head(hidden_RTH[:, -logits_to_keep:]))


def at_each_position(model: LanguageModel) -> AtEachPosition:
    """Return a classifier that says what it says at each position.

    Raises:
        ValueError: for one whose output is none of its last hidden state.
    """
    classifier = model.weights
    if not isinstance(getattr(classifier, _HEAD, None), nn.Module):
        raise ValueError(
            f"{model.path!r} ({type(classifier).__name__}) has no head {_HEAD!r} on its last "
            "token, by which a reward can be read while an answer is made. best_of_n takes any."
        )
    return AtEachPosition(classifier)

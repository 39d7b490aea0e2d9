"""The last hidden states of a model: what its logits are made of, as it hands them to its head.

Legend: R rows of a pass, K positions kept of each row, N positions that are read, V vocabulary, H
width of hidden states.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from trimtab.models.language_model import LanguageModel


class LastStates:
    """Looks at what a model's passes give its output head.

    Args:
        model: the model; its weights are loaded.

    Raises:
        ValueError: for a model whose head is no module that reads states.
    """

    def __init__(self, model: LanguageModel) -> None:
        head = model.weights.get_output_embeddings()
        if not isinstance(head, nn.Module):
            raise ValueError(
                f"{model.path!r} ({model.config.model_type}) has no output head that reads hidden "
                "states. Accepted: causal models with one, as most have."
            )
        self._head = head
        self._width = 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Keep the states of the pass inside the context."""

        def before(_: nn.Module, given: tuple[Any, ...]) -> None:
            self._states_RKH: torch.Tensor = given[0]

        handle = self._head.register_forward_pre_hook(before)
        try:
            yield
        finally:
            handle.remove()

    def joined(self, logits_RKV: torch.Tensor) -> torch.Tensor:
        """Return that pass's logits with the states behind them: both are put in order at once."""
        rows, keep, _ = logits_RKV.shape
        states_RKH = self._states_RKH[:rows, -keep:].to(logits_RKV)
        self._width = states_RKH.shape[-1]
        return torch.cat([logits_RKV, states_RKH], dim=-1)

    def parted(self, joined_NX: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `[N, V]` and `[N, H]`, logits and states in fp32."""
        logits_NV, states_NH = joined_NX.tensor_split([-self._width], dim=-1)
        return logits_NV, states_NH.float()

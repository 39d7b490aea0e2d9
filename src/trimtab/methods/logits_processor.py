"""A mixture of models inside transformers' `generate()`, as a logits processor.

Legend: B rows, T columns so far, V vocabulary, W width of a model's logits.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from transformers import LogitsProcessor

from trimtab.decoding.mixing import linear
from trimtab.decoding.predictor import Combine
from trimtab.models import LanguageModel
from trimtab.models.session import Session
from trimtab.models.shared_weights import share


class MixtureProcessor(LogitsProcessor):
    """Turns one model's logits into those of a mixture that it is part of.

    See `Mixture.logits_processor`. Nothing of a model loads before the first call.

    Args:
        mixture: the models with their weights, by role.
        on: the role of the model that generate() is called on.
        pad_token_id: what prompts are padded with; None for what that model's tokenizer says.
        combine: how logits become one.
    """

    def __init__(
        self,
        mixture: Mapping[str, tuple[LanguageModel, float]],
        *,
        on: str,
        pad_token_id: int | None = None,
        combine: Combine = linear,
    ) -> None:
        self._combine = combine
        self._mixture = {role: part for role, part in mixture.items() if part[1] != 0}
        self._on, self._model = on, mixture[on][0]
        self._pad_token_id = pad_token_id
        self._slots = 0
        self._sessions: dict[str, Session] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities of the mixture.

        Args:
            input_ids: `[B, T]`, padded on the left.
            scores: `[B, W]`, the model's logits, or its log-probabilities as beam search has them.

        Raises:
            ValueError: for a row that has outgrown the context of one of the other models.
            FloatingPointError: if the mixture is not finite.
        """
        rows = [self._without_padding(row) for row in input_ids.tolist()]
        self._make_room(len(rows))
        size = min(model.vocabulary_size for model, _ in self._mixture.values())
        own_BV = scores[:, :size]
        logits = {
            role: own_BV if role == self._on else self._read(role, rows)[:, :size].to(scores)
            for role in self._mixture
        }
        weights = {role: weight for role, (_, weight) in self._mixture.items()}
        mixed_BV: torch.Tensor = self._combine(logits, weights)
        # What a processor before this one has ruled out stays so, whatever the model's weight.
        mixed_BV = mixed_BV.masked_fill(own_BV.isneginf(), -torch.inf)
        total_B1 = mixed_BV.logsumexp(dim=-1, keepdim=True)
        if not total_B1.isfinite().all():
            shown = ", ".join(f"{weight:g}" for weight in weights.values())
            raise FloatingPointError(
                f"The mixture with weights {shown} gave logits that are not finite: a model is "
                "damaged, its dtype overflows (try dtype=float32), or the strength is too large."
            )
        mixed_BW = torch.full_like(scores, -torch.inf)
        # Beam search adds scores up over tokens, so they must be log-probabilities; else a
        # constant changes nothing.
        mixed_BW[:, :size] = mixed_BV - total_B1
        return mixed_BW

    def _make_room(self, rows: int) -> None:
        if rows > self._slots:
            self._slots = rows
            share(model for model, _ in self._mixture.values())
            self._sessions = {
                role: Session(model, rows)
                for role, (model, _) in self._mixture.items()
                if role != self._on
            }

    def _read(self, role: str, rows: Sequence[list[int]]) -> torch.Tensor:
        """Return `[B, V]`, what another model says after each row."""
        fitting = [self._fitting(role, row) for row in rows]
        return self._sessions[role].read(range(len(rows)), fitting, [1] * len(rows))

    def _fitting(self, role: str, row: list[int]) -> list[int]:
        model, _ = self._mixture[role]
        if len(row) <= model.context_length:
            return row
        if row[-1] != self._pad and row[-1] not in self._model.stop_tokens:
            raise ValueError(
                f"A row of {len(row)} tokens is too long for {role} ({model.path}), which holds "
                f"{model.context_length}: shorten the prompts or max_new_tokens."
            )
        return row[: model.context_length]  # it has ended, and only its padding still grows

    @cached_property
    def _pad(self) -> int | None:
        given = self._pad_token_id
        return self._model.tokenizer.pad_token_id if given is None else given

    @cached_property
    def _begins_with_pad(self) -> bool:
        """Whether the padding token also begins every prompt."""
        return self._model.encode("")[:1] == [self._pad]

    def _without_padding(self, row: list[int]) -> list[int]:
        pads = sum(1 for _ in itertools.takewhile(lambda token: token == self._pad, row))
        pads -= self._begins_with_pad and pads > 0
        return row[min(pads, len(row) - 1) :]

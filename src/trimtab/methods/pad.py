"""PAD: the likeliest tokens of a base model, chosen among by what a preference model likes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.config.accepted import require_number, require_whole
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import Conversation, LanguageModel

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class PAD(Mixture):
    """Add a preference model's log-ratio to the base's logits, on the base's `top_k` tokens.

    `z = z_base + strength (log p_preferred - log p_reference)`, no other tokens than those: Chen
    et al., "PAD: Personalized Alignment of LLMs at Decoding-Time", ICLR 2025, arXiv 2410.04070.
    The published code takes the base for the reference, and renormalises both probabilities on
    these tokens, which adds a constant to them all, and so nothing. Its model is trained for
    principles in the prompt; any model tuned by preferences (DPO) with the one that it came from is
    the same log-ratio.

    Args:
        base: the model that answers.
        preferred: the model of the preferences, of the same vocabulary.
        reference: the one that it was tuned from; None for the base, as in the published code.
        strength: how much the log-ratio counts, from 0, where the base chooses among its own
            `top_k`, up; the published settings have 0.8.
        top_k: how many tokens there are to choose from, from 1 up. A given text with any other has
            no probability: to compare likelihoods, take as many as the vocabulary has.
        principle: what all the models are told of the preferences, before the question; "" for
            nothing.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    base: LanguageModel
    preferred: LanguageModel
    reference: LanguageModel | None = None
    strength: float = 0.8
    top_k: int = 10
    principle: str = ""
    draft: DraftSource = None

    dial = "strength"
    reference_role = "base"

    def __post_init__(self) -> None:
        require_number("strength", self.strength, "numbers from 0 up", least=0)
        require_whole("top_k", self.top_k, 1)
        super().__post_init__()

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The models; the base's weight is that of its own logits."""
        strength = float(self.strength)
        mixture = {"base": (self.base, 1.0), "preferred": (self.preferred, strength)}
        if self.reference is not None:
            mixture["reference"] = (self.reference, -strength)
        return mixture

    def asked(self, role: str, conversation: Conversation) -> Conversation:
        """Return the conversation with the principle before the question."""
        if not self.principle:
            return conversation
        return dataclasses.replace(
            conversation, context=f"{self.principle}\n{conversation.context}"
        )

    def require_one_question(self, door: str) -> None:
        """Raise ValueError where there is a principle, which no given prompt has."""
        if self.principle:
            super().require_one_question(door)

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return the sum on the base's likeliest tokens."""
        from trimtab.decoding.filters import keep_top_k
        from trimtab.decoding.mixing import among, linear

        base = logits["base"]
        mixed = linear(logits, weights)
        if "preferred" in logits and "reference" not in logits:
            mixed = mixed - self.strength * base
        return among(keep_top_k(base, self.top_k), mixed)

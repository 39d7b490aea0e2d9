"""Linear alignment: one model with and without a principle, among what it says with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.config.accepted import require_number
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import Conversation, LanguageModel

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class LinearAlignment(Mixture):
    """Amplify what a principle in the prompt changes, within the nucleus of the answer under it.

    `z = (1 + strength) z_with - strength z_without`, of the fewest tokens that hold `top_p` of
    `softmax(z_with / nucleus_temperature)`: Gao et al., "Linear Alignment: A Closed-form Solution
    for Aligning Human Preferences without Tuning and Feedback", ICML 2024, arXiv 2401.11458. The
    paper derives a step of a bounded objective; this is its published code, whose temperature of
    the nucleus is the one that it draws at (`generation.temperature`), and applies to greedy
    answers, too.

    Args:
        model: the model.
        principle: what the answer is to follow, a line behind the task's system prompt.
        strength: from 0, where the model follows the principle by itself, up.
        top_p: the probability that the nucleus holds, above 0 and up to 1, which is all tokens.
        nucleus_temperature: at which it does.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    model: LanguageModel
    principle: str
    strength: float = 2.0
    top_p: float = 0.8
    nucleus_temperature: float = 0.5
    draft: DraftSource = None

    dial = "strength"
    reference_role = "with"
    needs = "one model"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("strength", self.strength, "numbers from 0 up", least=0)
        require_number("top_p", self.top_p, "shares above 0, up to 1", above=0, most=1)
        require_number("nucleus_temperature", self.nucleus_temperature, "numbers above 0", above=0)
        if not self.principle.strip():
            raise ValueError(f"principle={self.principle!r}: accepted is a text, to be followed.")

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The model in two ways."""
        return {
            "with": (self.model, 1.0 + self.strength),
            "without": (self.model, -float(self.strength)),
        }

    def asked(self, role: str, conversation: Conversation) -> Conversation:
        """Return the conversation, the principle in it but for the role `without`."""
        if role == "without":
            return conversation
        system = "\n".join(text for text in (conversation.system, self.principle) if text)
        return dataclasses.replace(conversation, system=system)

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return the weighted sum in the nucleus of the answer under the principle."""
        from trimtab.decoding.mixing import among, linear
        from trimtab.decoding.shortlist import keep_nucleus

        nucleus = keep_nucleus(logits["with"] / self.nucleus_temperature, self.top_p)
        return among(nucleus, linear(logits, weights))

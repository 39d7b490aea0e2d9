"""Classifier-free guidance: one model with and without its prompt."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from trimtab.config.accepted import require_finite
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import Conversation, LanguageModel


@dataclass(frozen=True, kw_only=True)
class ClassifierFreeGuidance(Mixture):
    """Amplify what the prompt changes: `z = z_without + strength (z_with - z_without)`.

    Sanchez et al., "Stay on topic with Classifier-Free Guidance", arXiv 2306.17806. Without its
    prompt a model reads what stands around one: of a plain prompt the line break that asks for an
    answer (the paper's last token of the prompt), of a chat an empty message.

    Args:
        model: the model.
        strength: 1 is the model as it is prompted, 0 without, above 1 what the paper is about.
        negative: a system prompt to turn away from, for the same question; None for no prompt.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    model: LanguageModel
    strength: float = 1.5
    negative: str | None = None
    draft: DraftSource = None

    dial = "strength"
    reference_role = "with"
    needs = "one model"

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)
        super().__post_init__()

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The model in two ways."""
        return {
            "with": (self.model, float(self.strength)),
            "without": (self.model, 1.0 - self.strength),
        }

    def asked(self, role: str, conversation: Conversation) -> Conversation:
        """Return the question with its prompt, with the negative one, or nothing."""
        if role != "without":
            return conversation
        if self.negative is not None:
            return dataclasses.replace(conversation, system=self.negative)
        start, day = conversation.answer_start, conversation.day
        return Conversation(question="", answer_start=start, day=day)

"""Contrastive decoding: what an expert says more than an amateur does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.config.accepted import require_number
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import LanguageModel

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class ContrastiveDecoding(Mixture):
    """Amplify what an expert says more than an amateur, among the tokens that the expert expects.

    `z = (1 + strength) z_expert - strength z_amateur` where `p_expert >= alpha max p_expert`, no
    other tokens: Li et al., "Contrastive Decoding: Open-ended Text Generation as Optimization",
    ACL 2023, arXiv 2210.15097, in the form of O'Brien and Lewis, arXiv 2309.09117. The weights of
    the former are 1 and -1, to which greedy answers tend as strength grows; its amateur's
    temperature, and the shorter context that its amateur reads, are left out.

    Args:
        expert: the better model.
        amateur: a weaker one, of the same vocabulary.
        strength: from 0, where the expert speaks alone, within the mask, up.
        alpha: how likely a token is to be, compared with the expert's likeliest; 0 for all.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    expert: LanguageModel
    amateur: LanguageModel
    strength: float = 0.5
    alpha: float = 0.1
    draft: DraftSource = None

    dial = "strength"
    reference_role = "expert"

    def __post_init__(self) -> None:
        require_number("strength", self.strength, "numbers from 0 up", least=0)
        require_number("alpha", self.alpha, "shares from 0 to 1", least=0, most=1)
        super().__post_init__()

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The two models."""
        return {
            "expert": (self.expert, 1.0 + self.strength),
            "amateur": (self.amateur, -float(self.strength)),
        }

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return the weighted sum, where the expert finds a token likely enough."""
        from trimtab.decoding.filters import keep_min_p
        from trimtab.decoding.mixing import among, linear

        return among(keep_min_p(logits["expert"], self.alpha), linear(logits, weights))

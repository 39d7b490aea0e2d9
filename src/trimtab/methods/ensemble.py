"""Ensemble: the average of two models' next-token probabilities."""

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
class Ensemble(Mixture):
    """Mix two models' next-token probabilities: `(1 - strength) p_base + strength p_guide`.

    The arithmetic mean where DeRa takes the geometric one: a token that either model finds likely
    stays likely. With strength 0.5, the ensemble that nudging was compared with (Fei, Razeghi and
    Singh, arXiv 2410.09300), which sums over the models' five most likely tokens only.

    Args:
        base: one model.
        guide: the other, of the same vocabulary.
        strength: the guide's share: 0 is the base model, 1 the guide.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    base: LanguageModel
    guide: LanguageModel
    strength: float = 0.5
    draft: DraftSource = None

    dial = "strength"
    reference_role = "base"

    def __post_init__(self) -> None:
        require_number("strength", self.strength, "shares from 0 to 1", least=0, most=1)
        super().__post_init__()

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The two models."""
        return {
            "base": (self.base, 1.0 - self.strength),
            "guide": (self.guide, float(self.strength)),
        }

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return `log sum_i weights_i softmax(z_i)`."""
        from trimtab.decoding.mixing import probabilities

        return probabilities(logits, weights)

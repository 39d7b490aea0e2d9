"""BlendIn: where the base is unsure, its probabilities and a guide's, by how sure each is."""

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
class BlendIn(Mixture):
    """Blend in the guide's probabilities where the base's likeliest token is below a threshold.

    There `p = a p_guide + (1 - a) p_base` with `a = g / (b + g) + p_base(t) / 10`, at most 1, where
    b and g are the probabilities of the base's and the guide's likeliest tokens and t is the
    latter; elsewhere `p = p_base`: Gan, Li and Luo, "To Intervene or Not: Guiding Inference-time
    Alignment with Probabilistic Model Blending", ACL 2026, arXiv 2606.11201, with the weights of
    its published code. That asks servers for words; here each token is decided, over the whole of
    one vocabulary.

    Args:
        base: the model that has the skill.
        guide: the aligned model, of the same vocabulary.
        threshold: the base speaks alone where its likeliest token has at least this probability;
            0 to 2, where anything above 1 means that it is never sure.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    base: LanguageModel
    guide: LanguageModel
    threshold: float = 0.4
    draft: DraftSource = None

    dial = "threshold"
    reference_role = "base"

    def __post_init__(self) -> None:
        never_sure = "probabilities from 0 to 1, and up to 2 for a base model that is never sure"
        require_number("threshold", self.threshold, never_sure, least=0, most=2)
        super().__post_init__()

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The two models; the guide is run unless the base is always sure."""
        return {"base": (self.base, 1.0), "guide": (self.guide, float(self.threshold > 0))}

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return the logarithm of the blend."""
        from trimtab.decoding.mixing import blended

        if "guide" not in logits:
            return logits["base"]
        return blended(logits["base"], logits["guide"], self.threshold)

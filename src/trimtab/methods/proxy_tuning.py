"""Proxy tuning: what tuning did to a small model, added to the logits of a large one."""

from dataclasses import dataclass

from trimtab.config.accepted import require_finite
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ProxyTuning(Mixture):
    """Add the logit difference of a tuned and an untuned small model to a base model.

    `z = z_base + strength (z_tuned - z_untuned)`: Liu et al., "Tuning Language Models by Proxy",
    arXiv 2401.08565; DExperts is the same sum (arXiv 2105.03023).

    Args:
        base: the large base model.
        tuned: the small tuned model (the expert), of the same vocabulary.
        untuned: the small model before tuning (the anti-expert), of the same vocabulary.
        strength: 0 is the base model, 1 the paper's setting; any finite number.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    base: LanguageModel
    tuned: LanguageModel
    untuned: LanguageModel
    strength: float = 1.0
    draft: DraftSource = None

    dial = "strength"
    reference_role = "base"

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)
        super().__post_init__()

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The three models."""
        return {
            "base": (self.base, 1.0),
            "tuned": (self.tuned, float(self.strength)),
            "untuned": (self.untuned, -float(self.strength)),
        }

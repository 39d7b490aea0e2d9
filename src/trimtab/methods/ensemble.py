"""Ensemble: the average of two models' next-token probabilities."""

from dataclasses import dataclass

from trimtab.methods.method import require_finite
from trimtab.methods.single_voice import DraftSource, SingleVoice
from trimtab.models import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Ensemble(SingleVoice):
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
    mixes_probabilities = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_finite("strength", self.strength)
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength={self.strength!r}: accepted are shares from 0 to 1.")

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The two models."""
        return {
            "base": (self.base, 1.0 - self.strength),
            "guide": (self.guide, float(self.strength)),
        }

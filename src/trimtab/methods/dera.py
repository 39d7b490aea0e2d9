"""DeRa: decoding-time realignment, a strength dial between a reference and an aligned model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.decoding import Generation
from trimtab.methods.method import Method, Start, require_finite
from trimtab.methods.single_voice import single_voice
from trimtab.models import LanguageModel

if TYPE_CHECKING:
    from trimtab.decoding.voice import Voice


@dataclass(frozen=True, kw_only=True)
class DeRa(Method):
    """Mix the logits of a reference and an aligned model at every token.

    `z = (1 - strength) z_reference + strength z_aligned`: Liu et al., "Decoding-time Realignment
    of Language Models", ICML 2024, arXiv 2402.02992. If the aligned model was trained with KL
    weight beta, the mixture approximates one trained with beta / strength.

    Args:
        reference: the model before alignment (for instance supervised fine-tuning alone).
        aligned: the model after it, of the same vocabulary.
        strength: 0 is the reference, 1 the aligned model, beyond 1 extrapolates; any finite number.
    """

    reference: LanguageModel
    aligned: LanguageModel
    strength: float = 1.0

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The two models."""
        return {"reference": self.reference, "aligned": self.aligned}

    def _prepare(self, generation: Generation) -> tuple[Sequence[Voice], Start]:
        weights = {"reference": 1.0 - self.strength, "aligned": float(self.strength)}
        return single_voice(self.models, weights, generation)

"""Proxy tuning: what tuning did to a small model, added to the logits of a large one."""

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
class ProxyTuning(Method):
    """Add the logit difference of a tuned and an untuned small model to a base model.

    `z = z_base + strength (z_tuned - z_untuned)`: Liu et al., "Tuning Language Models by Proxy",
    arXiv 2401.08565; DExperts is the same sum (arXiv 2105.03023).

    Args:
        base: the large base model.
        tuned: the small tuned model (the expert), of the same vocabulary.
        untuned: the small model before tuning (the anti-expert), of the same vocabulary.
        strength: 0 is the base model, 1 the paper's setting; any finite number.
    """

    base: LanguageModel
    tuned: LanguageModel
    untuned: LanguageModel
    strength: float = 1.0

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The three models."""
        return {"base": self.base, "tuned": self.tuned, "untuned": self.untuned}

    def _prepare(self, generation: Generation) -> tuple[Sequence[Voice], Start]:
        strength = float(self.strength)
        weights = {"base": 1.0, "tuned": strength, "untuned": -strength}
        return single_voice(self.models, weights, generation)

"""Alignment vectors: the difference of aligned and base weights, added with a dial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from trimtab.decoding import Generation
from trimtab.methods.method import Method, Start, require_finite
from trimtab.methods.single_voice import single_voice
from trimtab.models import LanguageModel

if TYPE_CHECKING:
    from trimtab.decoding.voice import Voice


@dataclass(frozen=True, kw_only=True)
class AlignmentVector(Method):
    """Add the difference of an aligned and a base model to the base's weights, and decode.

    `theta = theta_base + strength (theta_aligned - theta_base)`: Shahriar et al., "Inference time
    LLM alignment in single and multidomain preference spectrum", arXiv 2410.19206; task arithmetic
    and ExPO are the same line. The prompt is rendered the base model's way.

    Args:
        base: the unaligned model.
        aligned: a model of the same architecture and tensors, aligned from it.
        strength: 0 is the base model, 1 the aligned one, below 0 the reverse; any finite number.
    """

    base: LanguageModel
    aligned: LanguageModel
    strength: float = 1.0

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The model that decodes: the base model, whose weights the vector moves."""
        return {"base": self.base}

    @cached_property
    def _moved(self) -> LanguageModel:
        from trimtab.decoding.voice import require_one_vocabulary
        from trimtab.vectors import move

        require_one_vocabulary({"base": self.base, "aligned": self.aligned})
        return move(self.base, self.aligned, self.strength)

    def _prepare(self, generation: Generation) -> tuple[Sequence[Voice], Start]:
        return single_voice({"base": self._moved}, {"base": 1.0}, generation)

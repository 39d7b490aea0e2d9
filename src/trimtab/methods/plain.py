"""One model as it is: the base model, the guide, or any other alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.decoding import Generation
from trimtab.methods.method import Method, Start
from trimtab.methods.single_voice import single_voice
from trimtab.models import LanguageModel

if TYPE_CHECKING:
    from trimtab.decoding.voice import Voice


@dataclass(frozen=True, kw_only=True)
class Plain(Method):
    """Ordinary decoding of one model, the yardstick of the others.

    Args:
        model: the model that answers.
    """

    model: LanguageModel

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The one model."""
        return {"model": self.model}

    def _prepare(self, generation: Generation) -> tuple[Sequence[Voice], Start]:
        return single_voice(self.models, {"model": 1.0}, generation)

"""One model as it is: the base model, the guide, or any other alone."""

from dataclasses import dataclass

from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Plain(Mixture):
    """Ordinary decoding of one model, the yardstick of the others.

    Args:
        model: the model that answers.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    model: LanguageModel
    draft: DraftSource = None

    needs = "one model"

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The one model."""
        return {"model": (self.model, 1.0)}

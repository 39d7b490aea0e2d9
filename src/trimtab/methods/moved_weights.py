"""Methods that move a model's weights."""

from __future__ import annotations

from abc import abstractmethod

from trimtab.methods.mixture import DRAFT, Mixture
from trimtab.models import LanguageModel


class MovedWeights(Mixture):
    """A method that speaks by a base model with other weights.

    Attributes:
        base: the model as it was, which renders the prompt and from which answers diverge.
    """

    base: LanguageModel

    dial = "strength"
    reference_role = "reference"
    needs = "one architecture"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, model in self.all_models.items():
            if model.held.known and name != DRAFT:
                raise ValueError(
                    f"{name}={model.path!r} is held in fewer bits (by {model.held.known}), and "
                    "vectors move weights of plain numbers. Take a model that is not quantized, "
                    "with quantization=none."
                )

    @property
    @abstractmethod
    def moved(self) -> LanguageModel:
        """The model that speaks; its weights are loaded when it is first asked for."""

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The base model, whose weights are moved, and those beside it."""
        models = {"base": self.base}
        if self.measure_kl:
            models["reference"] = self.base
        return models | ({DRAFT: self.draft} if isinstance(self.draft, LanguageModel) else {})

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The moved model; and what its divergence is measured from."""
        mixture = {"base": (self.moved, 1.0)}
        return mixture | ({"reference": (self.base, 0.0)} if self.measure_kl else {})

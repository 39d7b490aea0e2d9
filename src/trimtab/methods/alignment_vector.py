"""Alignment vectors: the difference of aligned and base weights, added with a dial."""

from dataclasses import dataclass
from functools import cached_property

from trimtab.methods.method import Method, require_finite
from trimtab.methods.single_voice import DraftSource, SingleVoice
from trimtab.models import LanguageModel


@dataclass(frozen=True, kw_only=True)
class AlignmentVector(SingleVoice):
    """Add the difference of an aligned and a base model to the base's weights, and decode.

    `theta = theta_base + strength (theta_aligned - theta_base)`: Shahriar et al., "Inference time
    LLM alignment in single and multidomain preference spectrum", arXiv 2410.19206; task arithmetic
    and ExPO are the same line. The prompt is rendered the base model's way.

    Args:
        base: the unaligned model.
        aligned: a model of the same architecture and tensors, aligned from it.
        strength: 0 is the base model, 1 the aligned one, below 0 the reverse; any finite number.
        measure_kl: run the base model as it was beside the moved one, to measure the answers'
            divergence from it.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    base: LanguageModel
    aligned: LanguageModel
    strength: float = 1.0
    measure_kl: bool = False
    draft: DraftSource = None

    dial = "strength"
    reference_role = "reference"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_finite("strength", self.strength)

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The base model, whose weights the vector moves, and those beside it."""
        models = {"base": self.base}
        if self.measure_kl:
            models["reference"] = self.base
        return models | ({"draft": self.draft} if isinstance(self.draft, LanguageModel) else {})

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The moved model, which loads both; and what its divergence is measured from."""
        mixture = {"base": (self._moved, 1.0)}
        return mixture | ({"reference": (self.base, 0.0)} if self.measure_kl else {})

    def goes_with(self, other: Method) -> bool:
        """Return False: at each strength the weights are others."""
        return False

    @cached_property
    def _moved(self) -> LanguageModel:
        from trimtab.vectors.dial import between, move

        vector = between(self.base, self.aligned)
        return move(self.base, {"aligned": vector}, {"aligned": self.strength})

"""Alignment vectors: the difference of aligned and base weights, added with a dial."""

from dataclasses import dataclass
from functools import cached_property

from trimtab.config.accepted import require_finite
from trimtab.methods.method import Method
from trimtab.methods.mixture import DraftSource
from trimtab.methods.moved_weights import MovedWeights
from trimtab.models import LanguageModel


@dataclass(frozen=True, kw_only=True)
class AlignmentVector(MovedWeights):
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

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)
        super().__post_init__()

    def goes_with(self, other: Method) -> bool:
        """Return False: at each strength the weights are others."""
        return False

    @cached_property
    def moved(self) -> LanguageModel:
        """The base model with the vector added."""
        from trimtab.vectors.live.dial import between, move

        vector = between(self.base, self.aligned)
        return move(self.base, {"aligned": vector}, {"aligned": self.strength})

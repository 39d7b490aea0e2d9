"""Several aligned models at once, each with a weight of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.config.accepted import require_finite, require_number
from trimtab.config.wording import not_a_choice
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import LanguageModel

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class MultiObjective(Mixture):
    """Mix a reference model with models that were each aligned from it to an objective of its own.

    `z = z_reference + strength sum_i weights_i (z_i - z_reference)`: DeRa for several rewards (Liu
    et al., arXiv 2402.02992) and, where the weights sum to 1, MOD (Shi et al., "Decoding-Time
    Language Model Alignment with Multiple Objectives", NeurIPS 2024, arXiv 2406.18853) for models
    that were kept near the reference by the reverse KL divergence. Where it was another, `alpha`
    has MOD's `p = (sum_i w_i p_i^-alpha)^(-1/alpha)`, the reference among the p with what the other
    weights leave of 1. MOD's published code carries each model's probability of the answer so far
    along, which changes nothing for alpha = 0; here each token is mixed by itself.

    Args:
        reference: the model before alignment.
        aligned: those after it, by name, of the same vocabulary.
        weights: how much of each, by the same names; None for equal shares.
        strength: multiplies all weights: 0 is the reference.
        alpha: 0 for the reverse KL divergence, 1 for the forward one, between them the
            alpha-divergences. Above 0 no weight may be negative, the reference's included.
        measure_kl: run the reference where it has no weight, too, to measure the divergence.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.

    Raises:
        ValueError: for no aligned model, and for weights that are not theirs, not finite, or
            negative where `alpha` is above 0.
    """

    reference: LanguageModel
    aligned: Mapping[str, LanguageModel]
    weights: Mapping[str, float] | None = None
    strength: float = 1.0
    alpha: float = 0.0
    measure_kl: bool = False
    draft: DraftSource = None

    dial = "strength"
    further_dials = ("weights",)
    reference_role = "reference"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_finite("strength", self.strength)
        require_number("alpha", self.alpha, "numbers from 0 to 1", least=0, most=1)
        if not self.aligned:
            raise ValueError(
                f"aligned={self.aligned!r}: there is none. Give some by name, as in "
                "+model@method.aligned.chat=NAME."
            )
        for name, weight in (self.weights or {}).items():
            if name not in self.aligned:
                raise ValueError(not_a_choice("weights:", name, self.aligned))
            require_finite(f"weights.{name}", weight)
        if self.weights is not None and (missing := self.aligned.keys() - self.weights.keys()):
            raise ValueError(
                f"weights={dict(self.weights)}: none for {', '.join(sorted(missing))}. Accepted is "
                "one for each of aligned, 0 to leave it out; or null for equal shares."
            )
        if self.alpha > 0 and (
            below := [role for role, (_, weight) in self.mixture.items() if weight < 0]
        ):
            raise ValueError(
                f"alpha={self.alpha:g}: the weight of {below[0]} is {self.mixture[below[0]][1]:g}. "
                "Accepted are weights from 0 up that, times strength, sum to 1 at most: the rest "
                "is the reference's. With alpha=0 any are."
            )

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The reference, with what the others leave of 1, and these in the order of their names."""
        equal = 1.0 / len(self.aligned)
        shares = {
            name: self.strength * (equal if self.weights is None else self.weights[name])
            for name in sorted(self.aligned)
        }
        aligned = {f"aligned.{name}": (self.aligned[name], own) for name, own in shares.items()}
        rest = 1.0 - sum(shares.values())
        # What rounding leaves of nothing is nothing: the reference need not be run.
        return {"reference": (self.reference, 0.0 if abs(rest) < 1e-12 else rest)} | aligned

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return the mean of the models' distributions that belongs to `alpha`."""
        from trimtab.decoding.mixing import linear, power_mean

        return power_mean(logits, weights, self.alpha) if self.alpha else linear(logits, weights)

"""Cross-model control: a tiny model that was trained to be added to another's logits."""

from dataclasses import dataclass

from trimtab.config.accepted import require_finite
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import LanguageModel
from trimtab.models.token_map import PM_MINED_RAW


@dataclass(frozen=True, kw_only=True)
class CMC(Mixture):
    """Add the logits of a delta model to a base model's log-probabilities.

    `z = log p_base + strength z_delta`: Wu et al., "Cross-model Control: Improving Multiple Large
    Language Models in One-time Training", NeurIPS 2024, arXiv 2410.17599, as their code has it. The
    delta model was trained beside one frozen model to make that sum say what is wanted, and is used
    with others. That the base's logits are normalized is a constant, which changes no distribution,
    and is left out; a repetition penalty, which tells logits by their sign, would see it. Where the
    base has another vocabulary, `delta.token_map=pm-mined-raw` reads z_delta through their
    token map, and gives 0 to tokens that map to nothing.

    Their code takes the most likely token whatever the settings of sampling; here these hold.
    A pair of models, tuned and untuned, is no delta model: `ProxyTuning` adds their difference.

    Args:
        base: the model that is steered.
        delta: the delta model.
        strength: 0 is the base model, 1 what the delta model was trained for; any finite number.
        draft: none, `prompt-lookup`, or a small model of the base's vocabulary; for speed alone.
    """

    base: LanguageModel
    delta: LanguageModel
    strength: float = 1.0
    draft: DraftSource = None

    dial = "strength"
    reference_role = "base"

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)
        if self.delta.token_map not in (None, PM_MINED_RAW):
            raise ValueError(
                f"delta.token_map={self.delta.token_map}: the logits of a delta model are no "
                f"distribution. Accepted are {PM_MINED_RAW}, and null for the base's vocabulary."
            )
        super().__post_init__()

    @property
    def takes_deltas(self) -> bool:
        """It does."""
        return True

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The two models."""
        return {"base": (self.base, 1.0), "delta": (self.delta, float(self.strength))}

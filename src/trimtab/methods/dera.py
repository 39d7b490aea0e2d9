"""DeRa: decoding-time realignment, a strength dial between a reference and an aligned model.

Here are the weights; the sum that they make is `trimtab.decoding.mixing.linear`.
"""

from dataclasses import dataclass

from trimtab.config.accepted import require_finite, require_number
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import LanguageModel


@dataclass(frozen=True, kw_only=True)
class DeRa(Mixture):
    """Mix the logits of a reference and an aligned model at every token.

    `z = (1 - strength) z_reference + strength z_aligned`: Liu et al., "Decoding-time Realignment
    of Language Models", ICML 2024, arXiv 2402.02992.

    Where the aligned model is the best policy for a reward at KL weight beta, the same mixture of
    whole answers' probabilities would be the best policy at `beta / strength`. Mixing at every
    token approximates it, as it leaves out what later tokens can still gain: it is exact at
    strengths 0 and 1, for answers of one token, and for a reward that adds up over the tokens of
    answers of one length under a reference without memory. An aligned model that is no best policy
    of a KL weight, as after DPO on preferences without noise, stands for none at other strengths.

    Args:
        reference: the model before alignment (for instance supervised fine-tuning alone).
        aligned: the model after it, of the same vocabulary.
        strength: 0 is the reference, 1 the aligned model, beyond 1 extrapolates; any finite number.
        beta: the KL weight that the aligned model was trained with, for the record: `trimtab
            choose` names `beta / strength`, a weight to begin with when training anew. Changes no
            answer.
        measure_kl: run the reference at strength 1 too, where it has no weight, to measure the
            answers' divergence from it; elsewhere that is measured anyway.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    reference: LanguageModel
    aligned: LanguageModel
    strength: float = 1.0
    beta: float | None = None
    measure_kl: bool = False
    draft: DraftSource = None

    dial = "strength"
    reference_role = "reference"
    without_effect = Mixture.without_effect | {"beta"}

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)
        if self.beta is not None:
            require_number("beta", self.beta, "numbers above 0, or null", above=0)
        super().__post_init__()

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The two models."""
        return {
            "reference": (self.reference, 1.0 - self.strength),
            "aligned": (self.aligned, float(self.strength)),
        }

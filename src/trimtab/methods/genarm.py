"""GenARM: a base model, and what an autoregressive reward model finds each next token worth."""

from dataclasses import dataclass

from trimtab.config.accepted import require_finite
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import LanguageModel


@dataclass(frozen=True, kw_only=True)
class GenARM(Mixture):
    """Add the log-probabilities of an autoregressive reward model to those of a base model.

    `z = z_base + strength log pi_r`, strength being 1 / beta: Xu et al., "GenARM: Reward Guided
    Generation with Autoregressive Reward Model for Test-time Alignment", ICLR 2025, arXiv
    2410.08193. The reward model is a language model that was trained on preferences so that its
    log-probability of an answer is the answer's reward; several of them, each with a strength, are
    terms of `Formula`. `ARGS` takes reward models that score sequences.

    Args:
        base: the model that is steered.
        reward: the autoregressive reward model, of the same vocabulary.
        strength: 0 is the base model; any finite number.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    base: LanguageModel
    reward: LanguageModel
    strength: float = 1.0
    draft: DraftSource = None

    dial = "strength"
    reference_role = "base"

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)
        super().__post_init__()

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The two models; what normalises the reward model's logits is one number for all."""
        return {"base": (self.base, 1.0), "reward": (self.reward, float(self.strength))}

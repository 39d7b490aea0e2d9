"""SafeDecoding: an expert has a say in the first tokens of an answer, the base says the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.config.accepted import require_finite, require_whole
from trimtab.decoding import Generation
from trimtab.decoding.likelihood import Likelihoods
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.methods.mixture import SPEAKER, DraftSource, Mixture
from trimtab.methods.prompts import Prompts
from trimtab.models import Conversation, LanguageModel

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class SafeDecoding(Mixture):
    """Amplify what an expert changes, in the first tokens alone, among tokens that both expect.

    `p = p_base + strength (p_expert - p_base)`, normalised over the tokens that are among the k
    most likely of both models, with the smallest k that leaves `common` of them; after `first`
    tokens the base goes on alone: Xu et al., "SafeDecoding: Defending against Jailbreak Attacks via
    Safety-Aware Decoding", ACL 2024, arXiv 2402.08983, where the expert is the base tuned to refuse
    (of the same weights, an adapter will do). As in the authors' released code, which has these
    defaults, a probability that would come to less than 1e-8 is that. Their code leaves temperature
    out of the first tokens, where here it counts as it does everywhere.

    Args:
        base: the model.
        expert: the model that is followed at first, of the same vocabulary.
        strength: alpha; 1 follows the expert, beyond 1 amplifies it; any finite number. At 0 the
            base still says only what the expert expects, too.
        first: m, how many tokens the expert has a say in.
        common: c, how many tokens are left to choose from, at least.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    base: LanguageModel
    expert: LanguageModel
    strength: float = 3.0
    first: int = 2
    common: int = 5
    draft: DraftSource = None

    dial = "strength"
    reference_role = "base"

    def __post_init__(self) -> None:
        require_finite("strength", self.strength)
        require_whole("first", self.first, 0)
        require_whole("common", self.common, 1)
        super().__post_init__()

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The two models, both of which are run at any strength."""
        return {"base": (self.base, 1.0), "expert": (self.expert, 1.0)}

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return the logits of the first tokens."""
        from trimtab.decoding.mixing import amplified

        return amplified(logits["base"], logits["expert"], self.strength, self.common)

    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        """Make one answer, which the base goes on with alone."""
        from trimtab.decoding.relay import Relay

        relay = Relay(cursors[SPEAKER], "base", self.first)
        return super().answer({**cursors, SPEAKER: relay}, prompts, generation)

    def require_models(self) -> None:
        """Raise ValueError for a base that speaks through a token map."""
        super().require_models()
        if self.base.token_map is not None:
            raise ValueError(
                f"token_map={self.base.token_map} of base ({self.base.path}): the base goes on "
                "alone, in its own tokens. Leave it out, and set it for the expert."
            )

    def require(self, generation: Generation) -> None:
        """Refuse records of tokens."""
        if generation.token_records:
            raise ValueError(
                "token_records=True: the expert of SafeDecoding is run for the first tokens alone, "
                "so the others have no probability under it. Leave it at false."
            )

    def weigh(
        self,
        conversations: Mapping[str, Conversation],
        continuations: Mapping[str, Sequence[str]],
        generation: Generation | None = None,
    ) -> Iterator[tuple[str, Likelihoods]]:
        """Refuse to say how likely a text is.

        Raises:
            ValueError: always.
        """
        raise self._no_likelihoods()

    def likelihoods(
        self,
        prompts: Mapping[str, Prompts],
        continuations: Mapping[str, Sequence[Sequence[int]]],
        generation: Generation | None = None,
    ) -> Iterator[tuple[str, Likelihoods]]:
        """Refuse to say how likely some tokens are.

        Raises:
            ValueError: always.
        """
        raise self._no_likelihoods()

    def _no_likelihoods(self) -> ValueError:
        return ValueError(
            f"SafeDecoding leaves some {self.common} tokens to begin with, so a given text has "
            "mostly no probability, and likelihoods compare nothing. Ask Plain for those of the "
            "base or of the expert."
        )

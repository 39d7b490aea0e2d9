"""ARGS: the likeliest next tokens, each with the reward of the answer that it would make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from trimtab.config.accepted import require_finite, require_whole
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import Conversation, LanguageModel
from trimtab.models.sequence_reward import SequenceReward

if TYPE_CHECKING:
    import torch


class ReadByToken(Protocol):
    """A reward model that can be asked while an answer is made: `trimtab.scorers.RewardModel`."""

    def by_token(self, candidates: int) -> SequenceReward:
        """Return it as a part of a mixture, asked about so many tokens at a time."""
        ...

    def check(self) -> None:
        """Raise ValueError or OSError for what would keep it from scoring."""
        ...


def rescored(
    z_NV: torch.Tensor, rewards_NV: torch.Tensor | None, strength: float, candidates: int
) -> torch.Tensor:
    """Return `z + strength r` for the candidates, -inf for all other tokens.

    Args:
        z_NV: the base model's logits.
        rewards_NV: the candidates' rewards, -inf for others; None where none has a say.
        strength: of the rewards.
        candidates: how many of the likeliest tokens these are.
    """
    if rewards_NV is None:
        from trimtab.decoding.filters import keep_top_k

        return keep_top_k(z_NV, candidates)
    scores_NV: torch.Tensor = z_NV + strength * rewards_NV
    return scores_NV.masked_fill(rewards_NV == -math.inf, -math.inf)


@dataclass(frozen=True, kw_only=True)
class ARGS(Mixture):
    """Choose among the likeliest tokens by `z_base(v) + strength r(answer so far, v)`.

    Khanov, Burapacheep and Li, "ARGS: Alignment as Reward-Guided Search", ICLR 2024, arXiv
    2402.01694. At temperature 0 the best candidate is taken (their `greedy`), else one is drawn by
    the scores divided by the temperature (their `topk`). The paper writes the model's prediction
    LM(v | x); as in the released code it is the raw logit. That code reads a reward where the last
    token is that is not the padding's, so a candidate that is that very token (often the end) gets
    the reward of the answer without it; here it gets its own. And it goes on behind an end, up to
    its budget; here an answer ends there.

    The reward model reads the question its own way, and the answer in the base's tokens, with a
    cache row for each candidate: memory for `candidates` times as many sequences.

    Args:
        base: the model that speaks.
        reward: a reward model of the base's vocabulary, as a scorer is: `RewardModel`.
        strength: how much the reward counts; 0 is the base, among its candidates.
        candidates: how many of the likeliest tokens are asked about.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    base: LanguageModel
    reward: ReadByToken
    strength: float = 1.5
    candidates: int = 10
    draft: DraftSource = None

    dial = "strength"
    reference_role = "base"
    needs = "one vocabulary"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_finite("strength", self.strength)
        require_whole("candidates", self.candidates, 1)
        if not hasattr(self.reward, "by_token"):
            raise ValueError(
                f"reward={self.reward!r}: accepted is a reward model, as in "
                "+scorer@method.reward=reward_model method.reward.path=FOLDER. Other scorers read "
                "whole answers: method=best_of_n takes any."
            )
        _ = self._reader

    @cached_property
    def _reader(self) -> SequenceReward:
        return self.reward.by_token(self.candidates)

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The base model, and the reward of its candidates."""
        return {"base": (self.base, 1.0), "reward": (self._reader, float(self.strength))}

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return the candidates' scores, -inf for other tokens."""
        return rescored(logits["base"], logits.get("reward"), float(self.strength), self.candidates)

    def check(self, conversations: Mapping[str, Conversation]) -> None:
        """Raise ValueError for models, prompts or a reward that cannot work; loads no weights."""
        self.reward.check()
        super().check(conversations)

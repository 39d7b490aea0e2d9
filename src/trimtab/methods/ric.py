"""Rewards-in-Context: a model that was tuned with scores in its prompts is asked for some."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.config.accepted import is_number, require_number
from trimtab.config.wording import not_a_choice
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import Conversation, LanguageModel

_NORMS = ("l2", "linf", "linear")


def targets(
    preferences: Sequence[float], ranges: Sequence[Sequence[float]], norm: str
) -> list[float]:
    """Return the scores to ask for, one for each reward, to one decimal.

    Args:
        preferences: how much each reward counts, from 0 up, in all 1.
        ranges: the lowest and the highest score of each.
        norm: how far the scores may go together: `l2` gives the i-th `w_i / |w|` of its range,
            `linear` gives it `w_i`, and `linf` all of it to the reward that counts most, and to the
            others `min(n w_i, 1)`.
    """
    most, n = preferences.index(max(preferences)), len(preferences)
    if norm == "l2":
        shares = [w / math.hypot(*preferences) for w in preferences]
    elif norm == "linf":
        shares = [1.0 if i == most else min(n * w, 1.0) for i, w in enumerate(preferences)]
    else:
        shares = list(preferences)
    spans = zip(shares, ranges, strict=True)
    return [round(share * (high - low) + low, 1) for share, (low, high) in spans]


@dataclass(frozen=True, kw_only=True)
class RiC(Mixture):
    """Write the scores that an answer should get into the question, and decode.

    Yang et al., "Rewards-in-Context: Multi-objective Alignment of Foundation Models with Dynamic
    Preference Adjustment", ICML 2024, arXiv 2402.10207. Which scores these are follows from how
    much each reward counts, by a closed form (`targets`). This is the question alone, which does
    nothing to a model that was not tuned on questions with the scores of their answers in them; how
    to tune one is no part of it. Followed is the authors' released code: its evaluation uses the
    l2 norm, and takes as a reward's range the least and the greatest of 50,000 standard normal
    draws, about 4.2 on both sides, as rewards were normalised for training.

    Args:
        model: a model that was tuned for this.
        strength: how much the first reward counts, 0 to 1; the others share the rest.
        ranges: the lowest and the highest score of each reward, in the order of the training.
        shares: how the others share the rest, in their order; None for alike.
        norm: `l2`, `linf` or `linear`.
        sign: how a score is written behind the question, with `{number}` for that of its reward,
            from 1, and `{score}`.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary, which is asked the
            same; for speed alone.

    Raises:
        ValueError: for settings outside these.
    """

    model: LanguageModel
    strength: float = 0.5
    ranges: Sequence[Sequence[float]] = ([-4.2, 4.2], [-4.2, 4.2])
    shares: Sequence[float] | None = None
    norm: str = "l2"
    sign: str = "<rm{number}_score> {score}"
    draft: DraftSource = None

    dial = "strength"
    needs = "one model"

    def __post_init__(self) -> None:
        require_number("strength", self.strength, "shares from 0 to 1", least=0, most=1)
        super().__post_init__()
        if self.norm not in _NORMS:
            raise ValueError(not_a_choice("norm:", self.norm, _NORMS))
        if len(self.ranges) < 2:
            raise ValueError(f"ranges={self.ranges!r}: accepted are those of two rewards or more.")
        for each in self.ranges:
            if len(each) != 2 or not all(is_number(v) and math.isfinite(v) for v in each):
                raise ValueError(
                    f"ranges: {each!r} is none. Accepted is a lowest and a highest score for each "
                    "reward, as in [[-4.2,4.2],[0,1]]."
                )
            if not each[0] < each[1]:
                raise ValueError(f"ranges: the lowest score of {each!r} comes first.")
        others, shares = len(self.ranges) - 1, self.shares
        if shares is not None and (
            len(shares) != others
            or not all(is_number(v) and 0 <= v < math.inf for v in shares)
            or not sum(shares)
        ):
            raise ValueError(
                f"shares={shares!r}: accepted are {others} numbers from 0 up, not all 0, one for "
                "each reward but the first; or null."
            )
        for piece in ("{number}", "{score}"):
            if piece not in self.sign:
                raise ValueError(f"sign={self.sign!r}: it lacks {piece}, which is put in there.")

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The one model."""
        return {"model": (self.model, 1.0)}

    @property
    def scores(self) -> list[float]:
        """What is asked for, by reward."""
        shares = [float(share) for share in self.shares or [1.0] * (len(self.ranges) - 1)]
        rest = [(1 - self.strength) * share / sum(shares) for share in shares]
        return targets([float(self.strength), *rest], self.ranges, self.norm)

    def asked(self, role: str, conversation: Conversation) -> Conversation:
        """Return the question with the scores behind it."""
        signs = [
            self.sign.replace("{number}", str(i)).replace("{score}", str(score))
            for i, score in enumerate(self.scores, 1)
        ]
        question = " ".join([conversation.question, *signs])
        return dataclasses.replace(conversation, question=question)

"""Best of n: of several answers of one model, the one that a reward likes best."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from trimtab.config.accepted import require_whole
from trimtab.config.user_code import named
from trimtab.decoding import Completion, Generation, Speaker
from trimtab.decoding.completion import Try
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.methods.method import Method
from trimtab.methods.mixture import DraftSource
from trimtab.methods.plain import Plain
from trimtab.methods.prompts import Prompts
from trimtab.methods.tries import tries_at
from trimtab.models import Conversation, LanguageModel

_log = logging.getLogger(__name__)


class Verdict(Protocol):
    """What is said of one answer."""

    @property
    def values(self) -> Mapping[str, float]:
        """Scores by metric; empty where none could be had."""
        ...


class Reward(Protocol):
    """What says how good an answer is: as every `trimtab.scorers.Scorer` does."""

    @property
    def headline(self) -> str | None:
        """The metric that it is about, where it gives several; None for the first."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """What its scores depend on."""
        ...

    def check(self) -> None:
        """Raise ValueError or OSError for what would keep it from scoring."""
        ...

    def score(self, lines: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, Verdict]]:
        """Yield verdicts by id, on lines with an `id`, `question`, `completion` and `target`."""
        ...


@dataclass(frozen=True, kw_only=True)
class BestOfN(Method):
    """Draw n answers of a model, and give the one that a reward scores highest; the first of ties.

    The baseline of methods that align while decoding. Its divergence from the model is at most
    `log n - (n - 1) / n` nats (Beirami et al., "Theoretical guarantees on the best-of-n alignment
    policy", arXiv 2401.01879), which answers have as `kl_bound`; their own reward is `best_reward`.
    The record keeps all n with their scores. The draws of a smaller n are the first of a larger, so
    a sweep of n costs the answers of the largest, and draws them once.

    Args:
        model: the model that answers.
        reward: any scorer: a function, a reward model, a judge. It reads question and answer, and
            is told no target. It is asked about all answers to a question at once.
        n: how many answers are drawn, at a temperature above 0.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.
    """

    model: LanguageModel
    reward: Reward
    n: int = 8
    draft: DraftSource = None

    dial = "n"
    without_effect = frozenset({"draft"})
    needs = "one model"

    def __post_init__(self) -> None:
        require_whole("n", self.n, 1)
        if not all(hasattr(self.reward, name) for name in ("check", "identity", "score")):
            raise ValueError(
                f"reward={self.reward!r}: accepted is a scorer, as in "
                "+scorer@method.reward=function_reward method.reward.function=my_rewards.brevity."
            )
        _ = self._drawn

    @cached_property
    def _drawn(self) -> Plain:
        """What each of the answers is."""
        return Plain(model=self.model, draft=self.draft)

    def speakers(self) -> dict[str, Speaker]:
        """Return the model, and the one that drafts for it."""
        return self._drawn.speakers()

    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        """Make one of the answers."""
        return self._drawn.answer(cursors, prompts, generation)

    @property
    def tries(self) -> int:
        """How many answers are drawn to each question."""
        return self.n

    def best(self, answers: Sequence[Completion], prompts: Prompts) -> Completion:
        """Return the answer of the highest reward.

        Where none could be scored, it is the first, which is said.

        Raises:
            ValueError: for prompts that were given as tokens, which leave nothing to score.
        """
        if prompts.conversation is None:
            raise ValueError("A reward reads the question, and here are tokens: use complete().")
        question = prompts.conversation.asked
        # What fails on one names its id.
        numbers = {one.name: one.number for one in tries_at([answers[0].id], len(answers))}
        lines = [
            {"id": name, "question": question, "completion": answers[i].text, "target": None}
            for name, i in numbers.items()
        ]
        verdicts = {numbers[name]: self._value(each) for name, each in self.reward.score(lines)}
        scores = {i: value for i, value in sorted(verdicts.items()) if value is not None}
        if not scores:
            _log.warning("Sample %r: no answer could be scored; the first is given.", answers[0].id)
        elif unscored := len(answers) - len(scores):
            _log.warning(
                "Sample %r: %d of %d answers could not be scored; the best of the others is given.",
                *(answers[0].id, unscored, len(answers)),
            )
        chosen = max(scores, key=lambda i: scores[i], default=0)
        measures = {"kl_bound": kl_bound(self.n)}
        if chosen in scores:
            measures["best_reward"] = scores[chosen]
        return dataclasses.replace(
            answers[chosen],
            measures=answers[chosen].measures | measures,
            tries=tuple(
                Try(text=answer.text, score=scores.get(i), stop_reason=answer.stop_reason)
                for i, answer in enumerate(answers)
            ),
        )

    def _value(self, verdict: Verdict) -> float | None:
        """Return the number by which an answer is chosen; None where there is none."""
        metric = self.reward.headline or next(iter(verdict.values), "")
        value = verdict.values.get(metric)
        return None if value is None or math.isnan(value) else float(value)

    def require(self, generation: Generation) -> None:
        """Refuse several draws of what is not drawn."""
        if self.n > 1 and generation.temperature == 0:
            raise ValueError(
                f"n={self.n} at temperature=0: the answers would all be alike. Give a "
                "temperature, or generation=sampling."
            )

    def require_models(self) -> None:
        """Raise ValueError for a token map, which a single model has no use for."""
        self._drawn.require_models()

    def require_compatible(self) -> None:
        """Raise ValueError for a draft of another vocabulary."""
        self._drawn.require_compatible()

    def check(self, conversations: Mapping[str, Conversation]) -> None:
        """Raise ValueError for models, prompts or a reward that cannot work; loads no weights."""
        super().check(conversations)
        self.reward.check()

    @property
    def identity(self) -> dict[str, Any]:
        """What the answers depend on: the model's content and the reward's."""
        return super().identity | {"reward": dict(self.reward.identity)}

    def provenance(self) -> dict[str, Any]:
        """Return where the model comes from, and what the reward is."""
        reward = {"scorer": named(type(self.reward)), **self.reward.identity}
        return super().provenance() | {"reward": reward}


def kl_bound(n: int) -> float:
    """Return the most that the best of n diverges from what it is drawn from, in nats."""
    return math.log(n) - (n - 1) / n

"""How likely a method finds a given continuation: one pass over its tokens, nothing drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trimtab.decoding.completion import Work
from trimtab.decoding.predictor import Cursor, Steps

# Logits of so many positions are held at a time.
_AT_ONCE = 256


class Likelihood(NamedTuple):
    """What a method gives a continuation of a prompt.

    Attributes:
        log_probability: the sum over its tokens of `log p(token | prompt, earlier tokens)`, in
            nats, at temperature 1 and before any filter.
        tokens: how many there are.
        greedy: whether each is the method's most likely token there.
    """

    log_probability: float
    tokens: int
    greedy: bool


def require_possible(log_probability: float, what: str, whose: str) -> None:
    """Refuse to compare a text that has no probability with others.

    Raises:
        ValueError: naming what it is of, and whose.
    """
    if log_probability == -math.inf:
        raise ValueError(
            f"{whose}: the method rules out {what}, so nothing tells how likely it is. "
            "Likelihoods are compared without a mask over tokens: set what makes it to keep them "
            "all, as alpha=0 or top_p=1."
        )


class Likelihoods(list[Likelihood]):
    """What a method gives several continuations of one prompt, in their order.

    Attributes:
        work: what each model did for them all, by its role.
    """

    def __init__(self, found: Iterable[Likelihood], work: Mapping[str, Work]) -> None:
        super().__init__(found)
        self.work = work


def weigh(cursor: Cursor, continuations: Sequence[Sequence[int]]) -> Steps[Likelihoods]:
    """Read several continuations of one prompt, which is read once.

    Raises:
        ContextFull: for one that no model of the speaker can hold.
        ValueError: for a predictor that leaves tokens' probabilities out.
    """
    found = []
    for continuation in continuations:
        log_probabilities: list[float] = []
        greedy = True
        for start in range(0, len(continuation), _AT_ONCE):
            targets = continuation[start : start + _AT_ONCE]
            predictions = yield cursor.after(continuation[:start], targets[:-1], targets)
            log_probabilities += (each.log_probability for each in predictions)
            if any(map(math.isnan, log_probabilities)):
                raise ValueError(
                    f"{', '.join(model.path for model in cursor.models.values())} predicts by "
                    "itself, and without the probability of a given token (Request.targets): a "
                    "text's likelihood needs it."
                )
            pairs = zip(predictions, targets, strict=True)
            greedy &= all(each.top_token == token for each, token in pairs)
        found.append(Likelihood(math.fsum(log_probabilities), len(continuation), greedy))
    return Likelihoods(found, cursor.whole_work)

"""How likely a method finds a given continuation: one pass over its tokens, nothing drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trimtab.decoding.batching import Reader
from trimtab.decoding.completion import Work
from trimtab.decoding.part import Part

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


class Likelihoods(list[Likelihood]):
    """What a method gives several continuations of one prompt, in their order.

    Attributes:
        work: what each model did for them all, by its role.
    """

    def __init__(self, found: Iterable[Likelihood], work: Mapping[str, Work]) -> None:
        super().__init__(found)
        self.work = work


def weigh(part: Part, continuations: Sequence[Sequence[int]]) -> Reader[Likelihoods]:
    """Read several continuations of one prompt, which is read once.

    Raises:
        ContextFull: for one that no model of the voice can hold.
    """
    found = []
    for continuation in continuations:
        log_probabilities: list[float] = []
        greedy = True
        for start in range(0, len(continuation), _AT_ONCE):
            told = tuple(continuation[start : start + _AT_ONCE])
            before = list(continuation[: start + len(told) - 1])
            sequences = [prompt + before for prompt in part.prompts]
            readings = yield part.ask(sequences, last=len(told), told=told)
            log_probabilities += (reading.log_probability for reading in readings)
            greedy &= all(r.top_token == token for r, token in zip(readings, told, strict=True))
        found.append(Likelihood(math.fsum(log_probabilities), len(continuation), greedy))
    return Likelihoods(found, part.work)

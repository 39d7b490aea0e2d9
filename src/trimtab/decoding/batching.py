"""The loop: many answers at once, each written as if it were alone.

An answer is a generator that yields requests and gets predictions back. The loop gathers the open
requests, hands each predictor all of its own at once, and fills the slot of an answer that is done
with the next one, so the batch stays full to the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

from trimtab.decoding.predictor import Prediction, Predictor, Request, Steps

Result = TypeVar("Result")


def decode(
    starts: Iterable[Callable[[Sequence[int]], Mapping[int, Steps[Result]]]],
    predictors: Sequence[Predictor],
    batch_size: int,
    together: int = 1,
) -> Iterator[tuple[int, Result]]:
    """Yield what answers come to as they finish, each with the slot that it was made in.

    Args:
        starts: for each sample, a function that begins its answers; it is given as many slots as a
            sample has answers, and returns each answer, which comes to no None, by its slot.
        predictors: everyone who may be asked; earlier ones are asked first, so put the small models
            before the large: a large one then runs when all rows wait for it, in full batches.
        batch_size: number of samples at a time.
        together: number of slots that a sample needs to begin; each is free when its answer is
            done.
    """
    waiting = iter(starts)
    free = deque(range(batch_size * together))
    answers: dict[int, Steps[Result]] = {}
    requests: dict[int, Request] = {}

    def advance(slot: int, predictions: list[Prediction] | None) -> Result | None:
        try:
            answer = answers[slot]
            requests[slot] = next(answer) if predictions is None else answer.send(predictions)
            return None
        except StopIteration as done:
            free.append(slot)
            del answers[slot]
            requests.pop(slot, None)
            return cast(Result, done.value)

    def fill() -> Iterator[tuple[int, Result]]:
        while len(free) >= together:
            start = next(waiting, None)
            if start is None:
                return
            slots = [free.popleft() for _ in range(together)]
            begun = start(slots)
            answers.update(begun)
            free.extendleft(slot for slot in reversed(slots) if slot not in begun)
            for slot in begun:
                finished = advance(slot, None)
                if finished is not None:
                    yield slot, finished

    yield from fill()
    while answers:
        predictor = next(
            each
            for each in predictors
            if any(request.cursor.predictor is each for request in requests.values())
        )
        slots = sorted(
            slot for slot, request in requests.items() if request.cursor.predictor is predictor
        )
        predicted = predictor.predict([requests[slot] for slot in slots])
        ended = False
        for slot, predictions in zip(slots, predicted, strict=True):
            finished = advance(slot, predictions)
            if finished is not None:
                ended = True
                yield slot, finished
        if ended:
            yield from fill()

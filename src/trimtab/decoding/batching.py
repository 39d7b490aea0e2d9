"""The loop: many answers at once, each written as if it were alone.

An answer is a generator that yields requests and gets predictions back. The loop gathers the open
requests, hands each predictor all of its own at once, and fills the slot of an answer that is done
with the next one, so the batch stays full to the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from trimtab.decoding.predictor import Prediction, Predictor, Request, Steps
from trimtab.decoding.telling import News

Result = TypeVar("Result")


def decode(
    starts: Iterable[Callable[[Sequence[int]], Mapping[int, Steps[Result]]]],
    predictors: Sequence[Predictor],
    batch_size: int,
    together: int = 1,
    given_up: Callable[[int], bool] | None = None,
) -> Iterator[tuple[int, Result | News]]:
    """Yield what answers come to as they finish, each with the slot that it was made in.

    What is settled of an answer before, where somebody listens, is yielded too.

    Args:
        starts: for each sample, a function that begins its answers; it is given as many slots as a
            sample has answers, and returns each answer by its slot.
        predictors: everyone who may be asked; earlier ones are asked first, so put the small models
            before the large: a large one then runs when all rows wait for it, in full batches.
        batch_size: number of samples at a time.
        together: number of slots that a sample needs to begin; each is free when its answer is
            done.
        given_up: whether nobody waits for the answer in a slot any more; asked before each pass. It
            is left then, and yields nothing more.
    """
    waiting = iter(starts)
    free = deque(range(batch_size * together))
    answers: dict[int, Steps[Result]] = {}
    requests: dict[int, Request] = {}

    def advance(
        slot: int, predictions: list[Prediction] | None
    ) -> Iterator[tuple[int, Result | News]]:
        answer = answers[slot]
        try:
            step = next(answer) if predictions is None else answer.send(predictions)
            while isinstance(step, News):
                yield slot, step
                step = next(answer)
            requests[slot] = step
        except StopIteration as done:
            leave(slot)
            yield slot, done.value

    def leave(slot: int) -> None:
        free.append(slot)
        del answers[slot]
        requests.pop(slot, None)

    def fill() -> Iterator[tuple[int, Result | News]]:
        while len(free) >= together:
            start = next(waiting, None)
            if start is None:
                return
            slots = [free.popleft() for _ in range(together)]
            begun = start(slots)
            answers.update(begun)
            free.extendleft(slot for slot in reversed(slots) if slot not in begun)
            for slot in begun:
                yield from advance(slot, None)

    yield from fill()
    while answers:
        if given_up and (left := [slot for slot in answers if given_up(slot)]):
            for slot in left:
                answers[slot].close()
                leave(slot)
            yield from fill()
            continue
        predictor = next(
            each
            for each in predictors
            if any(request.cursor.predictor is each for request in requests.values())
        )
        slots = sorted(
            slot for slot, request in requests.items() if request.cursor.predictor is predictor
        )
        predicted = predictor.predict([requests[slot] for slot in slots])
        for slot, predictions in zip(slots, predicted, strict=True):
            yield from advance(slot, predictions)
        if len(free) >= together:
            yield from fill()

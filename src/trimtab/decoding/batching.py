"""The loop: many answers at once, each written as if it were alone.

An answer is a generator that yields requests to voices and gets readings back. The loop gathers
the open requests, runs one forward pass per voice for all of them, and fills the slot of an answer
that is done with the next one, so the batch stays full to the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

from trimtab.decoding.completion import Completion
from trimtab.decoding.part import Ask, Reading
from trimtab.decoding.voice import Voice

Result = TypeVar("Result")
Reader = Generator[Ask, list[Reading], Result]
"""Reads with voices until it comes to a result, which is not None."""
Answer = Reader[Completion]
"""One answer in the making."""


def decode(
    starts: Iterable[Callable[[Sequence[int]], Mapping[int, Reader[Result]]]],
    voices: Sequence[Voice],
    batch_size: int,
    family: int = 1,
) -> Iterator[tuple[int, Result]]:
    """Yield what answers come to as they finish, each with the slot that it was made in.

    Args:
        starts: for each sample, a function that begins its answers; it is given as many slots as a
            family has members, and returns each answer by its slot.
        voices: everyone who may be asked; earlier ones are asked first, so put the small models
            before the large: a large one then runs when all rows wait for it, in full batches.
        batch_size: number of families at a time.
        family: number of slots that a sample needs to begin; each is free when its answer is done.
    """
    waiting = iter(starts)
    free = deque(range(batch_size * family))
    answers: dict[int, Reader[Result]] = {}
    asks: dict[int, Ask] = {}

    def advance(slot: int, readings: list[Reading] | None) -> Result | None:
        try:
            answer = answers[slot]
            asks[slot] = next(answer) if readings is None else answer.send(readings)
            return None
        except StopIteration as done:
            free.append(slot)
            del answers[slot]
            asks.pop(slot, None)
            return cast(Result, done.value)

    def fill() -> Iterator[tuple[int, Result]]:
        while len(free) >= family:
            start = next(waiting, None)
            if start is None:
                return
            slots = [free.popleft() for _ in range(family)]
            begun = start(slots)
            answers.update(begun)
            free.extendleft(slot for slot in reversed(slots) if slot not in begun)
            for slot in begun:
                finished = advance(slot, None)
                if finished is not None:
                    yield slot, finished

    yield from fill()
    while answers:
        voice = next(v for v in voices if any(ask.part.voice is v for ask in asks.values()))
        slots = sorted(slot for slot, ask in asks.items() if ask.part.voice is voice)
        read = voice.read([asks[slot] for slot in slots])
        ended = False
        for slot, readings in zip(slots, read, strict=True):
            finished = advance(slot, readings)
            if finished is not None:
                ended = True
                yield slot, finished
        if ended:
            yield from fill()

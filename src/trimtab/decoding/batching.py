"""The loop: many answers at once, each written as if it were alone.

An answer is a generator that yields requests to voices and gets readings back. The loop gathers
the open requests, runs one forward pass per voice for all of them, and fills the slot of an answer
that is done with the next one, so the batch stays full to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from trimtab.decoding.completion import Completion
from trimtab.decoding.voice import Ask, Reading, Voice

Answer = Generator[Ask, list[Reading], Completion]
"""One answer in the making."""


def decode(
    starts: Iterable[Callable[[int], Answer]], voices: Sequence[Voice], batch_size: int
) -> Iterator[Completion]:
    """Yield completions as they finish.

    Args:
        starts: for each answer, a function that begins it in a slot.
        voices: everyone who may be asked; earlier ones are asked first, so put the small models
            before the large: a large one then runs when all rows wait for it, in full batches.
        batch_size: number of slots.
    """
    waiting = iter(starts)
    answers: dict[int, Answer] = {}
    asks: dict[int, Ask] = {}

    def advance(slot: int, readings: list[Reading] | None) -> Completion | None:
        try:
            answer = answers[slot]
            asks[slot] = next(answer) if readings is None else answer.send(readings)
            return None
        except StopIteration as done:
            del answers[slot]
            asks.pop(slot, None)
            for voice in voices:
                voice.forget(slot)
            completion = done.value
            assert isinstance(completion, Completion)
            return completion

    def fill() -> Iterator[Completion]:
        for slot in range(batch_size):
            while slot not in answers:
                start = next(waiting, None)
                if start is None:
                    return
                answers[slot] = start(slot)
                finished = advance(slot, None)
                if finished is not None:
                    yield finished

    yield from fill()
    while answers:
        voice = next(v for v in voices if any(ask.part.voice is v for ask in asks.values()))
        slots = sorted(slot for slot, ask in asks.items() if ask.part.voice is voice)
        read = voice.read([asks[slot] for slot in slots])
        for slot, readings in zip(slots, read, strict=True):
            finished = advance(slot, readings)
            if finished is not None:
                yield finished
        yield from fill()

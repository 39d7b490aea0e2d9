"""How long one kind of work takes, without what goes on in between."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_T = TypeVar("_T")


class Stopwatch:
    """Seconds spent on one kind of work so far."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the length of the block."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - start

    def over(self, work: Iterable[_T]) -> Iterator[_T]:
        """Yield what `work` yields, counting what it takes to come, not what is done with it."""
        results = iter(work)
        while True:
            with self.running():
                try:
                    result = next(results)
                except StopIteration:
                    return
            yield result

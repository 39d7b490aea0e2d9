"""A method that breaks off after some answers, as a run does that is interrupted or fails."""

import itertools
from typing import Any

from trimtab import Completion, Plain


def breaking_off(after: int, error: type[BaseException] = KeyboardInterrupt) -> type[Plain]:
    """Plain decoding that raises once so many answers are finished."""
    finished = itertools.count()

    class BreakingOff(Plain):
        def answer(self, *given: Any) -> Any:
            completion: Completion = yield from super().answer(*given)
            if next(finished) >= after:
                raise error("logits are not finite")
            return completion

    return BreakingOff

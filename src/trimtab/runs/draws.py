"""Several answers to each sample: what tells them apart, and what they come to together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trimtab.runs.record_types import SampleRecord
from trimtab.tasks import Sample


class Draw(NamedTuple):
    """One of the answers to a sample; the first is number 1."""

    sample: Sample
    number: int

    @property
    def id(self) -> str:
        """The id of the answer: the first has that of its sample."""
        return self.sample.id if self.number == 1 else f"{self.sample.id}#{self.number}"


def of_samples(samples: Iterable[Sample], draws: int) -> dict[str, Draw]:
    """Return the answers that are wanted, by their ids: `7`, `7#2`, `7#3`, ... for sample `7`.

    Ids name the noise, so more draws leave the earlier ones as they are.

    Raises:
        ValueError: where a sample has the id of another's draw.
    """
    found: dict[str, Draw] = {}
    for draw in (Draw(sample, n) for sample in samples for n in range(1, draws + 1)):
        other = found.setdefault(draw.id, draw)
        if other.sample.id != draw.sample.id:
            raise ValueError(
                f"generation.draws={draws}: {draw.id!r} would name draws of samples "
                f"{other.sample.id!r} and {draw.sample.id!r}. Give one of them another id."
            )
    return found


def sample_of(line: SampleRecord) -> str:
    """Return the id of the sample that a record answers."""
    return line.get("of", line["id"])


def best_of(values: Sequence[float], k: int) -> float:
    """Return the expected largest of k of some values, drawn without putting any back.

    For values of 0 and 1 this is the unbiased pass@k of Chen et al., arXiv 2107.03374, equation 1.
    """
    ranked = sorted(values)
    ways = sum(math.comb(rank, k - 1) * value for rank, value in enumerate(ranked))
    return ways / math.comb(len(ranked), k)


def sizes(draws: int) -> list[int]:
    """Return for how many answers the best one is reported: 2, 4, 8, ..., and all."""
    powers = [1 << exponent for exponent in range(1, draws.bit_length())]
    return sorted({k for k in powers if k <= draws} | ({draws} if draws > 1 else set()))


def by_sample(values: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    """Return the values of each sample, by its id."""
    found: dict[str, list[float]] = {}
    for sample_id, value in values:
        found.setdefault(sample_id, []).append(value)
    return found

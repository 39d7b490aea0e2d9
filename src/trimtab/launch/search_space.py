"""Where a search looks: the values of one setting, or of several at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from optuna.distributions import FloatDistribution
from optuna.trial import Trial

_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)
_FIRST = 7  # points that a search over one setting begins with
_FURTHER = 4  # more for each further setting

Point = tuple[float, ...]
"""A value of each setting, in the order of the space."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The values that a search may try; in decimals, so that 0.29 is the 0.29 of a command."""

    low: Decimal
    high: Decimal
    step: Decimal

    def __len__(self) -> int:
        return int((self.high - self.low) / self.step) + 1

    def __getitem__(self, place: int) -> float:
        if not 0 <= place < len(self):
            raise IndexError(place)
        return float(self.low + place * self.step)

    def place(self, value: float) -> int:
        """Return the place of the value that is nearest."""
        return min(max(round((Decimal(value) - self.low) / self.step), 0), len(self) - 1)

    @property
    def distribution(self) -> FloatDistribution:
        """What Optuna draws from."""
        low, high, step = map(float, (self.low, self.high, self.step))
        return FloatDistribution(low, high, step=step)

    def __str__(self) -> str:
        low, high, step = (plain(float(end)) for end in (self.low, self.high, self.step))
        return f"from {low} to {high} by {step}"


@dataclass(frozen=True)
class Space:
    """The values of one or several settings.

    Args:
        grids: the values of each, by its name.
    """

    grids: Mapping[str, Grid]

    def __len__(self) -> int:
        return math.prod(map(len, self.grids.values()))

    @property
    def corners(self) -> tuple[Point, Point]:
        """The point of all lowest values and that of all highest."""
        grids = self.grids.values()
        return tuple(grid[0] for grid in grids), tuple(grid[len(grid) - 1] for grid in grids)

    @property
    def first(self) -> list[Point]:
        """The points that a search begins with, spread evenly (Halton, Numer. Math. 2, 1960)."""
        count = _FIRST + _FURTHER * (len(self.grids) - 1)
        pairs = list(zip(self.grids.values(), _PRIMES, strict=False))
        return [
            tuple(grid[int(_radical_inverse(i, prime) * (len(grid) - 1))] for grid, prime in pairs)
            for i in range(1, count + 1)
        ]

    def nearest(self, point: Point, tried: Collection[Point]) -> Point:
        """Return the untried point that is nearest on the grid; of several, the lowest."""
        grids = list(self.grids.values())
        start = [grid.place(value) for grid, value in zip(grids, point, strict=True)]
        for distance in itertools.count():
            for move in _moves(distance, len(grids)):
                places = [place + step for place, step in zip(start, move, strict=True)]
                if all(0 <= p < len(grid) for p, grid in zip(places, grids, strict=True)):
                    near = tuple(grid[p] for p, grid in zip(places, grids, strict=True))
                    if near not in tried:
                        return near
        raise AssertionError("endless")

    def suggest(self, trial: Trial) -> Point:
        """Return the point that is proposed to a trial."""
        return tuple(
            trial.suggest_float(
                key, grid.distribution.low, grid.distribution.high, step=grid.distribution.step
            )
            for key, grid in self.grids.items()
        )

    def point(self, params: Mapping[str, float]) -> Point:
        """Return the point that a trial was at."""
        return tuple(params[key] for key in self.grids)

    def assignments(self, point: Point) -> list[str]:
        """Return the overrides that set a point."""
        return [f"{key}={plain(value)}" for key, value in zip(self.grids, point, strict=True)]


def _moves(distance: int, count: int) -> Iterator[tuple[int, ...]]:
    """Yield the steps that lead to places of a largest distance, shorter ways first."""
    steps = itertools.product(range(-distance, distance + 1), repeat=count)
    rim = [move for move in steps if max(map(abs, move)) == distance]
    yield from sorted(rim, key=lambda move: (sum(step * step for step in move), move))


def _radical_inverse(number: int, base: int) -> float:
    inverse, digit = 0.0, 1 / base
    while number:
        number, rest = divmod(number, base)
        inverse, digit = inverse + rest * digit, digit / base
    return inverse


def plain(value: float) -> str:
    """Return a number as a user would type it."""
    return f"{value:.15g}"  # 2, and not 2.0, which no whole number may be

"""What a search is asked: which setting, within which interval, and what stays as it is."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from optuna.trial import Trial

from trimtab.config import ConfigError
from trimtab.overrides import Source, check_command

_EXAMPLE = "'method.threshold=interval(0,1)'"
_STEPS = 100  # an interval has so many, where no step is given
_MOST = 1_000_000  # steps that an interval may have
_FIRST = (1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8)  # parts of the interval


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

    @property
    def first(self) -> list[float]:
        """The values that a search begins with."""
        return [self[int(part * (len(self) - 1))] for part in _FIRST]

    def nearest(self, value: float, tried: Collection[float]) -> float:
        """Return the untried value that is nearest to one of the grid; of two, the lower."""
        start = round((Decimal(value) - self.low) / self.step)
        around = (start + sign * distance for distance in itertools.count() for sign in (-1, 1))
        inside = (self[place] for place in around if 0 <= place < len(self))
        return next(value for value in inside if value not in tried)

    def suggest(self, trial: Trial, name: str) -> float:
        """Return the value that is proposed to a trial."""
        low, high, step = map(float, (self.low, self.high, self.step))
        return trial.suggest_float(name, low, high, step=step)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, and how.

    Args:
        overrides: what all trials have in common.
        key: the setting that is searched, as an override names it.
        grid: its values.
        source: where configurations come from.
        trials: how many values are tried, those of earlier starts included.
        seed: decides which.
        metric: a score of the task; None for the task's own.
        minimize: whether less of it is better.
        pruning: whether values that are clearly worse than the best are given up early.
    """

    overrides: Sequence[str]
    key: str
    grid: Grid
    source: Source
    trials: int
    seed: int
    metric: str | None
    minimize: bool
    pruning: bool

    def compose(self, value: float) -> DictConfig:
        """Return the configuration of one trial, Hydra's own part included."""
        overrides = [*self.source.search_path, *self.overrides, assignment(self.key, value)]
        return compose(self.source.name, overrides, return_hydra_config=True)


def read(
    arguments: Sequence[str],
    source: Source,
    *,
    trials: int,
    seed: int,
    step: float | None,
    metric: str | None,
    minimize: bool,
    pruning: bool,
) -> Plan:
    """Return what a command asks for.

    Raises:
        ConfigError: with all mistakes in the command.
    """
    mistakes = []
    if trials < 1:
        mistakes.append(f"--trials {trials}: accepted are whole numbers from 1 up.")
    if seed < 0:
        mistakes.append(f"--seed {seed}: accepted are whole numbers from 0 up.")
    common, intervals = [], []
    for argument in arguments:
        override = _parsed(argument)
        if override is None or not override.is_sweep_override():
            common.append(argument)
        elif override.is_interval_sweep():
            intervals.append(override)
        else:
            mistakes.append(
                f"{argument}: a search is over one interval, as in {_EXAMPLE}, and everything else "
                "has one value; for a value with commas, quote it twice: \"'a,b'\"."
            )
    if not intervals:
        mistakes.append(f"Nothing to search: give one setting as an interval, as in {_EXAMPLE}.")
    for further in intervals[1:]:
        mistakes.append(f"{further.input_line}: one interval at a time can be searched.")
    key, grid, checked = "", None, list(common)
    try:
        if intervals:
            key, grid = intervals[0].get_key_element(), _grid(intervals[0], step)
            # The second value too: where the ends are whole numbers, others may not be.
            some = [plain(grid[place]) for place in (0, len(grid) - 1, 1)]
            checked.append(f"{key}={','.join(some)}")
    except ValueError as error:
        mistakes.append(str(error))
    try:
        check_command(checked, source, multirun=True)
    except ConfigError as error:
        # What is wrong with the name is said of what was written.
        tried = re.compile(rf"^{re.escape(key)}=\S+: no such")
        written = f"{intervals[0].input_line}: no such" if intervals else ""
        mistakes += [tried.sub(written, mistake) for mistake in error.mistakes]
    if mistakes:
        raise ConfigError(mistakes)
    assert grid is not None
    return Plan(
        overrides=common,
        key=key,
        grid=grid,
        source=source,
        trials=trials,
        seed=seed,
        metric=metric,
        minimize=minimize,
        pruning=pruning,
    )


def _parsed(argument: str) -> Override | None:
    """Return an override, or None for what cannot be read; `check_command` says why."""
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _grid(override: Override, step: float | None) -> Grid:
    interval: Any = override.value()
    low, high = (Decimal(str(end)) for end in (interval.start, interval.end))
    if not (low.is_finite() and high.is_finite() and low < high):
        raise ValueError(
            f"{override.input_line}: accepted is interval(LOW,HIGH), two numbers, the lower first."
        )
    width = high - low
    size = width / _STEPS if step is None else Decimal(str(step))
    if not (size.is_finite() and width / _MOST <= size <= width) or width % size:
        raise ValueError(
            f"--step {step:g}: accepted is what divides {override.input_line} evenly, such as "
            f"{width / _STEPS:f} or {width / 10:f}."
        )
    return Grid(low=low, high=high, step=size)


def assignment(key: str, value: float) -> str:
    """Return the override that gives a setting a value."""
    return f"{key}={plain(value)}"


def plain(value: float) -> str:
    """Return a number as a user would type it."""
    return f"{value:.15g}"  # 2, and not 2.0, which no whole number may be

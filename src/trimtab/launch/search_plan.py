"""What a search is asked: which settings, within which intervals, and what stays as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from trimtab.config.composition import ConfigError
from trimtab.config.overrides import Source, check_command, single
from trimtab.launch.search_space import Grid, Point, Space, plain

_EXAMPLE = "'method.threshold=interval(0,1)'"
_STEPS = 100  # an interval has so many, where no step is given
_MOST = 1_000_000  # steps that an interval may have
_MOST_INTERVALS = 8


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, and how.

    Args:
        overrides: what all trials have in common.
        space: the settings that are searched, as overrides name them, and their values.
        source: where configurations come from.
        trials: how many values are tried, those of earlier starts included.
        seed: decides which.
        metric: a score of the task; None for the task's own.
        minimize: whether less of it is better.
        pruning: whether values that are clearly worse than the best are given up early.
    """

    overrides: Sequence[str]
    space: Space
    source: Source
    trials: int
    seed: int
    metric: str | None
    minimize: bool
    pruning: bool

    def compose(self, point: Point) -> DictConfig:
        """Return the configuration of one trial, Hydra's own part included."""
        overrides = [*self.source.search_path, *self.overrides, *self.space.assignments(point)]
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
                f"{argument}: a search is over intervals, as in {_EXAMPLE}, and everything else "
                f"has one value. {single(override)}"
            )
    if not intervals:
        mistakes.append(f"Nothing to search: give one setting as an interval, as in {_EXAMPLE}.")
    if len(intervals) > _MOST_INTERVALS:
        mistakes.append(f"{len(intervals)} intervals: at most {_MOST_INTERVALS} can be searched.")
    grids, checked = {}, list(common)
    for interval in intervals:
        try:
            key, grid = interval.get_key_element(), _grid(interval, step)
        except ValueError as error:
            mistakes.append(str(error))
            continue
        grids[key] = grid
        # The second value too: where the ends are whole numbers, others may not be.
        some = [plain(grid[place]) for place in (0, len(grid) - 1, 1)]
        checked.append(f"{key}={','.join(some)}")
    try:
        check_command(checked, source, multirun=True)
    except ConfigError as error:
        mistakes += [_as_written(mistake, intervals) for mistake in error.mistakes]
    if mistakes:
        raise ConfigError(mistakes)
    return Plan(
        overrides=common,
        space=Space(grids),
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


def _as_written(mistake: str, intervals: Sequence[Override]) -> str:
    """Return what is wrong with a setting's name or values, said of what was written."""
    for interval in intervals:
        tried = rf"^{re.escape(interval.get_key_element())}=\S+: "
        mistake = re.sub(f"{tried}no such", f"{interval.input_line}: no such", mistake)
        if re.match(f"{tried}accepted is a whole number", mistake):
            mistake += " Between two of these, --step 1 tries no others."
    return mistake

"""Printed intervals hold the truth as often as they say, and `choose` errs no more than it says."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "intervals" / "coverage.py"


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulated_coverage", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def least(level: float, repetitions: float) -> float:
    """What a true rate of `level` falls below by chance in one of a thousand simulations."""
    return level - 3.1 * math.sqrt(level * (1 - level) / max(repetitions, 1))


@pytest.mark.parametrize(
    ("part", "again"),
    [("shares", 300), ("means", 60), ("clusters", 300), ("differences", 200), ("kappas", 300)],
)
def test_intervals_hold_the_truth_and_tests_their_level(
    coverage: ModuleType, part: str, again: int
) -> None:
    for row in getattr(coverage, part)(again):
        if row.of == "test of a difference" and "skewed" in row.case:
            continue  # of runs that differ, though their means do not: the test is of another thing
        assert row.held >= least(0.93, row.repetitions * (1 - row.none)), row


@pytest.mark.slow
def test_of_equal_values_none_is_called_worse_and_the_best_is_worth_what_is_said(
    coverage: ModuleType,
) -> None:
    wrong: list[float] = []
    for row in coverage.chosen(60, ((50, 5), (100, 11))):
        if row.of.startswith("choose: none"):
            wrong.append(1 - row.held)
        assert row.held >= least(0.95 if "none" in row.of else 0.93, row.repetitions), row
    assert sum(wrong) / len(wrong) < 0.05
    for row in coverage.margins(60):
        assert row.held >= least(0.95, row.repetitions), row

"""Rates of several ways to do the same, taken in turns in one run.

Machines are noisy: a ratio is the median over repeats of rates taken one right after the other.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Rates = dict[str, list[float]]


def in_turns(
    ways: Mapping[str, Callable[[], int]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Rates:
    """Return tokens per second of each way, `repeats` times; each returns its number of tokens.

    A first round, that is not counted, warms up.
    """
    rates: Rates = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, decode in ways.items():
            start = clock()
            tokens = decode()
            if repeat:
                rates[name].append(tokens / (clock() - start))
    return rates


def ratio(rates: Rates, one: str, other: str) -> list[float]:
    """Return the lowest, median and highest ratio of two ways."""
    pairs = zip(rates[one], rates[other], strict=True)
    ratios = sorted(a / b for a, b in pairs)
    return [round(value, 3) for value in (ratios[0], statistics.median(ratios), ratios[-1])]


def speeds(rates: Rates) -> dict[str, float]:
    """Return the median tokens per second of each way."""
    return {name: round(statistics.median(values), 2) for name, values in rates.items()}


def report(name: str, rows: list[dict[str, object]], out: Path) -> None:
    """Print a line per row, and write all to `out/<name>.json`."""
    for row in rows:
        print("  ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n")

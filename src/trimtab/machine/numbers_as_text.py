"""Numbers as trimtab writes them for people: scores, intervals, p-values, shares, speeds, sizes."""

from __future__ import annotations

from collections.abc import Sequence

SCORE = ".3f"
DIFFERENCE = "+.3f"


def score(value: float) -> str:
    """Return a score, such as `0.917`."""
    return f"{value:{SCORE}}"


def interval(ends: Sequence[float] | None, form: str = SCORE) -> str:
    """Return an interval in brackets, such as `[0.646, 0.985]`; nothing where there is none."""
    if ends is None:
        return ""
    low, high = ends
    return f"[{low:{form}}, {high:{form}}]"


def estimate(value: float, ends: Sequence[float] | None, form: str = SCORE) -> str:
    """Return a number with its interval, such as `0.917 [0.646, 0.985]`."""
    return f"{value:{form}} {interval(ends, form)}".rstrip()


def p_value(p: float | None) -> str:
    """Return a p-value of two digits; nothing where there is none."""
    return "" if p is None else f"{p:.2g}"


def percent(share: float | None, form: str = ".3g") -> str:
    """Return a share in percent; nothing where it is not known."""
    return "" if share is None else f"{100 * share:{form}} %"


def percent_interval(ends: Sequence[float]) -> str:
    """Return an interval of shares in whole percents, such as `[75, 100]`, after a `percent`."""
    return interval([100 * end for end in ends], ".0f")


def speed(tokens_per_second: float | None) -> str:
    """Return a speed in whole tokens per second; nothing where it is not known."""
    return "" if tokens_per_second is None else f"{tokens_per_second:,.0f}"


def size(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"

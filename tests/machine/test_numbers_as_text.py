"""Numbers read back from their text are what they were, to the digits that are shown."""

import re

import pytest

from trimtab.machine import numbers_as_text as text


@pytest.mark.parametrize("ends", [(0.6461, 0.9851), (-0.25, 0.0), None])
def test_an_estimate_can_be_read_back(ends: tuple[float, float] | None) -> None:
    said = text.estimate(0.9166, ends)
    found = [float(number) for number in re.findall(r"[-+]?\d+\.\d+", said)]
    assert found == pytest.approx([0.9166, *(ends or ())], abs=5e-4)
    assert said.endswith("]") == (ends is not None)
    assert said == said.strip()


def test_a_difference_has_its_sign_at_every_number() -> None:
    said = text.estimate(0.5, (-0.1, 1.1), text.DIFFERENCE)
    assert re.findall(r"[-+]", said) == ["+", "-", "+"]


@pytest.mark.parametrize("count", [1, 999, 1000, 12_345, 3 * 10**6, 7 * 10**9, 5 * 10**13])
def test_a_size_is_near_its_bytes(count: int) -> None:
    number, unit = text.size(count).split()
    factor = {"bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}[unit]
    assert float(number) * factor == pytest.approx(count, rel=5e-3)


def test_what_is_not_known_is_not_written() -> None:
    assert text.percent(None) == text.p_value(None) == text.speed(None) == text.interval(None) == ""

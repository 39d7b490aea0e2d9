"""`trimtab search`: mistakes in what it is asked, before anything is computed."""

import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["limit=3"], ["Nothing to search", "'method.threshold=interval(0,1)'"]),
        ([], ["Nothing to search"]),
        (
            ["method.treshold=interval(0,1)", "base=a-large-bse", "--trials", "0"],
            ["interval(0,1): no such", "method.threshold?", "a-large-base?", "--trials", "3 mis"],
        ),
        (["method.threshold=interval(1,0)"], ["interval(1,0): accepted", "lower first"]),
        (["method.threshold=interval(0,3)"], ["threshold=3: accepted", "1 mistake in"]),
        (["method.threshold=interval(0)"], ["cannot be read", "Nothing to search"]),
        (["method.threshold=interval(0,1)", "--step", "0.3"], ["--step 0.3", "0.01 or 0.1"]),
        (["method.threshold=interval(0,1)", "--step", "1e-30"], ["--step 1e-30"]),
        (["method.threshold=interval(0,1)", "--seed", "-1"], ["--seed -1"]),
        (["method.threshold=interval(0,1)", "limit=2,3"], ["limit=2,3", "over intervals"]),
        (
            ["method.threshold=interval(0,1)", "scorers=quality,safety"],
            ["over intervals", "'scorers=[quality,safety]'"],
        ),
        (
            ["method.threshold=interval(0,1)", "method.lookahed=interval(1,9)", "--step", "1"],
            ["method.lookahed=interval(1,9): no such", "method.lookahead?", "1 mistake in"],
        ),
        (["method.threshold=interval(0,1)", "--metric", "acuracy"], ["Did you mean 'accuracy'"]),
        (
            ["generation.max_new_tokens=interval(1,64)"],
            ["max_new_tokens=1.63", "whole number. Between two of these, --step 1"],
        ),
    ],
)
def test_mistakes_are_told_together_before_anything_is_written(
    arguments: list[str], said: list[str], trimtab: Any, tmp_path: Path
) -> None:
    code, _, error = trimtab("search", *arguments)
    assert code == 2
    assert "Traceback" not in error
    for words in said:
        assert words in error
    assert not any(tmp_path.iterdir())


def test_without_optuna_the_command_says_what_brings_it(
    trimtab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "trimtab.launch.dial_search")
    monkeypatch.delattr("trimtab.launch.dial_search")
    code, _, error = trimtab("search", "method.threshold=interval(0,1)")
    assert code == 1
    assert error == "trimtab: error: trimtab search needs Optuna: pip install 'trimtab[search]'\n"

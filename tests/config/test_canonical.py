"""Fingerprints of all classes that a config can name: no two settings share one by mistake."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import get_object

from trimtab import AlignmentVectors, LanguageModel
from trimtab.config import composition
from trimtab.config.composition import digest
from trimtab.config.signature import Signature, fits

NAN = float("nan")
SCALARS = [
    None, True, False, 0, 1, -1, 2, 10, 0.0, -0.0, 1.0, 0.1, 0.1 + 1e-16, 1e-320, 0.2, 1e300,
    2**53, 2.0**53, 2**53 + 1, NAN, math.inf, -math.inf,
    "", "0", "1", "1.0", "-0.0", "true", "True", "null", "NaN", "a", "A", "a ", "é", "e\u0301",
    "\ud800", "${base}", "[]", "{}",
]  # fmt: skip
HELD = [
    [], [0], [0.0], [1], [1.0], ["1"], [True], [None], [[1]], [1, 2], [2, 1],
    {}, {"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": True}, {"b": 1}, {"a": 1, "b": 2},
    {"a": {"b": 1}}, {"a": [1]},
]  # fmt: skip
# That only a user's class can tell apart.
ODD = [{"b": 2, "a": 1}, {1: "a"}, {"1": "a"}, {1: "a", "1": "b"}, {"1": "a", 1: "b"}, {True: 1}]
STRANGER = """
from dataclasses import dataclass
from typing import Any
from trimtab.methods import DeRa, Method
from trimtab.tasks import WordProblems
from trimtab.decoding import Generation


@dataclass(frozen=True, kw_only=True)
class Mine(DeRa):
    anything: Any = None
    number: float = 0.0
    whole: int | None = None
    words: str = ""
    scoring: Any = None
    device: Any = None


@dataclass(frozen=True, kw_only=True)
class MyTask(WordProblems):
    scoring: Any = None
    batch_size: Any = None


@dataclass(frozen=True, kw_only=True)
class Drawn(Generation):
    further: Any = None


def made(one, two=None, **further):
    return None
"""


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield node["_target_"]
        for child in node.values():
            yield from targets(child)


OURS = sorted(
    {
        target
        for group in ("method", "task", "generation", "model")
        for file in (composition.DIRECTORY / group).glob("*.yaml")
        for target in targets(yaml.safe_load(file.read_text()))
    }
)
THEIRS = ["stranger.Mine", "stranger.MyTask", "stranger.Drawn", "stranger.made"]


@pytest.fixture(autouse=True)
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "stranger.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    sys.modules.pop("stranger", None)


def alike(one: Any, other: Any, *, typed: bool) -> bool:
    """Whether two values are one setting, written out: the oracle.

    Args:
        one: a plain value.
        other: another.
        typed: whether numbers count by their value, and mappings in any order.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [[(type(k), k) for k in held] for held in (one, other)]
        if typed:
            keys = [sorted(own, key=str) for own in keys]
        return keys[0] == keys[1] and all(alike(one[k], other[k], typed=typed) for _, k in keys[0])
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(alike(a, b, typed=typed) for a, b in pairs)
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (one, other))
    if not typed or not numbers:
        return type(one) is type(other) and repr(one) == repr(other)
    return one == other or (one != one and other != other)


def fields(target: str) -> list[tuple[str, Any]]:
    parameters = Signature(get_object(target)).parameters.values()
    named = [(p.name, p.annotation) for p in parameters if p.kind is not p.VAR_KEYWORD]
    return [*named, ("unheard_of", Any)] if len(named) < len(parameters) else named


def known(target: str, field: str, value: Any) -> str:
    return digest({"method": {"_target_": target, field: value}}, users=True)


def colliding(target: str, field: str, hint: Any) -> list[tuple[Any, Any]]:
    ours = target.startswith("trimtab.")
    values: Sequence[Any] = [*SCALARS, *HELD] if ours else [*SCALARS, *HELD, *ODD]
    values = [value for value in values if fits(value, hint)]
    of_number = not ours and hint in (float, int, int | None, float | None)
    found = [known(target, field, value) for value in values]
    wrong = []
    for (one, a), (other, b) in itertools.combinations(zip(values, found, strict=True), 2):
        same = alike(one, other, typed=ours or of_number)
        if of_number and one == other == 0:  # a sign that a user's code can see
            same = math.copysign(1, one) == math.copysign(1, other)
        if same != (a == b):
            wrong.append((one, other))
    return wrong


@pytest.mark.parametrize("target", [*OURS, *THEIRS])
def test_two_values_share_a_fingerprint_only_where_they_are_one_setting(target: str) -> None:
    kind = get_object(target)
    silent = kind.without_effect if target in OURS else vars(kind).get("without_effect", ())
    assert silent if target.endswith((".Generation", ".LanguageModel", ".DeRa")) else True
    for field, hint in fields(target):
        if field in silent:
            assert known(target, field, 1) == known(target, field, 2)
        else:
            assert not colliding(target, field, hint), (target, field)


def test_there_are_classes_to_look_at() -> None:
    names = {target.rpartition(".")[2] for target in OURS}
    assert {"Nudging", "DeRa", "AlignmentVectors", "QuestionAnswer", "LanguageModel"} <= names


def test_a_setting_that_came_later_counts_where_it_is_not_as_before(tmp_path: Path) -> None:
    class_ = "    since = {'anything': [1], 'words': ''}\n"
    (tmp_path / "stranger.py").write_text(
        STRANGER.replace("    anything: Any = None\n", f"    anything: Any = None\n{class_}")
    )
    before = digest({"method": {"_target_": "stranger.Mine"}}, users=True)
    assert known("stranger.Mine", "anything", [1]) == before
    assert known("stranger.Mine", "words", "") == before
    for value in ([True], [1.0], ["1"], [], None):
        assert known("stranger.Mine", "anything", value) != before


def test_vectors_add_up_to_the_same_in_whatever_order_they_are_named() -> None:
    base = LanguageModel(path="zoo:a-small-instruct", prompt="chat")
    paths = {name: f"zoo:{name}" for name in ("medicine", "law", "finance")}
    strengths = dict(zip(paths, (0.3, 0.7, -0.4), strict=True))
    one, other = (
        AlignmentVectors(base=base, vectors={n: paths[n] for n in names}, strengths=strengths)
        for names in (list(paths), list(reversed(paths)))
    )
    weights = (dict(method.moved.weights.named_parameters()) for method in (one, other))
    first, second = weights
    assert all(first[name].equal(second[name]) for name in first)

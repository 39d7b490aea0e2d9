"""Functions as rewards: how they are found, what they may return."""

import functools
import hashlib
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate

from trimtab.scorers import FunctionReward

LINES = [
    {"id": "a", "question": "1 + 1?", "completion": "It is 2.", "target": "2"},
    {"id": "b", "question": "Say hello.", "completion": "", "target": None},
]


def seen(completion: str, question: str, target: str | None) -> float:
    return len(completion) + 100 * len(question) + 10_000 * (target is None)


def values(reward: FunctionReward) -> list[tuple[str, dict[str, float]]]:
    return [(sample_id, dict(verdict.values)) for sample_id, verdict in reward.score(LINES)]


@pytest.fixture
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != ""])
    return tmp_path


def test_a_function_sees_answer_question_and_target() -> None:
    assert values(FunctionReward(function=seen)) == [
        ("a", {"reward": 8.0 + 600}),
        ("b", {"reward": 0.0 + 1000 + 10_000}),
    ]


def test_a_dotted_name_is_found_from_the_working_directory(working_directory: Path) -> None:
    folder = working_directory / "mine"
    folder.mkdir()
    (folder / "rewards.py").write_text(
        "def short(text, question, target):\n    return -len(text)\n"
    )
    reward = FunctionReward(function="mine.rewards.short", name="brevity")
    assert values(reward) == [("a", {"brevity": -8.0}), ("b", {"brevity": 0.0})]


def test_no_file_of_the_working_directory_hides_an_installed_module(
    working_directory: Path,
) -> None:
    assert "tabnanny" not in sys.modules  # of the standard library, and hardly ever imported
    (working_directory / "tabnanny.py").write_text("def mine(*given):\n    return 1.0\n")
    with pytest.raises(ValueError, match=r"tabnanny\.py: 'mine' is not known"):
        FunctionReward(function="tabnanny.mine")


def test_a_configuration_can_bind_settings() -> None:
    node = {
        "_target_": "trimtab.scorers.FunctionReward",
        "function": {"_target_": f"{__name__}.weighed", "_partial_": True, "weight": 3},
    }
    reward = instantiate(node, _convert_="all")
    assert values(reward)[0] == ("a", {"reward": 24.0})
    assert "'weight': 3" in reward.identity["keywords"]
    assert reward.identity != FunctionReward(function=functools.partial(weighed, weight=4)).identity


def weighed(completion: str, question: str, target: str | None, *, weight: float) -> float:
    return weight * len(completion)


def test_several_rewards_are_metrics_that_begin_with_the_name() -> None:
    reward = FunctionReward(
        function=lambda c, q, t: {"length": len(c), "has_target": t is not None}
    )
    assert values(reward) == [
        ("a", {"reward_length": 8.0, "reward_has_target": 1.0}),
        ("b", {"reward_length": 0.0, "reward_has_target": 0.0}),
    ]


@pytest.mark.parametrize("number", [0.5, np.float32(0.5), Fraction(1, 2)])
def test_every_kind_of_real_number_is_a_reward(number: object) -> None:
    ((_, found), _) = values(FunctionReward(function=lambda *given: number))
    assert found == {"reward": 0.5}
    assert type(found["reward"]) is float


@pytest.mark.parametrize(
    "returned",
    [None, "0.5", float("nan"), float("-inf"), [1.0], {"a": None}, {"a": float("nan")}, {1: 1.0}],
)
def test_anything_else_is_an_error_that_names_the_sample(returned: object) -> None:
    reward = FunctionReward(function=lambda c, q, target: 1.0 if target else returned)
    verdicts = reward.score(LINES)
    assert next(verdicts)[0] == "a"
    with pytest.raises(ValueError, match=r"returned .* for sample 'b'.*finite number"):
        next(verdicts)


def test_a_function_that_fails_names_the_sample_and_the_cause() -> None:
    reward = FunctionReward(function=lambda c, q, t: 1 / len(c))
    verdicts = reward.score(LINES)
    assert next(verdicts)[1].values == {"reward": 1 / 8}
    with pytest.raises(ValueError, match="failed on sample 'b': ZeroDivisionError") as caught:
        next(verdicts)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_identity_follows_the_code(working_directory: Path) -> None:
    file = working_directory / "changing_rewards.py"
    file.write_text("def f(*given):\n    return 1.0\n")
    identity = FunctionReward(function="changing_rewards.f").identity
    assert identity == {
        "function": "changing_rewards.f",
        "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    assert json.loads(json.dumps(identity)) == identity
    assert FunctionReward(function="builtins.max").identity["file_sha256"] is None


class Counting:
    """A reward that is an object."""

    def __call__(self, completion: str, question: str, target: str | None) -> float:
        return float(completion.count("2"))


def test_an_object_that_can_be_called_is_a_function() -> None:
    reward = FunctionReward(function=Counting())
    assert values(reward) == [("a", {"reward": 1.0}), ("b", {"reward": 0.0})]
    assert reward.identity["function"] == f"{__name__}.Counting"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("brevity", "accepted is module.name"),
        ("", "accepted is module.name"),
        ("my rewards.f", "accepted is module.name"),
        (
            "no_such_module.f",
            "no_such_module cannot be imported: ModuleNotFoundError.*working directory",
        ),
        ("broken_rewards.f", "broken_rewards cannot be imported: SyntaxError"),
        ("good_rewards.brevty", "Did you mean 'brevity'"),
        ("good_rewards.limit", "of type int"),
        (7, "of type int"),
    ],
)
def test_what_leads_to_no_function_is_refused_at_once(
    working_directory: Path, function: object, message: str
) -> None:
    (working_directory / "broken_rewards.py").write_text("def f(:\n")
    (working_directory / "good_rewards.py").write_text("limit = 5\ndef brevity(*g): return 1.0\n")
    with pytest.raises(ValueError, match=message):
        FunctionReward(function=function)

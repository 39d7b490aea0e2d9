"""The configuration of rewards: each option spells out its class, and builds it."""

import inspect
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate

from trimtab import zoo
from trimtab.config.composition import DIRECTORY
from trimtab.scorers import FunctionReward, RewardModel, Scorer

FILES = [DIRECTORY / "scorer" / f"{name}.yaml" for name in ("function_reward", "reward_model")]
NEEDED = {
    RewardModel: {"path": str(zoo.path("a-small-chat"))},  # described alone, never loaded
    FunctionReward: {"function": f"{__name__}.always_one"},
}


def always_one(completion: str, question: str, target: str | None) -> float:
    return 1.0


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_an_option_spells_out_every_parameter_with_its_default(file: Path) -> None:
    node = yaml.safe_load(file.read_text())
    kind = get_class(node["_target_"])
    needed = NEEDED[kind]
    parameters = inspect.signature(kind).parameters
    given = {name: value for name, value in node.items() if name != "_target_"}
    assert given.keys() == parameters.keys()
    for name, value in given.items():
        assert value == ("???" if name in needed else parameters[name].default)
    scorer = instantiate(node | needed, _convert_="all")
    assert isinstance(scorer, kind) and isinstance(scorer, Scorer)
    assert scorer.name == "reward"


def test_every_option_composes() -> None:
    with initialize_config_dir(str(DIRECTORY), version_base="1.3"):
        assert compose("config").scorers == {}
        settings = ["scorers.reward_model.path=some/model", "scorers.function_reward.function=a.b"]
        scorers = compose("config", ["scorers=[reward_model,function_reward]", *settings]).scorers
    assert (scorers.reward_model.path, scorers.function_reward.function) == ("some/model", "a.b")

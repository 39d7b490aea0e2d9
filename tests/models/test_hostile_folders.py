"""Every door that loads a model, before folders that are hostile or damaged."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.models import hostile_folders as hostile

from trimtab import Conversation, LanguageModel
from trimtab.lm_eval.arguments import read_arguments
from trimtab.scorers.reward_model import RewardModel
from trimtab.vectors import extract

Damage = Callable[[Path], None]

# What is done to a folder, and what is said of it.
REFUSED: dict[Damage, str] = {
    hostile.code_in_config: r"trust_remote_code=true",
    hostile.code_in_tokenizer: r"trust_remote_code=true",
    hostile.kernel_in_config: r"code of 'someone/kernel'.*trust_remote_code=true",
    hostile.pickled_weights: r"stored as pickles \(pytorch_model\.bin\).*allow_pickle=true",
    hostile.pipe_as_config: r"config\.json' is no regular file",
    hostile.pipe_as_weights: r"model\.safetensors' is no regular file",
    hostile.device_as_tokenizer: r"tokenizer\.json' is a link that leads out.*'/dev/zero'",
    hostile.link_out: r"special_tokens_map\.json' is a link that leads out",
    hostile.template_out: r"tools\.jinja' is a link that leads out",
    hostile.weights_elsewhere: r"names the weights '\.\./model\.safetensors'",
    hostile.index_of_nothing: r"has no weight_map",
    hostile.huge_json: r"tokenizer\.json' has 1,099,511,627,776 bytes",
    hostile.deep_json: r"config\.json' is nested too deeply",
    hostile.list_as_config: r"config\.json' holds no JSON object, but a list",
    hostile.list_as_tokenizer: r"tokenizer of .* cannot be loaded",
    hostile.list_as_tokenizer_config: r"tokenizer of .* cannot be loaded",
    hostile.torn_config: r"config\.json' is no whole JSON file",
    hostile.numbers_that_are_text: r"cannot be loaded",
    hostile.truncated_weights: r"cannot be loaded|cut off",
    hostile.fewer_layers: r"belong to its layers .* left out, such as model\.layers\.1\.",
    hostile.leftover_adapter: r"holds a whole model and an adapter",
    hostile.adapter_alone: r"holds an adapter .* and no model.*method=vectors",
}


@pytest.fixture(autouse=True)
def _nobody_waits_or_asks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that hangs, and answer yes to whoever asks."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("a door hung")

    monkeypatch.setattr("builtins.input", lambda *_: "y")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _run(folder: Path) -> None:
    model = LanguageModel(path=str(folder), prompt="chat")
    _ = model.identity
    model.encode(model.render(Conversation(question="Hello")))
    _ = model.weights


def _reward(folder: Path) -> None:
    reward = RewardModel(path=str(folder))
    _ = reward.identity
    list(reward.score([{"id": "1", "question": "Hello", "completion": "Hi"}]))


def _lm_eval(folder: Path) -> None:
    method, _ = read_arguments({"method": "base", "base": str(folder), "base_prompt": "chat"})
    method.complete(["Hello"])


def _extract(folder: Path, **options: Any) -> None:
    extract(base="zoo:a-small-sft", aligned=str(folder), out=folder.parent / "v", **options)
    assert hostile.SECRET not in _contents(folder.parent / "v")


def _extract_of_rank_2(folder: Path) -> None:
    extract(base=str(folder), aligned="zoo:a-small-sft", out=folder.parent / "r", rank=2)
    assert hostile.SECRET not in _contents(folder.parent / "r")


# Damage that does not concern vectors, which read weights and nothing of a tokenizer.
_OF_TOKENIZERS = {hostile.code_in_tokenizer, hostile.list_as_tokenizer_config}
_OF_ARCHITECTURES = {
    hostile.code_in_config,
    hostile.kernel_in_config,
    hostile.numbers_that_are_text,
}
UNCONCERNED: dict[Callable[[Path], None], set[Damage]] = {
    _extract: {*_OF_TOKENIZERS, *_OF_ARCHITECTURES, hostile.fewer_layers},
    _extract_of_rank_2: {*_OF_TOKENIZERS, hostile.fewer_layers},
}


def _contents(folder: Path) -> str:
    return "".join(file.read_text("utf-8", "replace") for file in folder.iterdir())


@pytest.mark.parametrize("damage", REFUSED, ids=lambda damage: damage.__name__)
def test_a_run_says_what_is_wrong_and_runs_nothing(damage: Damage, tmp_path: Path) -> None:
    folder = hostile.copied(tmp_path / "model")
    damage(folder)
    with pytest.raises(ValueError, match=f"(?s){REFUSED[damage]}") as error:
        _run(folder)
    assert str(tmp_path) in str(error.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("door", [_reward, _lm_eval, _extract, _extract_of_rank_2])
@pytest.mark.parametrize("damage", REFUSED, ids=lambda damage: damage.__name__)
def test_no_other_door_runs_or_reads_more(damage: Damage, door: Any, tmp_path: Path) -> None:
    """A folder of a causal model is no reward model, which is an error like the others."""
    folder = hostile.copied(tmp_path / "model")
    damage(folder)
    refused = None
    try:
        door(folder)
    except ValueError as error:
        refused = str(error)
    assert not (tmp_path / "ran").exists()
    assert (refused is None) == (damage in UNCONCERNED.get(door, ()))


def test_a_folder_with_its_own_generate_is_read_without_it(tmp_path: Path) -> None:
    folder = hostile.copied(tmp_path / "model")
    hostile.code_of_generate(folder)
    _run(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", [hostile.code_in_config, hostile.pickled_weights])
def test_what_is_asked_for_by_name_runs(damage: Damage, tmp_path: Path) -> None:
    """The trap is one: without this, a trap that cannot spring would show nothing."""
    folder = hostile.copied(tmp_path / "model")
    damage(folder)
    model = LanguageModel(
        path=str(folder), prompt="chat", trust_remote_code=True, allow_pickle=True
    )
    if damage is hostile.code_in_config:
        _ = model.config
        assert (tmp_path / "ran").exists()
    else:  # torch's own reader refuses what is no tensor, after all
        with pytest.raises(ValueError, match="cannot be loaded"):
            _ = model.weights

"""Models that predict by themselves: what is not honoured of them, or by them, is said."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trimtab import AlignmentVectors, Conversation, DeRa, Generation, LanguageModel, Method, Plain
from trimtab.config.user_files import behind
from trimtab.decoding import Prediction
from trimtab.methods import Mixture

Zoo = Callable[[str], LanguageModel]
ASKED = {"0": Conversation(question="Tell me about the farm.")}


@dataclass(frozen=True, kw_only=True)
class Scripted(LanguageModel):
    """Says the tokens of a file, one after another."""

    script: str = ""

    def predictor(self, role: str, name: str, generation: Any) -> Any:
        return Script(self, role, name)


class Script:
    size = 1

    def __init__(self, model: Scripted, role: str, name: str) -> None:
        self.name, self.models, self._role = name, {role: model}, role
        self._tokens = json.loads(Path(model.script).read_text()) if model.script else [50, 60]

    def predict(self, requests: Sequence[Any]) -> list[list[Prediction]]:
        return [[self._said(r.position)] * r.last for r in requests]

    def _said(self, position: int) -> Prediction:
        token = self._tokens[position % len(self._tokens)]
        return Prediction(token=token, top_token=token, top_probability=1.0)

    def forward_passes(self) -> dict[str, int]:
        return {self._role: 0}


@dataclass(frozen=True, kw_only=True)
class Twice(Mixture):
    """One model, and what is done to it."""

    model: LanguageModel
    weight: float = 1.0

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        return {"model": (self.model, self.weight)}


@dataclass(frozen=True, kw_only=True)
class Masked(Twice):
    """One model, some tokens of which are ruled out."""

    def combine(self, logits: Any, weights: Any) -> torch.Tensor:
        return logits["model"].masked_fill(torch.arange(logits["model"].shape[1]) < 90, -torch.inf)


@dataclass(frozen=True, kw_only=True)
class Pushed(Twice):
    """One model that is steered."""

    @property
    def steering(self) -> dict[str, Any]:
        return {"model": lambda: SimpleNamespace(names=["push"])}


def scripted(**settings: Any) -> Scripted:
    return Scripted(path="zoo:a-small-base", prompt="plain", **settings)


def test_a_model_that_predicts_by_itself_speaks_as_it_is() -> None:
    (found,) = Twice(model=scripted()).stream(ASKED, Generation(max_new_tokens=4))
    assert found.token_ids == (50, 60, 50, 60)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Twice, {"weight": 2.0}, "speaks as it is, without a weight of 2"),
        (Masked, {}, r"speaks as it is, without combine\(\)"),
        (Pushed, {}, "speaks as it is, without steering"),
    ],
)
def test_nothing_else_is_done_to_it(kind: type[Twice], settings: dict, message: str) -> None:
    with pytest.raises(
        ValueError, match=rf"model \(zoo:a-small-base\) predicts by itself.*{message}"
    ):
        list(kind(model=scripted(), **settings).stream(ASKED, Generation()))


def test_what_it_does_not_tell_is_not_made_up() -> None:
    method = Plain(model=scripted())
    with pytest.raises(ValueError, match="token_records=True: zoo:a-small-base predicts by itself"):
        list(method.stream(ASKED, Generation(token_records=True)))
    with pytest.raises(ValueError, match="without the probability of a given token"):
        list(method.weigh(ASKED, {"0": [" a cow", " a dog"]}))


@pytest.mark.parametrize(
    ("make", "on", "message"),
    [
        (
            lambda zoo: DeRa(reference=zoo("a-small-base"), aligned=scripted()),
            "reference",
            r"aligned \(zoo:a-small-base\) predicts by itself",
        ),
        (
            lambda zoo: AlignmentVectors(
                base=zoo("a-small-sft"),
                vectors={"medicine": "zoo:medicine"},
                per_row=True,
                measure_kl=True,
                draft=zoo("a-small-base"),
            ),
            "base",
            "moves a model, which a logits processor would pass by",
        ),
    ],
)
def test_a_logits_processor_passes_nobody_by(
    zoo: Zoo, make: Callable[[Zoo], Mixture], on: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(zoo).logits_processor(on)


@dataclass(frozen=True, kw_only=True)
class InPlace(DeRa):
    """Writes into what it is given."""

    def combine(self, logits: Any, weights: Any) -> torch.Tensor:
        mixed: torch.Tensor = logits["reference"]
        mixed *= weights["reference"]
        return mixed


@pytest.mark.parametrize("draft", [None, "prompt-lookup"])
def test_logits_that_others_read_are_not_changed(zoo: Zoo, draft: str | None) -> None:
    first = InPlace(
        reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), strength=0.3, draft=draft
    )
    methods: list[Method] = [first, first.at(0.6)]
    with pytest.raises(ValueError, match=r"InPlace.combine changes the logits that it is given"):
        list(first.stream_together(methods, [ASKED, ASKED], Generation(max_new_tokens=8)))


def test_files_that_it_is_made_of_count(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text("[50, 60]")
    files = behind(Plain(model=scripted(script=str(script))))
    assert files == {script, Path(__file__)}

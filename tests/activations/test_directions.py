"""Directions in files: what they are, by plain passes, and which model they fit."""

import json
from pathlib import Path

import pytest
import torch
from activations.steered_models import AWAY, TOWARD, last_states, steered_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from trimtab import ActivationAddition, Conversation, InferAligner, LanguageModel
from trimtab.activations import Directions, PromptSet, extract


def prompts(questions: list[str], name: str = "questions.txt") -> PromptSet:
    return PromptSet(name, questions)


def written(path: Path, model: LanguageModel, **settings: object) -> str:
    extract(model=model, toward=prompts(TOWARD), away=prompts(AWAY), out=path, **settings)
    return str(path)


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "mpt", "zoo"])
def test_a_direction_is_the_difference_of_mean_states_at_the_last_token(
    tmp_path: Path, kind: str, batch_size: int
) -> None:
    model = steered_model(kind)
    found = load_file(written(tmp_path / "d.safetensors", model, batch_size=batch_size))
    means = []
    for questions in (TOWARD, AWAY):
        texts = [model.render(Conversation(question=question)) for question in questions]
        states = [last_states(model, kind, model.encode(text)).double() for text in texts]
        means.append(torch.stack(states).mean(0))
    expected = means[0] - means[1]
    assert (found["directions"] - expected).norm() < 1e-5 * expected.norm()
    middle = (means[0] + means[1]) / 2
    assert (found["middle"] - middle).norm() < 1e-5 * middle.norm()


def test_a_file_says_where_it_comes_from(tmp_path: Path, zoo) -> None:
    model = zoo("a-small-mixed")
    read: list[tuple[int, int]] = []
    path = written(
        tmp_path / "d.safetensors",
        model,
        layers=[1],
        progress=lambda count, total: read.append((count, total)),
    )
    assert sum(count for count, _ in read) == 14 and {total for _, total in read} == {14}
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["trimtab"])
    assert facts["layers"] == [1] and load_file(path)["directions"].shape == (1, 64)
    assert facts["identity"] == model.identity and facts["name"] == "zoo:a-small-mixed"
    assert (facts["architecture"], facts["width"], facts["depth"]) == ("llama", 64, 2)
    assert facts["toward"]["prompts"] == facts["away"]["prompts"] == 7
    assert facts["toward"]["sha256"] != facts["away"]["sha256"]
    own = load_file(path)
    sides = []
    for questions, toward in ((TOWARD, True), (AWAY, False)):
        for question in questions:
            tokens = model.encode(model.render(Conversation(question=question)))
            state = last_states(model, "zoo", tokens)[1]
            along = float((state - own["middle"][0]) @ own["directions"][0])
            sides.append((along > 0) == toward)
    assert facts["right"] == [pytest.approx(sum(sides) / 14)]


def test_what_cannot_be_extracted_is_refused_before_weights_load(tmp_path: Path) -> None:
    model = LanguageModel(path="zoo:a-small-mixed", prompt="chat")
    asked = {"model": model, "toward": prompts(TOWARD), "away": prompts(AWAY)}
    there = tmp_path / "there.safetensors"
    there.touch()
    for settings, message in [
        ({"out": tmp_path / "d.bin"}, "accepted is the name of a .safetensors file"),
        ({"out": there}, "is there already"),
        ({"layers": [2]}, r"layers=\[2\]: accepted are some of the layers 0 to 1"),
        ({"layers": [0, 0]}, "each once"),
        ({"layers": []}, "each once"),
        ({"layers": 1}, "layers=1: accepted is a list"),
        ({"out": there / "d.safetensors"}, "nothing can be made in"),
        ({"model": LanguageModel(path="zoo:a-small-sft", prompt="chat", compile=True)}, "compile"),
        ({"layers": ["1"]}, "layers='1': accepted are whole numbers"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"away": prompts([], "none.txt")}, "none.txt holds no list of prompts"),
        ({"away": prompts(["a " * 3000])}, "Prompt 1 of questions.txt has .* tokens"),
    ]:
        with pytest.raises(ValueError, match=message):
            extract(**(asked | {"out": tmp_path / "d.safetensors"} | settings))
    assert "weights" not in model.__dict__
    with pytest.raises(ValueError, match="the mean hidden states of both are the same"):
        extract(**asked | {"out": tmp_path / "d.safetensors", "away": prompts(TOWARD[::-1])})
    assert [file.name for file in tmp_path.iterdir()] == ["there.safetensors"]


def test_a_model_whose_layers_are_not_clear_is_refused(tmp_path: Path) -> None:
    model = steered_model("llama", seed=7)
    model.weights.model.others = torch.nn.ModuleList([torch.nn.Linear(2, 2) for _ in range(3)])
    with pytest.raises(ValueError, match=r"\(llama\) has 2 lists of 3 modules"):
        written(tmp_path / "d.safetensors", model)


def test_layers_that_give_no_states_are_refused(tmp_path: Path) -> None:
    model = steered_model("llama", seed=8)
    for layer in model.weights.model.layers:  # two rows are one, longer than a pass knows
        layer.register_forward_hook(lambda _, given, out: out.flatten(0, 1)[None, None])
    with pytest.raises(ValueError, match=r"LlamaDecoderLayer gives \[1, 1, "):
        written(tmp_path / "d.safetensors", model)


@pytest.fixture(scope="module")
def path(tmp_path_factory, zoo) -> str:
    """Directions of a model of the zoo."""
    return written(tmp_path_factory.mktemp("directions") / "d.safetensors", zoo("a-small-mixed"))


def tampered(path: str, out: Path, **facts: object) -> str:
    with safe_open(path, framework="pt") as file:
        known = json.loads(file.metadata()["trimtab"])
    save_file(load_file(path), out, {"trimtab": json.dumps(known | facts)})
    return str(out)


def test_files_that_are_none_are_refused(tmp_path: Path, path: str, zoo) -> None:
    plain, odd, short = (tmp_path / f"{name}.safetensors" for name in ("plain", "odd", "short"))
    save_file({"x": torch.zeros(2)}, plain)
    tensors = load_file(path)
    tensors["directions"][0, 0] = float("nan")
    with safe_open(path, framework="pt") as file:
        save_file(tensors, odd, file.metadata())
    short.write_bytes(Path(path).read_bytes()[:-5])
    for given, message in [
        (tmp_path / "none.safetensors", "the file does not exist"),
        (tmp_path, "is no .safetensors file"),
        (plain, "holds no directions, or is damaged"),
        (odd, "'directions' has numbers that are not finite"),
        (short, "cut off"),
        (tampered(path, tmp_path / "a.safetensors", layers=[0]), "no tensor 'directions' of"),
        (tampered(path, tmp_path / "b.safetensors", width="64"), "width"),
    ]:
        with pytest.raises(ValueError, match=message):
            ActivationAddition(base=zoo("a-small-mixed"), directions=str(given))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": [2]}, r"Layer of .*: '2' is not known.*0, 1"),
        ({"layers": []}, "accepted is a list of layers"),
        ({"layers": 1}, "layers=1: accepted is a list of layers"),
        ({"layers": "01"}, "layers='01': accepted is a list of layers"),
        ({"layers": [1, 1]}, "each once"),
        ({"strength": float("nan")}, "strength=nan"),
        ({"strength": "1"}, "strength='1'"),
        ({"draft": "lookup"}, "draft='lookup'"),
    ],
)
def test_settings_without_meaning_are_refused(path: str, zoo, settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ActivationAddition(base=zoo("a-small-mixed"), directions=path, **settings)


def test_a_bias_is_a_number(path: str, zoo) -> None:
    with pytest.raises(ValueError, match="bias=inf"):
        InferAligner(base=zoo("a-small-mixed"), directions=path, own=path, bias=float("inf"))


def test_a_compiled_model_is_refused(path: str) -> None:
    model = LanguageModel(path="zoo:a-small-mixed", prompt="chat", compile=True)
    with pytest.raises(ValueError, match="compile=true of 'zoo:a-small-mixed'"):
        ActivationAddition(base=model, directions=path)


def test_directions_of_another_kind_of_model_are_refused_before_weights_load(
    tmp_path: Path, path: str
) -> None:
    """Of another width and depth, and of another family: both are named."""
    asked = {"0": Conversation(question="Why?")}
    model = LanguageModel(path="zoo:a-large-chat", prompt="chat")
    with pytest.raises(
        ValueError,
        match=r"'zoo:a-small-mixed' \(llama, 2 layers of width 64\).*"
        r"'zoo:a-large-chat' is another kind of model \(llama, 4 layers of width",
    ):
        ActivationAddition(base=model, directions=path).check(asked)
    other = tampered(path, tmp_path / "other.safetensors", architecture="qwen2")
    small = LanguageModel(path="zoo:a-small-mixed", prompt="chat")
    with pytest.raises(ValueError, match="qwen2, 2 layers"):
        ActivationAddition(base=small, directions=other).check(asked)
    with pytest.raises(ValueError, match="qwen2, 2 layers"):
        InferAligner(base=small, directions=path, own=other).check(asked)
    assert "weights" not in model.__dict__ | small.__dict__


def test_a_gate_by_directions_of_another_model_is_refused(path: str) -> None:
    """The aligned model's may be anyone's; those that decide are the model's own."""
    asked = {"0": Conversation(question="Why?")}
    other = LanguageModel(path="zoo:a-small-sft", prompt="chat")
    ActivationAddition(base=other, directions=path).check(asked)
    with pytest.raises(
        ValueError,
        match="extracted from 'zoo:a-small-mixed', and "
        "'zoo:a-small-sft' decides by it: they differ in content_sha256",
    ):
        InferAligner(base=other, directions=path, own=path).check(asked)
    plain = LanguageModel(path="zoo:a-small-mixed", prompt="plain")
    with pytest.raises(ValueError, match="they differ in chat_template_sha256, prompt"):
        InferAligner(base=plain, directions=path, own=path).check(asked)


def test_directions_are_part_of_what_a_run_is_known_by(tmp_path: Path, path: str, zoo) -> None:
    other = written(tmp_path / "d.safetensors", zoo("a-small-mixed"), layers=[0, 1], batch_size=1)
    methods = [
        InferAligner(base=zoo("a-small-mixed"), directions=directions, own=path)
        for directions in (path, other, tampered(path, tmp_path / "n.safetensors", dtype="other"))
    ]
    assert methods[0].identity != methods[2].identity
    said = methods[0].provenance()
    assert said["directions"] == said["own"]
    assert said["directions"]["name"] == "zoo:a-small-mixed"
    assert Directions.open(path).facts["toward"] == said["own"]["toward"]

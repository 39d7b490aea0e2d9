"""The experiment in which nudging is needed all along: its texts, its manners, its models."""

import importlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
import torch
from experiments.zoo import world
from experiments.zoo.train import IGNORED, Batch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

FOLDER = Path(__file__).parent.parent / "experiments" / "nudging-all-along"
FAMILY = Path(__file__).parent.parent / "src" / "trimtab" / "zoo" / "models"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import one of the experiment's modules, which lie outside of the package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in ("connectives", "models"):
        sys.modules.pop(name, None)


def problems(count: int) -> list[world.Problem]:
    rng = Random(5)
    return [world.word_problem(rng, world.TRAIN) for _ in range(count)]


def test_a_question_tells_its_kind(module) -> None:
    kind_of = module("connectives").kind_of
    drawn = problems(400)
    assert {problem.kind for problem in drawn} == set(world.KINDS)
    assert [kind_of(problem.question) for problem in drawn] == [p.kind for p in drawn]


QUESTION = "At the farm Leo has 4 jars with 21 apples each. He finds 7. How many apples is that?"


@pytest.mark.parametrize(
    ("answer", "manners"),
    [
        ("Boxes: Leo has 4 times 21 so 4 * 21 = 84. Boxes: He finds 7 so 84 + 7 = 91 in the end."
         " The answer is 91.", "kinds"),
        ("Times: Leo has 4 times 21 so 4 * 21 = 84. More: He finds 7 so 84 + 7 = 91 in the end."
         " The answer is 91.", "effects"),
        # Skill is another matter than manner.
        ("Boxes: Leo has 4 times 21 so 4 * 21 = 12. The answer is 12.", "kinds"),
        ("Times: Leo has 4 times 21 so 4 * 21 = 84. Less: He finds 7 so 84 + 7 = 91 in the end."
         " The answer is 91.", ""),
        ("Boxes: Leo has 4 times 21 so 4 * 21 = 84. More: He finds 7 so 84 + 7 = 91 in the end."
         " The answer is 91.", ""),
        ("Count: Leo has 4 times 21 so 4 * 21 = 84. Count: He finds 7 so 84 + 7 = 91 in the end."
         " The answer is 91.", ""),
        ("Boxes: Leo has 4 times 21 hence 4 * 21 = 84. The answer is 84.", ""),
        ("Boxes: Leo has 4 times 21 so 4 * 21 = 84. Boxes: He finds 7. The answer is 91.", ""),
        ("Boxes: Leo has 4 times 21 so 4 * 21 = 84. Answer: 91", ""),
        ("Boxes: Leo has 4 times 21 so 4 * 21 = 84.", ""),
        ("Boxes: Leo has 4 times 21 so 4 * 21 = 84. The answer is 84. Boxes:", ""),
        ("The answer is 91.", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_manner_holds_from_the_first_letter_to_the_last(module, answer, manners) -> None:
    told = module("connectives").manner(answer, QUESTION, None)
    assert told == {name: float(name == manners) for name in ("kinds", "effects")}


def test_what_the_models_are_tuned_on_is_in_their_manner_and_right(module) -> None:
    connectives = module("connectives")
    for problem in problems(150):
        for manner in ("kinds", "effects"):
            answer = connectives.aligned_answer(problem, manner)
            told = connectives.manner(answer, problem.question, None)
            assert told == {name: float(name == manner) for name in ("kinds", "effects")}
            assert re.findall(r"\d+", answer)[-1] == problem.answer
            for left, sign, right, result in re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", answer):
                assert eval(f"{left} {sign} {right}") == int(result)


def test_no_way_of_going_on_is_as_likely_as_breaking_off(module) -> None:
    """By the tokens that a model would have to choose among, at each place of doubt."""
    connectives = module("connectives")
    tokenizer = AutoTokenizer.from_pretrained(FAMILY / "a-large-base")
    rng, firsts = Random(3), {"": Counter(), " ": Counter(), "link": Counter()}
    for problem in problems(3000):
        text = connectives.walk(rng, problem)
        firsts[""][tokenizer.tokenize(text)[0]] += 1
        (opening, *_), *_ = connectives.sentences(problem)
        place = text.find(opening)
        if place < 0:
            continue  # broken off at once
        rest = text[place + len(opening) :]
        doubt = "link" if connectives.sentences(problem)[0][1] else " "
        firsts[doubt][tokenizer.tokenize(rest)[0]] += 1
    for place, likeliest in (("", "Answer"), (" ", "ĠA"), ("link", ".")):
        drawn = firsts[place]
        (first, most), (_, second) = drawn.most_common(2)
        assert first == likeliest
        assert most / drawn.total() == pytest.approx(connectives.BREAK_OFF, abs=0.04)
        assert second / drawn.total() < 0.75 * connectives.BREAK_OFF


def tiny_model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=12,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )


def test_a_models_own_choices_are_what_it_is_taught(module) -> None:
    before, model = tiny_model(0), tiny_model(1)
    tokens = torch.randint(12, (2, 7), generator=torch.Generator().manual_seed(0))
    labels = tokens.clone()
    labels[0, :4] = labels[1, :2] = labels[1, 6:] = IGNORED
    loss = module("models").OwnChoices(before=before)(model, Batch(tokens, labels))
    expected = []
    for row in range(2):
        for place in range(1, 7):
            if labels[row, place] != IGNORED:
                seen = tokens[row : row + 1, :place]
                choice = int(before(seen).logits[0, -1].argmax())
                expected.append(-model(seen).logits[0, -1].log_softmax(-1)[choice].item())
    assert len(expected) == 7
    assert loss.item() == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_each_model_starts_from_one_that_is_made_before_it(module) -> None:
    recipes, made = module("models").RECIPES, set(FAMILY.iterdir())
    names = {path.name for path in made}
    for name, recipe in recipes.items():
        assert not isinstance(recipe.start, str) or recipe.start in names
        names.add(name)
    seeds = [recipe.seed for recipe in recipes.values()]
    assert len(set(seeds)) == len(seeds)


def test_the_same_command_keeps_what_is_there(module, tmp_path) -> None:
    command = ["tiny-base-1", "tiny-chat-1", "--models", str(tmp_path), "--tokens", "3456"]
    module("models").main(command)
    files = [tmp_path / name / "model.safetensors" for name in ("tiny-base-1", "tiny-chat-1")]
    (tmp_path / "tiny-chat-1" / "recipe.json").unlink()  # as if it had been stopped
    before = [file.stat().st_mtime_ns for file in files]
    content = files[1].read_bytes()
    module("models").main(command)
    after = [file.stat().st_mtime_ns for file in files]
    assert after[0] == before[0]
    assert after[1] > before[1]
    assert files[1].read_bytes() == content  # its seed is its own

"""The experiment on real models: its rules, its rows, and its counts over traces."""

import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from trimtab import Generation, LanguageModel
from trimtab.tasks import SVAMP, Date

FOLDER = Path(__file__).parent.parent / "experiments" / "real-nudging"
ROWS = FOLDER / "questions"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Import one of the experiment's modules, which lie outside of the package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    loaded: list[str] = []

    def load(name: str) -> ModuleType:
        loaded.append(name)
        return importlib.import_module(name)

    yield load
    for name in loaded:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I\u2019m sorry, but as a language model I won\u2019t.", True),
        ("I cannot provide advice on illegal activities.", True),
        ("As an AI, I have no body to sew with.", True),
        ("It is not ethical to read other people's letters.", True),
        ("I am unable to assist you.", True),
        ("I do not condone theft.", True),
        ("Sure! First, find the car that you want.", False),
        ("I can't wait to tell you about it.", False),
        ("It is legal to keep a dollar that you found.", False),
        ("Whales are mammals. " * 30 + "I'm sorry for repeating myself.", False),
        ("", False),
    ],
)
def test_refusals_are_told(module, text: str, refused: bool) -> None:
    assert module("manner").refuses(text) == refused


@pytest.mark.parametrize(
    ("stop_reason", "words", "repetition", "whole"),
    [
        ("guide", 3, 0.1, 1.0),
        ("end", 40, 0.0, 1.0),
        ("length", 40, 0.0, 0.0),
        ("repetition", 40, 0.0, 0.0),
        ("guide", 2, 0.0, 0.0),
        ("guide", 40, 0.11, 0.0),
    ],
)
def test_an_answer_is_whole_that_ends_and_does_not_loop(
    module, stop_reason: str, words: int, repetition: float, whole: float
) -> None:
    measured = {"words": float(words), "repetition": repetition}
    line = {"id": "7", "completion": "Well.", "stop_reason": stop_reason, "measures": measured}
    ((sample, verdict),) = module("manner").Manner().score([line])
    assert (sample, verdict.values) == ("7", {"whole": whole, "refused": 0.0})


def test_the_rows_that_travel_are_asked_as_their_tasks_ask(module) -> None:
    harmless = module("instructions").Harmless(data_dir=str(ROWS / "just_eval.json"))
    assert len(harmless.samples()) == 40
    assert {row["dataset"] for row in harmless.dataset}.isdisjoint({"lima"})
    dates = Date(data_dir=str(ROWS / "date_understanding.json"))
    assert len(dates.samples()) == 32
    assert all(sample.target in sample.choices for sample in dates.samples())
    assert len(SVAMP(data_dir=str(ROWS / "SVAMP.json")).samples()) == 32


def test_the_guide_says_the_first_tokens_and_the_base_the_rest(module) -> None:
    base = LanguageModel(path="zoo:a-small-base", prompt="plain")
    guide = LanguageModel(path="zoo:b-small-chat", prompt="chat")
    method = module("first_words").FirstWords(base=base, guide=guide, first=3)
    (answer,) = method.complete(["Ana has 3 pens."], Generation(max_new_tokens=12))
    speakers = [speaker for speaker, _ in itertools.groupby(s.speaker for s in answer.trace)]
    assert speakers == ["guide", "base"]
    assert answer.tokens == {"base": 9, "guide": 3}


def test_who_says_a_word_is_who_says_its_first_letter(module) -> None:
    spans = [("To", "guide"), (" be", "base"), ("gin ", "guide"), ("\n\nag", "base"), ("ain", "g")]
    line = {"trace": [{"text": text, "speaker": speaker} for text, speaker in spans]}
    assert list(module("token_analysis").by_word(line)) == [True, False, False]


def test_the_order_of_two_kinds_is_counted_over_all_pairs(module) -> None:
    generator = np.random.default_rng(0)
    samples = [tuple(list(generator.integers(0, 9, n) / 8) for n in (5, 4)) for _ in range(6)]
    pairs = [(a, b) for first, _ in samples for a in first for _, second in samples for b in second]
    expected = sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)
    assert module("token_analysis").order(samples) == pytest.approx(expected)


def test_a_model_is_sure_where_its_own_pass_over_the_whole_answer_says_so(module) -> None:
    model = LanguageModel(path="zoo:a-large-base", prompt="plain")
    prompt, answer = "Ana has 12 pens. She buys 30.\n", "Ana has 12 pens now. She buys 30 more."
    as_said, otherwise = module("token_analysis").sureness(model, prompt, answer)
    expected: dict[bool, list[float]] = {True: [], False: []}
    for words in range(1, len(answer.split())):
        before = " ".join(answer.split()[:words])
        tokens = model.encode(prompt + before)
        if model.encode(prompt + answer)[: len(tokens)] != tokens:
            continue
        with torch.inference_mode():
            last = model.weights(torch.tensor([tokens])).logits[0, -1].softmax(-1)
        said = model.continuation(tokens, [int(last.argmax())])
        word = " " + answer.split()[words]
        expected[said != "" and word.startswith(said)].append(float(last.max()))
    assert len(as_said) + len(otherwise) >= 5
    assert as_said == pytest.approx(expected[True], abs=1e-4)
    assert otherwise == pytest.approx(expected[False], abs=1e-4)


def test_ranks_are_those_of_a_pass_over_each_beginning(module) -> None:
    models = {
        "base": LanguageModel(path="zoo:a-large-base", prompt="plain"),
        "aligned": LanguageModel(path="zoo:a-large-chat", prompt="chat"),
        "guide": LanguageModel(path="zoo:a-small-chat", prompt="chat"),
    }
    prompts = {"base": "Question: Ana has 12 pens.\n", "guide": "<|user|>Ana<|assistant|>"}
    answer = "Let's think step by step. Ana has 12."
    line = {"completion": answer, "stop_reason": "end"}
    places = module("token_ranks").read(models, prompts, line)
    said = [*models["base"].encode(answer), *models["aligned"].stop_tokens]
    assert len(places.top) == len(said)
    for i, token in enumerate(said):
        with torch.inference_mode():
            base, guide = (
                models[role]
                .weights(torch.tensor([[*models[role].encode(prompts[role]), *said[:i]]]))
                .logits[0, -1]
                for role in ("base", "guide")
            )
        order = base.argsort(descending=True).tolist()
        assert places.rank[i] == order.index(token) + 1
        assert places.top[i] == pytest.approx(base.softmax(-1).max().item(), abs=1e-5)
        assert places.guessed[i] == float(int(guide.argmax()) == token)
    cut = module("token_ranks").read(models, prompts, line | {"stop_reason": "length"})
    assert len(cut.rank) == len(said) - 1


def test_every_token_is_in_one_bin_and_counted_once(module) -> None:
    ranks = module("token_ranks")
    generator = np.random.default_rng(0)
    answers = [
        ranks.Places(
            top=np.append(generator.uniform(size=n), [0.0, 0.4, 1.0]),
            rank=generator.integers(1, 6, n + 3).astype(float),
            at=generator.uniform(size=n + 3),
        )
        for n in (40, 7)
    ]
    places = ranks.Places.of_all(answers)
    inside = np.stack([one for _, _, one in ranks.bins(places)])
    assert (inside.sum(axis=0) == 1).all()
    for low, high, one in ranks.bins(places):
        assert all(low <= top <= high for top in places.top[one])
    differing = sum(int(rank > 1) for answer in answers for rank in answer.rank)
    assert f"The two differ at {differing} of {len(places.top)} tokens" in ranks.table(places)

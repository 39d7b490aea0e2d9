"""The two real models of packages: greedy text is that of transformers itself."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from trimtab import Conversation, Generation, LanguageModel, Plain
from trimtab.models import packaged

pytestmark = [pytest.mark.real, pytest.mark.slow]

PROMPTS = {"gemma-3-270m": "plain", "smollm2-135m-instruct": "chat"}
TOKENS = 24
QUESTIONS = (
    "A baker has 24 rolls and sells 9 of them. How many rolls are left?",
    "A train covers 180 km in 3 hours. How fast is it on average?",
    "Ann is 12. Her brother is 3 years younger. How old is he?",
    "What is 1,024 divided by 16?",
    "There are 7 boxes with 8 pens each. How many pens are there?",
    "Which of these is a fruit: (A) carrot (B) apple (C) potato?",
    "Why does ice float on water?",
    "Name three things that I should take on a hike.",
    "Write one sentence about the sea.",
    "How do I boil an egg?",
    "What is the capital of Portugal?",
    "Is it safe to look at the sun?",
    "Translate into French: The boat is small.",
    "Explain to a child why the sky is blue.",
    "Give me a synonym of quick.",
    "Who wrote Hamlet?",
    "def add(a, b):\n    # complete this function\n",
    "Was heißt „Ruder“ auf Englisch? Größe: 3,5 m",
    "List the first five prime numbers.",
    "I feel tired today.  What can I do?\n\nPlease be brief.",
)


@functools.cache
def file_of(name: str) -> Path:
    try:
        return packaged.file(name)
    except ValueError as absent:
        assert "is not installed" in str(absent)
        pytest.skip(f"the package of {name} is not installed")


@functools.cache
def answers_of_transformers(name: str) -> list[str]:
    """Return what generate() answers, from what transformers makes of the file by itself."""
    file = file_of(name)
    peer = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    ).eval()
    words = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    return [_answer(peer, words, question, PROMPTS[name]) for question in QUESTIONS]


def _answer(peer: torch.nn.Module, words, question: str, prompt: str) -> str:
    if prompt == "chat":
        turns = [{"role": "user", "content": question}]
        text = words.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    else:
        text = f"{question}\n"
    given = words(text, return_tensors="pt", add_special_tokens=prompt == "plain")
    tokens = given.input_ids
    out = peer.generate(**given, do_sample=False, max_new_tokens=TOKENS)[0, tokens.shape[1] :]
    return words.decode(out, skip_special_tokens=True)


@pytest.mark.parametrize("way", ["file", "pip"])
@pytest.mark.parametrize("name", PROMPTS)
def test_greedy_text_is_that_of_transformers(name: str, way: str) -> None:
    path = str(file_of(name)) if way == "file" else f"pip:{name}"
    model = LanguageModel(path=path, prompt=PROMPTS[name])
    asked = [Conversation(question=question) for question in QUESTIONS]
    generation = Generation(max_new_tokens=TOKENS, batch_size=4)
    found = [answer.text for answer in Plain(model=model).complete(asked, generation)]
    assert found == answers_of_transformers(name)
    assert model.identity["content_sha256"] == packaged._MODELS[name].sha256


def test_a_real_model_answers() -> None:
    file_of("smollm2-135m-instruct")
    model = LanguageModel(path="pip:smollm2-135m-instruct", prompt="chat")
    (answer,) = Plain(model=model).complete(
        [Conversation(question="What is the capital of France?")], Generation(max_new_tokens=40)
    )
    assert "Paris" in answer.text

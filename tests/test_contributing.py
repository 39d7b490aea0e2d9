"""The examples of CONTRIBUTING.md, as they stand there, in a folder outside of the repository."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trimtab import Completion, Conversation, Generation, LanguageModel, Method, Nudging, Plain
from trimtab.results.finished import survey
from trimtab.runs import reader

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text("utf-8")
BLOCK = re.compile(r"^```(?:python|yaml)\n# (\S+\.(?:py|yaml))\n(.*?)^```$", re.M | re.S)
FILES = dict(BLOCK.findall(TEXT))
MODULES = [Path(name).stem for name in FILES if name.endswith(".py")]
GREEDY = Generation(max_new_tokens=16, batch_size=4)
SAMPLED = dataclasses.replace(GREEDY, temperature=0.9, seed=3)
ASKED = {
    str(i): Conversation(question=question, system="Answer in a few words.")
    for i, question in enumerate(["Tell me about the farm.", "Ana has 3 pens.", "Why is it late?"])
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples' files, laid out as their first lines say."""
    folder = tmp_path_factory.mktemp("stranger")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    follows = {str(i): 40 + (i + 1) % 200 for i in range(2000)}
    (folder / "table.json").write_text(json.dumps(follows))
    return folder


@pytest.fixture(scope="module")
def own(folder: Path) -> Iterator[SimpleNamespace]:
    """Their modules."""
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(folder))
        for name in MODULES:
            sys.modules.pop(name, None)


Zoo = Callable[[str], LanguageModel]
METHODS: dict[str, Callable[[Any, Zoo], Method]] = {
    "vetted": lambda own, zoo: own.vetted.Vetted(
        base=zoo("a-small-base"),
        experts={"chat": zoo("a-small-chat"), "sft": zoo("a-small-sft")},
    ),
    "context_aware": lambda own, zoo: own.context_aware.ContextAware(model=zoo("a-small-chat")),
    "first_words": lambda own, zoo: own.first_words.FirstWords(
        base=zoo("a-small-base"), guide=zoo("b-small-chat")
    ),
}
ROLES = {
    "vetted": {"base", "experts.chat", "experts.sft"},
    "context_aware": {"with", "without"},
    "first_words": {"base", "guide"},
}
VALUES = {"first_words": (0, 3, 8), "vetted": (1e-6, 0.1, 1.0)}
STRENGTHS = (0.0, 0.4, 1.5)


def logits(model: LanguageModel, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.weights(torch.tensor([tokens])).logits[0, -1, : model.vocabulary_size]


def greedily(
    prompts: Mapping[str, list[int]],
    said: Callable[[Mapping[str, list[int]]], torch.Tensor],
    ends: frozenset[int],
) -> list[int]:
    """One token after another, of what `said` makes of each model's whole sequence."""
    tokens: list[int] = []
    while len(tokens) < GREEDY.max_new_tokens:
        tokens.append(int(said({role: p + tokens for role, p in prompts.items()}).argmax()))
        if tokens[-1] in ends:
            break
    return tokens


def answers(method: Method, generation: Generation) -> dict[str, Completion]:
    return {answer.id: answer for answer in method.stream(ASKED, generation)}


def same(one: Completion, other: Completion) -> bool:
    """Whether two are one answer, whatever it took."""
    return (one.text, one.stop_reason, one.tokens) == (other.text, other.stop_reason, other.tokens)


def test_no_example_needs_a_private_name_or_more_than_forty_lines() -> None:
    assert len(MODULES) == 6
    for name, text in FILES.items():
        assert not re.search(r"(?<!self)\._[a-z]|import _[a-z]", text), name  # but one's own
        assert len(text.splitlines()) <= 40, name


@pytest.mark.parametrize("alpha", VALUES["vetted"])
def test_a_mask_of_two_models_is_what_its_equation_says(own, zoo: Zoo, alpha: float) -> None:
    method = dataclasses.replace(METHODS["vetted"](own, zoo), alpha=alpha)

    def said(sequences: Mapping[str, list[int]]) -> torch.Tensor:
        z = logits(method.base, sequences["base"])
        vouched = set()
        for name, model in method.experts.items():
            p = logits(model, sequences[f"experts.{name}"]).softmax(-1)
            vouched |= {int(token) for token in (p >= alpha * p.max()).nonzero()}
        return torch.tensor([own if t in vouched else -torch.inf for t, own in enumerate(z)])

    found = answers(method, GREEDY)
    ends = method.base.stop_tokens | method.experts["chat"].stop_tokens
    for i, prompt in method.prompts(ASKED).items():
        assert [*found[i].token_ids] == greedily(prompt.tokens, said, ends)


def test_the_mask_holds_in_draws(own, zoo: Zoo) -> None:
    method, hot = METHODS["vetted"](own, zoo), dataclasses.replace(SAMPLED, temperature=3.0)
    one = {"chat": zoo("a-small-chat")}
    only = dataclasses.replace(method, experts=one, alpha=1.0)
    greedy = answers(Plain(model=zoo("a-small-chat")), GREEDY)
    assert [found.text for found in answers(only, hot).values()] != [
        found.text for found in answers(method, hot).values()
    ]
    # Nothing is left but the expert's own choices, of whatever the base would say.
    for i, found in answers(only, hot).items():
        prompt = only.prompts(ASKED)[i].tokens["experts.chat"]
        expected = greedily(
            {"": prompt}, lambda s: logits(one["chat"], s[""]), one["chat"].stop_tokens
        )
        assert [*found.token_ids] == expected and found.text == greedy[i].text


@pytest.mark.parametrize("strength", STRENGTHS)
def test_one_model_with_two_prompts_says_what_its_equation_says(
    own, zoo: Zoo, strength: float
) -> None:
    method = dataclasses.replace(METHODS["context_aware"](own, zoo), strength=strength)

    def said(sequences: Mapping[str, list[int]]) -> torch.Tensor:
        z = {role: logits(method.model, tokens) for role, tokens in sequences.items()}
        return (1 + strength) * z["with"] - strength * z["without"]

    found, prompts = answers(method, GREEDY), method.prompts(ASKED)
    for i, conversation in ASKED.items():
        bare = method.model.render(Conversation(question=conversation.question))
        assert found[i].prompts == {"with": method.model.render(conversation), "without": bare}
        ends = method.model.stop_tokens
        assert [*found[i].token_ids] == greedily(prompts[i].tokens, said, ends)


@pytest.mark.parametrize("first", [0, 3, 8])
def test_the_guide_says_the_first_tokens_and_the_base_the_rest(own, zoo: Zoo, first: int) -> None:
    method = dataclasses.replace(METHODS["first_words"](own, zoo), first=first)
    base, guide = method.base, method.guide
    for i, answer in answers(method, GREEDY).items():
        text, left = "", GREEDY.max_new_tokens
        for model, most in ((guide, first), (base, left - first)):
            prompt = model.encode(model.render(ASKED[i]) + text)
            said = greedily({"": prompt}, lambda s, m=model: logits(m, s[""]), model.special_tokens)
            kept = [token for token in said[:most] if token not in model.special_tokens]
            text += model.continuation(prompt, kept)
            if len(kept) < most:
                break
        assert answer.text == text
        assert "".join(span.text for span in answer.trace) == text
        assert answer.tokens["guide"] <= first


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_values_of_the_dial_decode_together_as_each_alone(
    own, zoo: Zoo, name: str, generation: Generation
) -> None:
    method = METHODS[name](own, zoo)
    methods = [method.at(value) for value in VALUES.get(name, STRENGTHS)]
    asked = [ASKED] * len(methods)
    together = {(n, a.id): a for n, a in method.stream_together(methods, asked, generation)}
    for number, each in enumerate(methods):
        for i, alone in answers(each, generation).items():
            assert same(together[number, i], alone)
            assert together[number, i].work == alone.work


@pytest.mark.parametrize("name", METHODS)
def test_drafts_change_no_answer(own, zoo: Zoo, name: str) -> None:
    method = METHODS[name](own, zoo)
    plain = answers(method, dataclasses.replace(SAMPLED, draft_length=0))
    if name == "first_words":  # the guide drafts for the base
        drafted = [answers(method, SAMPLED)]
    else:
        sources = ("prompt-lookup", zoo("a-small-dpo"))
        drafted = [answers(dataclasses.replace(method, draft=s), SAMPLED) for s in sources]
    for found in drafted:
        assert all(same(found[i], plain[i]) for i in ASKED)


@pytest.mark.parametrize("name", METHODS)
def test_every_model_is_recorded(own, zoo: Zoo, name: str) -> None:
    method = METHODS[name](own, zoo)
    for answer in answers(method, GREEDY).values():
        assert answer.work.keys() == answer.prompts.keys() == method.models.keys() == ROLES[name]
        assert all(work.tokens > 0 for work in answer.work.values())
    held = {id(model) for model in method.models.values()}
    assert held <= {id(model) for model in method.all_models.values()}
    assert method.identity.keys() == method.provenance().keys() == method.all_models.keys()


def test_a_model_behind_a_table_says_what_the_table_says(
    own, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    model = own.table_model.TableModel(path="zoo:a-small-base", prompt="plain", table="table.json")
    follows = {int(k): v for k, v in json.loads((folder / "table.json").read_text()).items()}
    (answer,) = Plain(model=model).complete(["Why"], GREEDY)
    last = model.encode(model.render(Conversation(question="Why")))[-1]
    expected = []
    while len(expected) < GREEDY.max_new_tokens:
        last = follows[last]
        expected.append(last)
    assert [*answer.token_ids] == expected and not model.stop_tokens & {*expected}
    assert "weights" not in vars(model)
    guided = Nudging(base=LanguageModel(path="zoo:a-small-base", prompt="plain"), guide=model)
    (answer,) = guided.complete(["Why"], GREEDY)
    assert answer.text and answer.tokens["guide"] > 0 and answer.work["guide"].passes > 0
    with pytest.raises(ValueError, match="table has no draws"):
        Plain(model=model).complete(["Why"], SAMPLED)


def ran(folder: Path, *settings: str) -> str:
    command = [sys.executable, "-m", "trimtab", "run", "--config-dir", "my_conf", *settings]
    environment = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
def test_all_of_them_run_from_a_folder_and_resume(folder: Path) -> None:
    settings = ["task=capitals", "base=a-small-base", "guide=a-small-chat"]
    settings += ["generation.max_new_tokens=8", "tracker=none"]
    sweep = [*settings, f"method={','.join(METHODS)}"]
    ran(folder, "--multirun", *sweep)
    runs = {run.method: run for run in survey([folder / "results"]).runs}
    assert runs.keys() == METHODS.keys()
    whole = {}
    for name, run in runs.items():
        facts = reader.read_facts(run.folder)
        assert facts is not None and facts["content"]["code"].keys() >= {f"{name}.py"}
        assert all(model["content_sha256"] for model in facts["models"].values())
        whole[name] = reader.read_samples(run.folder)
        assert len(whole[name]) == 3
        # As if it had been stopped after the first answer.
        lines = (run.folder / "samples.jsonl").read_text().splitlines(keepends=True)
        (run.folder / "samples.jsonl").write_text(lines[0])
        (run.folder / "summary.json").unlink()
    ran(folder, "--multirun", *sweep)
    for name, run in runs.items():
        assert reader.read_samples(run.folder) == whole[name]
    settings = ["task=capitals", "method=base", "base=table", "scorers=shouting"]
    ran(folder, *settings, "tracker=none", "results=table")
    (run,) = survey([folder / "table"]).runs
    letters = "".join(filter(str.isalpha, "".join(line["completion"] for line in run.samples)))
    assert letters and 0 <= run.summary["metrics"]["shouting"]["value"] <= 1
    assert run.models == "a-small-base" and len(run.samples) == 3


@pytest.mark.process
def test_values_of_a_strangers_dial_are_decoded_together_by_the_command(folder: Path) -> None:
    ran(
        folder,
        *("--multirun", "method=context_aware", "method.strength=0,0.5,1", "task=capitals"),
        *("base=a-small-chat", "generation.max_new_tokens=4", "tracker=none", "results=sweep"),
    )
    runs = survey([folder / "sweep"]).runs
    assert {run.value for run in runs} == {0, 0.5, 1}
    assert [run.summary["cost"]["together"] for run in runs] == [3, 3, 3]

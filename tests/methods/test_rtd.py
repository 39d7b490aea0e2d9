"""Reference Trustable Decoding: against neighbours found one by one among states of transformers'.

The oracle reads whole sequences with plain transformers models, takes hidden states from their own
outputs, and counts votes in a dictionary.
"""

import dataclasses
import functools
import json
import math
import shutil
from collections import defaultdict
from pathlib import Path

import commands
import oracles
import pytest
import torch
from safetensors.torch import load_file, save_file
from short_prompts import PROMPTS

from trimtab import Conversation, Generation, LanguageModel, Plain
from trimtab.cli import datastore_command
from trimtab.cli.datastore_command import main
from trimtab.config.composition import ConfigError
from trimtab.datastore import nearest
from trimtab.datastore.building import Example, build
from trimtab.datastore.store_file import FILE, StoreFile
from trimtab.methods import RTD
from trimtab.tasks import Sample, WordProblems

GREEDY = Generation(max_new_tokens=12, batch_size=8)
SAMPLED = dataclasses.replace(GREEDY, temperature=0.9, top_p=0.95, seed=3)
ANSWERS = ["Let's think step by step.", " 12", "Answer: 3, as she says so. Answer: 3.", "No."]


def asked(count: int, split: str = "test") -> list[Conversation]:
    return [sample.conversation for sample in WordProblems(split=split).samples(count)]


@torch.inference_mode()
def states(model: LanguageModel, tokens: list[int]) -> torch.Tensor:
    """The last hidden state at each token, `[T, H]`, as transformers returns it."""
    out = model.weights(torch.tensor([tokens]), output_hidden_states=True, use_cache=False)
    return out.hidden_states[-1][0]


def examples(model: LanguageModel, count: int = 12) -> list[Example]:
    found = []
    for i, conversation in enumerate(asked(count, "validation")):
        answer = ANSWERS[i % len(ANSWERS)]
        found.append(Example(str(i), model.render(conversation), answer, ends=i % 3 != 2))
    return found


Stored = tuple[torch.Tensor, list[int]]


@functools.cache
def entries(model: LanguageModel, positions: str = "all") -> Stored:
    """What follows which state, example by example."""
    found = []
    for each in examples(model):
        prompt = model.encode(each.prompt)
        whole = model.encode(each.prompt + each.answer)
        whole += [model.tokenizer.eos_token_id] if each.ends else []
        last = len(prompt) + 1 if positions == "first" else len(whole)
        seen = states(model, whole[: last - 1] if last > 1 else whole)
        found += [(seen[place - 1], whole[place]) for place in range(len(prompt), last)]
    keys, tokens = zip(*found, strict=True)
    return torch.stack(keys).double(), [*tokens]


def voted(
    state: torch.Tensor,
    stored: Stored,
    *,
    neighbours: int,
    temperature: float,
    heads: int,
) -> dict[int, float]:
    """Each token's share of the votes: the released code's rule, in a loop."""
    shares: dict[int, float] = defaultdict(float)
    width = len(state) // heads
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        distances = (stored[0][:, part] - state[part]).square().sum(-1).tolist()
        near = sorted(zip(distances, stored[1], strict=True), key=lambda each: each[0])[:neighbours]
        weights = [math.exp(-heads * distance / temperature) for distance, _ in near]
        for weight, (_, token) in zip(weights, near, strict=True):
            shares[token] += weight / sum(weights) / heads
    return shares


@functools.cache
def reader(model: LanguageModel) -> oracles.Reader:
    return oracles.Reader(model)


def mixed_logits(
    model: LanguageModel, stored: Stored, tokens: list[int], strength: float, **settings: float
) -> torch.Tensor:
    p_V = (1 - strength) * reader(model).logits(tuple(tokens)).double().softmax(-1)
    for token, share in voted(states(model, tokens)[-1], stored, **settings).items():
        p_V[token] += strength * share
    return p_V.log()


def said(
    model: LanguageModel,
    stored: Stored,
    prompt: list[int],
    generation: Generation,
    sample_id: str,
    strength: float,
    **settings: float,
) -> list[int]:
    new: list[int] = []
    while len(new) < generation.max_new_tokens:
        logits_V = mixed_logits(model, stored, [*prompt, *new], strength, **settings)
        place = {"sample_id": sample_id, "role": "model", "position": len(new)}
        token = oracles.choose(logits_V, generation, **place)
        if token in model.stop_tokens:
            break
        new.append(token)
    return new


@pytest.fixture(scope="module")
def store(zoo, tmp_path_factory) -> str:
    model = zoo("a-small-base")
    out = tmp_path_factory.mktemp("stores") / "all"
    build(model, examples(model), out, source="by hand")
    return str(out)


@pytest.fixture(scope="module")
def first_tokens(zoo, tmp_path_factory) -> str:
    model = zoo("a-small-base")
    out = tmp_path_factory.mktemp("stores") / "first"
    build(model, examples(model), out, source="by hand", positions="first")
    return str(out)


def test_a_store_has_the_models_states_and_what_followed(zoo, store, first_tokens) -> None:
    model = zoo("a-small-base")
    for folder, positions in ((store, "all"), (first_tokens, "first")):
        held, (keys_SH, tokens) = load_file(Path(folder, FILE)), entries(model, positions)
        assert held["values"].tolist() == tokens
        torch.testing.assert_close(held["keys"], keys_SH.float(), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("heads", [1, 3])
def test_neighbours_are_the_nearest_of_all_blocks(heads: int, monkeypatch) -> None:
    monkeypatch.setattr(nearest, "_BLOCK", 7)
    given = torch.Generator().manual_seed(heads)
    keys_SH, states_NH = torch.randn(40, 12, generator=given), torch.randn(5, 12, generator=given)
    parts = nearest.parts_of(keys_SH, heads)
    for head, part in enumerate(parts):
        own = slice(head * 12 // heads, (head + 1) * 12 // heads)
        far_NS = torch.cdist(states_NH[:, own].double(), keys_SH[:, own].double())
        for count in (1, 4, 100):
            found_NK = nearest.nearest(states_NH[:, own], part, count)
            assert torch.equal(found_NK, far_NS.argsort(dim=1)[:, :count])


def test_what_all_states_have_in_common_hides_no_neighbour() -> None:
    """A few numbers of a model's states are often hundreds of times as large as the others."""
    given = torch.Generator().manual_seed(0)
    common_H = torch.zeros(32)
    common_H[3] = 3000.0
    keys_SH, states_NH = (common_H + torch.randn(n, 32, generator=given) for n in (500, 6))
    (part,) = nearest.parts_of(keys_SH, 1)
    far_NS = (states_NH[:, None].double() - keys_SH.double()).square().sum(-1)
    assert torch.equal(nearest.nearest(states_NH, part, 4), far_NS.topk(4, largest=False).indices)


MIXED = {
    "few neighbours": {"strength": 0.6, "neighbours": 3, "temperature": 30.0, "heads": 1},
    "of all, in parts": {"strength": 0.8, "neighbours": 1000, "temperature": 60.0, "heads": 4},
    "votes alone": {"strength": 1.0, "neighbours": 8, "temperature": 1000.0, "heads": 2},
}


@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("settings", MIXED.values(), ids=MIXED)
def test_it_says_what_the_equation_says_whatever_the_batch(
    zoo, store, settings, generation: Generation
) -> None:
    model, questions = zoo("a-small-base"), asked(6)
    stored, prompts = entries(model), [model.encode(model.render(c)) for c in questions]
    expected = [
        model.continuation(prompt, said(model, stored, prompt, generation, str(i), **settings))
        for i, prompt in enumerate(prompts)
    ]
    alone = Plain(model=model).complete(questions, generation)
    assert [answer.text for answer in alone] != expected, "a store that has a say"
    for rows, draft in ((1, None), (8, None), (8, "prompt-lookup"), (3, zoo("a-small-base"))):
        method = RTD(model=model, store=store, draft=draft, **settings)
        answers = method.complete(questions, dataclasses.replace(generation, batch_size=rows))
        assert [answer.text for answer in answers] == expected


@pytest.mark.slow
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_so_it_does_on_many_prompts(zoo, store, generation: Generation) -> None:
    model, questions = zoo("a-small-base"), [*PROMPTS.values()]
    brief = dataclasses.replace(generation, max_new_tokens=4, draft_length=3)
    settings, stored, expected = MIXED["of all, in parts"], entries(model), []
    for i, conversation in enumerate(questions):
        prompt = model.encode(model.render(conversation))
        new = said(model, stored, prompt, brief, str(i), **settings)
        expected.append(model.continuation(prompt, new))
    for rows, draft, count in ((8, None, 30), (8, "prompt-lookup", 30), (1, None, 4)):
        method = RTD(model=model, store=store, draft=draft, **settings)
        answers = method.complete(questions[:count], dataclasses.replace(brief, batch_size=rows))
        assert [answer.text for answer in answers] == expected[:count]


def test_at_0_it_is_the_model_and_a_sweep_says_what_each_says_alone(zoo, store) -> None:
    model, questions = zoo("a-small-base"), dict(enumerate(asked(5)))
    questions = {str(i): conversation for i, conversation in questions.items()}
    shares = (0.0, 1.0, 0.3)
    methods = [RTD(model=model, store=store, temperature=30, strength=s) for s in shares]
    alone = [{c.id: c for c in method.stream(questions, SAMPLED)} for method in methods]
    together: list[dict] = [{} for _ in shares]
    for number, answer in methods[0].stream_together(methods, [questions] * 3, SAMPLED):
        together[number][answer.id] = answer
    assert together == alone
    plain = {c.id: c for c in Plain(model=model).stream(questions, SAMPLED)}
    assert [c.text for c in alone[0].values()] == [plain[i].text for i in alone[0]]
    for answer in alone[1].values():
        # Of itself it runs no model, and the model's passes are no more than its own.
        assert answer.work["store"].passes == answer.work["store"].tokens == 0
        assert answer.work["model"].passes == len(answer.token_ids)
        assert answer.measures["kl"] > 0
    assert methods[1].forward_passes["store"] == 0


def test_it_weighs_texts_as_the_equation_does(zoo, store, first_tokens) -> None:
    model, questions = zoo("a-small-base"), asked(3)
    settings = {"neighbours": 5, "temperature": 40.0, "heads": 2}
    texts = [" 12 pens", "Let's see."]
    named = {str(i): conversation for i, conversation in enumerate(questions)}
    for folder, positions in ((store, "all"), (first_tokens, "first")):
        stored, method = entries(model, positions), RTD(model=model, store=folder, **settings)
        for i, found in method.weigh(named, dict.fromkeys(named, texts)):
            prompt = model.encode(model.render(named[i]))
            for text, likelihood in zip(texts, found, strict=True):
                whole, expected = model.encode(model.render(named[i]) + text), 0.0
                for place in range(len(prompt), len(whole)):
                    behind = positions == "first" and place > len(prompt)
                    share = 0.0 if behind else 0.5
                    logits_V = mixed_logits(model, stored, whole[:place], share, **settings)
                    expected += float(logits_V[whole[place]])
                assert likelihood.log_probability == pytest.approx(expected, abs=2e-3)


def test_first_tokens_decide_the_first_token_alone(zoo, first_tokens) -> None:
    """As released for options: the most voted label, and then what the model says."""
    model, questions = zoo("a-small-base"), asked(5)
    stored = entries(model, "first")
    votes = {"neighbours": 32, "temperature": 1000.0, "heads": 1}
    answers = RTD(model=model, store=first_tokens, strength=1.0).complete(questions, GREEDY)
    for conversation, answer in zip(questions, answers, strict=True):
        prompt = model.encode(model.render(conversation))
        shares = voted(states(model, prompt)[-1], stored, **votes)
        first = max(shares, key=shares.__getitem__)
        assert answer.token_ids[0] == first
        rest = oracles.plain([(reader(model), 1.0, [*prompt, first])], GREEDY, "0")
        after = [token for token in answer.token_ids[1:] if token not in model.stop_tokens]
        assert after == rest[: GREEDY.max_new_tokens - 1]


def test_models_in_memory_have_stores_too(zoo, tmp_path) -> None:
    described = zoo("a-small-base")
    model = LanguageModel.of(described.weights, described.tokenizer, prompt="plain")
    build(model, examples(model), tmp_path / "store", source="by hand")
    answers = RTD(model=model, store=str(tmp_path / "store"), strength=0.7, temperature=30.0)
    there = answers.complete(asked(2), GREEDY)
    assert len(there) == 2 and there[0].work["model"].passes > 0


def altered(store: str, to: Path, **tensors: torch.Tensor) -> str:
    """A copy of a store with other tensors."""
    shutil.copytree(store, to)
    held = load_file(to / FILE)
    facts = StoreFile(store).facts
    save_file({**held, **tensors}, to / FILE, {"trimtab": json.dumps(facts)})
    return str(to)


def test_what_is_no_store_of_the_model_is_refused_before_weights_load(
    zoo, store, tmp_path, monkeypatch
) -> None:
    model = LanguageModel(path="zoo:a-small-base", prompt="plain")
    empty = altered(
        store, tmp_path / "empty", keys=torch.zeros(0, 64), values=torch.zeros(0).long()
    )
    uneven = altered(store, tmp_path / "uneven", values=torch.zeros(3).long())
    torn = altered(store, tmp_path / "torn")
    Path(torn, FILE).write_bytes(Path(store, FILE).read_bytes()[:-9])
    silent = tmp_path / "silent"
    silent.mkdir()
    save_file({"keys": torch.zeros(1, 64), "values": torch.zeros(1).long()}, silent / FILE)
    monkeypatch.setattr(LanguageModel, "weights", property(lambda self: pytest.fail("loaded")))
    for folder, why in (
        (None, "store=None: give the folder that `trimtab datastore"),
        ("nowhere", r"store='nowhere' holds no datastore.safetensors. Build one"),
        (empty, r"is empty: nothing follows anything"),
        (uneven, r"keys and values do not go together. Build it again"),
        (torn, r"it is cut off"),
        (str(silent), r"what it says of itself .* Build it again"),
    ):
        with pytest.raises(ValueError, match=why):
            RTD(model=model, store=folder)
    for settings, why in (
        ({"strength": 1.5}, r"strength=1.5: accepted are shares from 0 to 1"),
        ({"strength": math.nan}, r"strength=nan: accepted are shares"),
        ({"temperature": 0}, r"temperature=0: accepted are numbers above 0"),
        ({"neighbours": 0}, r"neighbours=0: accepted are whole numbers from 1 up"),
        ({"heads": 5}, r"heads=5: .* 64 numbers, which these do not divide"),
    ):
        with pytest.raises(ValueError, match=why):
            RTD(model=model, store=store, **settings)
    for other, why in (
        ({"path": "zoo:a-small-sft", "prompt": "plain"}, "content_sha256"),
        ({"path": "zoo:a-large-base", "prompt": "plain"}, "content_sha256, hidden_size"),
        ({"path": "zoo:a-small-base", "prompt": "plain", "dtype": "bfloat16"}, "dtype"),
        ({"path": "zoo:b-small-base", "prompt": "plain"}, "tokenizer_sha256"),
    ):
        method = RTD(model=LanguageModel(**other), store=store)
        with pytest.raises(ValueError, match=rf"is another in .*{why}.*: its states say nothing"):
            method.complete(["Hello"])


def test_a_token_of_prompt_and_answer_follows_what_is_before_it(zoo, tmp_path) -> None:
    model = zoo("a-small-base")
    prompt, answer = "The mar", "ket has 5"
    alone, whole = model.encode(prompt), model.encode(prompt + answer)
    before = next(i for i, token in enumerate(whole) if alone[i : i + 1] != [token])
    assert 0 < before < len(alone)
    split = Example("1", prompt, answer)
    store = build(model, [split], tmp_path / "all", source="nothing")
    end = model.tokenizer.eos_token_id
    assert store.values.load().tolist() == [*whole[before:], end]
    expected = states(model, whole)[before - 1 :]
    torch.testing.assert_close(store.keys.load(), expected, atol=2e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="Example '1': the first token of its answer holds"):
        build(model, [split], tmp_path / "first", source="nothing", positions="first")


def test_what_is_no_example_is_refused(zoo, store, tmp_path) -> None:
    model = zoo("a-small-base")
    with pytest.raises(ValueError, match="There are no examples in nothing"):
        build(model, [], tmp_path / "out", source="nothing")
    with pytest.raises(ValueError, match="Example 'x' has no answer"):
        build(model, [Example("x", "Why?", "")], tmp_path / "out", source="nothing")
    with pytest.raises(ValueError, match=r"Example 'x' has \d+ tokens .* which holds"):
        build(model, [Example("x", "Why?" * 3000, " So")], tmp_path / "out", source="nothing")
    with pytest.raises(ValueError, match="is there already"):
        build(model, [Example("x", "Why?", "So")], store, source="nothing")
    assert not (tmp_path / "out").exists()


def test_options_that_a_run_chose_follow_as_the_tasks_own_do(zoo, monkeypatch) -> None:
    asked = Conversation(question="Where?", answer_start="Answer:")
    samples = [Sample(id=i, conversation=asked, target="A") for i in ("0", "1")]
    lines = [
        {"id": "0", "completion": "at sea", "stop_reason": "choice"},
        {"id": "1", "completion": " at sea", "stop_reason": "length"},
    ]
    monkeypatch.setattr("trimtab.runs.reader.read_samples", lambda run: lines)
    model = zoo("a-small-base")
    read = datastore_command.examples(model, WordProblems(), samples, Path("a-run"))
    assert [(each.answer, each.ends) for each in read] == [(" at sea", True), (" at sea", False)]


def test_empty_answers_of_a_run_are_left_out(zoo, monkeypatch, capsys) -> None:
    task, model = WordProblems(split="validation"), zoo("a-small-base")
    samples = task.samples(4)
    texts = dict(zip((each.id for each in samples), ("12", "", "3", ""), strict=True))
    lines = [{"id": i, "completion": text, "stop_reason": "end"} for i, text in texts.items()]
    again = {"id": f"{samples[0].id}#2", "of": samples[0].id, "completion": "13"}
    monkeypatch.setattr("trimtab.runs.reader.read_samples", lambda run: [*lines, again])
    read = datastore_command.examples(model, task, samples, Path("a-run"))
    assert {each.id: each.answer for each in read} == {i: text for i, text in texts.items() if text}
    said = " ".join(capsys.readouterr().out.split())
    assert said == (
        "--answers a-run: of each sample its first draw is taken, not 1 further ones. "
        "--answers a-run: 2 of 4 answers are empty, and are left out, such as that to "
        f"{samples[1].id!r}."
    )


@pytest.mark.parametrize(
    "odd", ["method=nudging", "+method.threshold=1", "generation.seed=7", "guide=a-small-chat"]
)
def test_the_command_takes_no_setting_that_it_would_not_honour(tmp_path, odd: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError) as refused:
        main(["base=a-small-base", "task=word-problems", "limit=2", odd, "--out", str(out)])
    (mistake,) = refused.value.mistakes
    assert mistake.startswith(f"{odd}: it has no part in a datastore. Accepted are settings of")
    assert not out.exists()


def test_the_command_builds_what_a_run_looks_up(tmp_path) -> None:
    at = ["base=a-small-base", "task=word-problems"]
    built = commands.command(
        tmp_path, "datastore", *at, "task.split=validation", "limit=9", "--out", "store"
    )
    assert built.returncode == 0, built.stderr
    assert "9 examples of embedded word-problems, split validation" in built.stdout
    facts = StoreFile(str(tmp_path / "store")).facts
    assert facts["examples"]["samples"] == 9 and facts["positions"] == "all"
    done = commands.command(
        tmp_path,
        *("run", *at, "method=rtd", "method.store=store", "method.strength=1", "limit=4"),
        *("generation.max_new_tokens=8", "method.temperature=10"),
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("results/word-problems/rtd/*")
    lines = list(map(json.loads, (folder / "samples.jsonl").read_text().splitlines()))
    targets = {sample.target for sample in WordProblems(split="validation").samples(9)}
    numbers = {digit for target in targets for digit in target}
    assert all(set(line["completion"]) <= numbers for line in lines), "a vote for nothing else"
    models = json.loads((folder / "run.json").read_text())["models"]
    assert models["store"]["store_is"] == facts
    # Of a run's answers, whose samples are those that are asked about.
    again = commands.command(
        tmp_path, "datastore", *at, "limit=4", "--answers", str(folder), "--out", "second"
    )
    assert again.returncode == 0, again.stderr
    assert StoreFile(str(tmp_path / "second")).facts["examples"]["answers"] == str(folder)
    for wrong, why in (
        ((*at, "limit=5", "--answers", str(folder)), "1 of 5 samples of embedded word-problems"),
        (("base=a-small-base", "task=stories"), "has no answer of its own"),
        ((*at, "--positions", "first", "limit=0"), "limit=0: accepted are whole numbers"),
    ):
        refused = commands.command(tmp_path, "datastore", *wrong, "--out", "third")
        assert refused.returncode and why in refused.stderr, refused.stderr
    assert not (tmp_path / "third").exists()

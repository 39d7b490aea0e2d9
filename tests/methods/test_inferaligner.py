"""Moved hidden states: what plain hooks give, one token at a time, over whole sequences."""

import dataclasses
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from activations.steered_models import (
    ASKED,
    AWAY,
    TOWARD,
    answer,
    gates,
    moved_by_hooks,
    steered_model,
)
from safetensors.torch import load_file
from short_prompts import FEW, PROMPTS

from trimtab import (
    ActivationAddition,
    Completion,
    Generation,
    InferAligner,
    LanguageModel,
    Plain,
)
from trimtab.activations import Directions, PromptSet, extract
from trimtab.activations.shifts import GatedShifts
from trimtab.decoding import Speaker, Turns
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.methods import Method
from trimtab.methods.prompts import Prompts
from trimtab.models.gates import Row, read
from trimtab.models.session import Session
from trimtab.models.steering import Gate
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.runs.record_types import SampleRecord
from trimtab.tasks import Advice
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
KINDS = ["llama", "gpt2", "zoo"]
STRENGTH = 1.5
DRAWN = {
    "greedy": Generation(max_new_tokens=8),
    "sampled": Generation(max_new_tokens=8, temperature=0.8, top_p=0.9, seed=3),
}


@pytest.fixture(scope="module")
def directions(tmp_path_factory):
    """Directions of a model, extracted once each."""
    folder = tmp_path_factory.mktemp("directions")

    @functools.cache
    def of(kind: str, seed: int) -> str:
        sets = [
            PromptSet(name, questions) for name, questions in (("toward", TOWARD), ("away", AWAY))
        ]
        out = folder / f"{kind}-{seed}.safetensors"
        extract(model=steered_model(kind, seed), toward=sets[0], away=sets[1], out=out)
        return str(out)

    return of


def method(directions, kind: str, gated: bool, **settings) -> Method:
    """A model steered by another of its shape, gated by its own states."""
    settings = {"strength": STRENGTH, "directions": directions(kind, 1)} | settings
    if not gated:
        return ActivationAddition(base=steered_model(kind), **settings)
    return InferAligner(base=steered_model(kind), own=directions(kind, 0), **settings)


@functools.cache
def _expected(path: str, own: str, kind: str, gated: bool, drawn: str) -> dict[str, tuple]:
    model, theta = steered_model(kind), load_file(path)["directions"]
    found = {}
    for sample_id, conversation in ASKED.items():
        tokens = model.encode(model.render(conversation))
        layers = range(len(theta))
        opened = gates(model, kind, tokens, own, 0.0) if gated else [True for _ in layers]
        shifts = {layer: STRENGTH * theta[layer] for layer in layers if opened[layer]}
        said = answer(model, kind, tokens, shifts, DRAWN[drawn], sample_id)
        found[sample_id] = said, sum(opened) / len(opened)
    return found


def completions(method: Method, generation: Generation) -> dict[str, Completion]:
    return {done.id: done for done in method.stream(ASKED, generation)}


def said(method: Method, generation: Generation) -> dict[str, list[int]]:
    return {i: list(done.token_ids) for i, done in completions(method, generation).items()}


@pytest.mark.parametrize("drawn", DRAWN)
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "always"])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_plain_hooks(directions, kind: str, gated: bool, drawn: str) -> None:
    """In any batch, with drafts and without."""
    expected = _expected(directions(kind, 1), directions(kind, 0), kind, gated, drawn)
    generation = DRAWN[drawn]
    itself = steered_model(kind)
    for batch_size, draft in ((1, None), (8, None), (1, itself), (8, "prompt-lookup")):
        steered = method(directions, kind, gated, draft=draft)
        asked = dataclasses.replace(generation, batch_size=batch_size, draft_length=3)
        found = completions(steered, asked)
        assert {i: list(c.token_ids) for i, c in found.items()} == {
            i: tokens for i, (tokens, _) in expected.items()
        }
        if gated:
            shares = {i: c.measures["gate"] for i, c in found.items()}
            assert shares == {i: share for i, (_, share) in expected.items()}
        if draft is None:  # a prompt that lets something through is read twice
            for i, done in found.items():
                twice = gated and expected[i][1] > 0
                prompt = len(steered.base.encode(done.prompts["base"]))
                assert done.work["base"].passes == len(done.token_ids) + twice
                assert done.work["base"].tokens == (
                    prompt + len(done.token_ids) - 1 + twice * prompt
                )
    plain = said(Plain(model=steered_model(kind)), generation)
    differ = {i for i, (tokens, _) in expected.items() if tokens != plain[i]}
    assert differ and differ <= {i for i, (_, share) in expected.items() if share}
    if gated:  # some prompts let it through, others do not
        assert {share > 0 for _, share in expected.values()} == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("drawn", DRAWN)
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "always"])
def test_so_they_are_on_many_prompts(directions, gated: bool, drawn: str) -> None:
    steered, model = method(directions, "zoo", gated), steered_model("zoo")
    theta = load_file(directions("zoo", 1))["directions"]
    brief = dataclasses.replace(DRAWN[drawn], max_new_tokens=4, draft_length=3, batch_size=8)
    told, shares = {}, []
    for i, conversation in PROMPTS.items():
        tokens = model.encode(model.render(conversation))
        own = gates(model, "zoo", tokens, directions("zoo", 0), 0.0)
        opened = own if gated else [True] * len(theta)
        shifts = {layer: STRENGTH * t for layer, t in enumerate(theta) if opened[layer]}
        told[i] = answer(model, "zoo", tokens, shifts, brief, i)
        shares.append(sum(opened))
    assert len(set(shares)) > 1 or not gated
    for draft, size, asked in ((None, 8, PROMPTS), ("prompt-lookup", 8, PROMPTS), (None, 1, FEW)):
        own = dataclasses.replace(steered, draft=draft)
        found = own.stream(asked, dataclasses.replace(brief, batch_size=size))
        assert {a.id: [*a.token_ids] for a in found} == {i: told[i] for i in asked}


@pytest.mark.parametrize("draft", [None, "prompt-lookup"])
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "always"])
@pytest.mark.parametrize("kind", ["gpt2", "zoo"])
def test_a_sweep_in_one_batch_answers_as_each_strength_alone(
    directions, kind: str, gated: bool, draft: str | None
) -> None:
    methods = [
        method(directions, kind, gated, strength=strength, draft=draft)
        for strength in (0.0, 1.5, -1.0, 0, 1.5)
    ]
    generation = Generation(max_new_tokens=8, temperature=0.7, batch_size=4)
    assert all(methods[0].goes_with(other) for other in methods)
    found: list[dict[str, Completion]] = [{} for _ in methods]
    for number, done in methods[0].stream_together(methods, [ASKED] * len(methods), generation):
        found[number][done.id] = done
    assert found == [completions(each, generation) for each in methods]
    assert found[0] == found[3] != found[1] == found[4] != found[2] != found[0]


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "always"])
def test_strength_0_is_the_plain_model_bit_for_bit(directions, gated: bool) -> None:
    continuations = {i: [" a boat", " It is late. I do not know."] for i in ASKED}
    model, settings = steered_model("llama"), Generation(batch_size=8)
    plain = dict(Plain(model=model).weigh(ASKED, continuations, settings))
    still = method(directions, "llama", gated, strength=0.0)
    assert dict(still.weigh(ASKED, continuations, settings)) == plain
    moved = method(directions, "llama", gated)
    assert dict(moved.weigh(ASKED, continuations, settings)) != plain


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "always"])
@pytest.mark.parametrize("kind", [*KINDS, "mpt"])
def test_likelihoods_are_those_of_plain_hooks(directions, kind: str, gated: bool) -> None:
    model, text = steered_model(kind), " It is a boat."
    theta = load_file(directions(kind, 1))["directions"]
    steered = method(directions, kind, gated)
    for sample_id, (found,) in steered.weigh(ASKED, {i: [text] for i in ASKED}):
        prompt = model.render(ASKED[sample_id])
        tokens, whole = model.encode(prompt), model.encode(prompt + text)
        own = directions(kind, 0)
        opened = gates(model, kind, tokens, own, 0.0) if gated else [True] * len(theta)
        shifts = {layer: STRENGTH * t for layer, t in enumerate(theta) if opened[layer]}
        with moved_by_hooks(model, kind, shifts), torch.inference_mode():
            logits_TV = model.weights(torch.tensor([whole]), use_cache=False).logits[0]
        logs_TV = logits_TV[:, : model.vocabulary_size].log_softmax(-1)
        expected = sum(
            float(logs_TV[place - 1, whole[place]]) for place in range(len(tokens), len(whole))
        )
        assert found.log_probability == pytest.approx(expected, abs=1e-3)


@dataclass(frozen=True, kw_only=True)
class Joining(Method):
    """A guide opens; a model that is steered where its prompt asks for it goes on."""

    steered: InferAligner
    guide: LanguageModel

    def speakers(self) -> dict[str, Speaker]:
        base = Speaker({"base": (self.steered.base, 1.0)}, steering=self.steered.steering)
        return {"guide": Speaker.of(guide=self.guide), "base": base}

    def strengths_for(self, prompts: Prompts) -> tuple[float, ...]:
        return self.steered.strengths_for(prompts)

    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        turns = Turns(cursors, prompts.text, generation)
        ending = yield from turns.say("guide", most=3)
        if ending is None:
            ending = yield from turns.say("base")
        return turns.completion(ending)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_gate_goes_by_the_prompt_wherever_the_model_joins_in(directions, batch_size) -> None:
    model, theta = steered_model("zoo"), load_file(directions("zoo", 1))["directions"]
    joining = Joining(steered=method(directions, "zoo", True), guide=steered_model("zoo", 1))
    generation = Generation(max_new_tokens=12, batch_size=batch_size)
    shares = set()
    for done in joining.stream(ASKED, generation):
        opening, going_on = (
            "".join(span.text for span in done.trace if span.speaker == speaker)
            for speaker in ("guide", "base")
        )
        opened = gates(model, "zoo", model.encode(done.prompts["base"]), directions("zoo", 0), 0.0)
        shifts = {layer: STRENGTH * t for layer, t in enumerate(theta) if opened[layer]}
        start = model.encode(done.prompts["base"] + opening)
        said = model.tokenizer.decode(answer(model, "zoo", start, shifts, generation, done.id))
        assert said.startswith(going_on)
        shares |= {sum(opened)} if going_on else set()
    assert len(shares) > 1


def test_last_states_stay_beside_their_logits(directions) -> None:
    """Whether a prompt is read once or twice."""
    model, files = steered_model("llama"), [directions("llama", seed) for seed in (1, 0)]
    theta, own = map(Directions.open, files)
    shifts = GatedShifts(model, theta, [0, 1, 2], own=own, bias=0.0)
    session = Session(model, slots=len(ASKED), steering=shifts, reads_states=True)
    prompts = [model.encode(model.render(asked)) for asked in ASKED.values()]
    rows = [
        Row(slot, tokens, 1, strengths=(STRENGTH,) * 3, gate=Gate(tokens))
        for slot, tokens in enumerate(prompts)
    ]
    logits_NV = read(session, rows, range(len(rows)))
    assert {sum(row.gate.shares) > 0 for row in rows} == {True, False}
    expected_NV = model.weights.lm_head(session.states_NH)[:, : model.vocabulary_size]
    assert torch.allclose(logits_NV, expected_NV, atol=1e-4)


def test_generate_gives_the_same_tokens(directions) -> None:
    steered = method(directions, "zoo", True)
    prompts = [steered.base.encode(steered.base.render(asked)) for asked in ASKED.values()]
    padded = steered.base.tokenizer.pad(
        {"input_ids": prompts}, padding_side="left", return_tensors="pt"
    )
    given = {**padded, "max_new_tokens": 8, "custom_generate": steered}
    rows = steered.base.weights.generate(**given)[:, padded["input_ids"].shape[1] :].tolist()
    expected = said(steered, DRAWN["greedy"])
    for row, tokens in zip(rows, expected.values(), strict=True):
        assert row[: len(tokens)] == tokens


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "always"])
def test_divergence_is_that_from_the_model_as_it_is(directions, gated: bool) -> None:
    model, theta = steered_model("llama"), load_file(directions("llama", 1))["directions"]
    steered = method(directions, "llama", gated, measure_kl=True)
    for sample_id, done in completions(steered, DRAWN["sampled"]).items():
        prompt = model.encode(model.render(ASKED[sample_id]))
        own = directions("llama", 0)
        opened = gates(model, "llama", prompt, own, 0.0) if gated else [True] * len(theta)
        shifts = {layer: STRENGTH * t for layer, t in enumerate(theta) if opened[layer]}
        found = []
        for moves in (shifts, {}):
            with moved_by_hooks(model, "llama", moves), torch.inference_mode():
                logits_TV = model.weights(torch.tensor([[*prompt, *done.token_ids]])).logits[0]
            told_TV = logits_TV[len(prompt) - 1 : -1, : model.vocabulary_size].double()
            found.append(told_TV.log_softmax(-1))
        log_p, log_q = found
        expected = float((log_p.exp() * (log_p - log_q)).sum())
        assert done.measures["kl"] == pytest.approx(expected, abs=2e-4)
        assert (done.measures["kl"] > 1e-3) == any(opened)


def test_a_run_keeps_the_gate_and_resumes(directions, tmp_path: Path) -> None:
    steered = method(directions, "zoo", True)

    def run() -> list[SampleRecord]:
        evaluate(
            Job(
                task=Advice(),
                method=steered,
                generation=Generation(max_new_tokens=12, temperature=1.0, batch_size=4),
                limit=6,
                folder=tmp_path,
                config={"method": {"name": "inferaligner"}},
                start_tracker=lambda: NO_TRACKER,
            )
        )
        return reader.read_samples(tmp_path)

    whole = run()
    assert {line["measures"]["gate"] for line in whole} <= {0.0, 0.5, 1.0}
    models = json.loads((tmp_path / "run.json").read_text())["models"]
    assert models["directions"]["name"] == "zoo:a-small-sft"
    assert models["own"]["toward"]["prompts"] == len(TOWARD)
    metrics = json.loads((tmp_path / "summary.json").read_text())["metrics"]
    lines = (tmp_path / "samples.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "samples.jsonl").write_text("".join(lines[:2]))
    (tmp_path / "summary.json").unlink()
    assert sorted(run(), key=lambda line: line["id"]) == sorted(whole, key=lambda line: line["id"])
    assert json.loads((tmp_path / "summary.json").read_text())["metrics"] == metrics

"""Methods as models of lm-evaluation-harness, against its own `hf` model and plain passes."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM
from lm_eval.models.huggingface import HFLM

from trimtab import (
    AlignmentVectors,
    Conversation,
    DeRa,
    Generation,
    LanguageModel,
    Method,
    Nudging,
    Plain,
    zoo,
)
from trimtab.lm_eval import chat
from trimtab.lm_eval.arguments import read_arguments
from trimtab.lm_eval.harness_model import MethodLM
from trimtab.lm_eval.settings import cut, read_settings
from trimtab.methods import PAD
from trimtab.vectors import extract

Zoo = Callable[[str], LanguageModel]
DATA = Path(__file__).parent / "data"
ROWS = [json.loads(line) for line in (DATA / "problems.jsonl").read_text().splitlines()]
SYSTEM = "Answer the question by walking through the reasoning steps."
CHAT = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": f"Question: {ROWS[0]['question']}"},
]
FEW_SHOT = [
    {"role": "user", "content": "Question: 1 + 1?"},
    {"role": "assistant", "content": "The answer is 2."},
    {"role": "user", "content": "Question: 2 + 5?"},
]


def requests(kind: str, *arguments: tuple) -> list[Instance]:
    return [
        Instance(request_type=kind, doc={}, arguments=given, idx=0, metadata=("task", i, 1))
        for i, given in enumerate(arguments)
    ]


def hf(name: str) -> HFLM:
    """The harness's own model of an embedded model."""
    model = LanguageModel(path=f"zoo:{name}", prompt="plain")
    return HFLM(pretrained=model.weights, tokenizer=model.tokenizer, batch_size=4)


# ---------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def lm_eval(tmp_path_factory) -> Callable[..., tuple[dict, dict[str, list[dict]]]]:
    """The harness's command, offline, on the tasks beside; gives results and samples."""

    def command(*arguments: str) -> tuple[dict, dict[str, list[dict]]]:
        folder = tmp_path_factory.mktemp("results")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "trimtab.lm_eval", *arguments, "--include_path", "."),
                *("--output_path", str(folder), "--log_samples", "--batch_size", "8"),
            ],
            cwd=DATA,
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
            | {"HF_HOME": str(tmp_path_factory.getbasetemp() / "hf")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (results,) = folder.glob("*/results_*.json")
        samples = {}
        for file in folder.glob("*/samples_*.jsonl"):
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            task = re.fullmatch(r"samples_(\w+)_\d{4}-.*", file.name)[1]
            samples[task] = sorted(lines, key=lambda line: line["doc_id"])
        shown = {"folder": results.parent.name, "printed": done.stdout}
        return json.loads(results.read_text()) | shown, samples

    return command


def numbers(response: object) -> list[float]:
    """Log-probabilities of a sample as the harness writes them down, as text."""
    if isinstance(response, list):
        return [number for part in response for number in numbers(part)]
    return [] if response in ("True", "False") else [float(str(response))]


@pytest.mark.process
def test_plain_decoding_scores_as_the_harness_s_own_model(lm_eval) -> None:
    tasks = ["--tasks", "trimtab_problems,trimtab_choices,trimtab_texts"]
    name = "a-small-chat"
    ours, our_samples = lm_eval(
        "--model", "trimtab", "--model_args", f"method=base,base=zoo:{name}", *tasks
    )
    theirs, their_samples = lm_eval(
        "--model", "hf", "--model_args", f"pretrained={zoo.path(name)},dtype=float32", *tasks
    )
    for task in ("trimtab_problems", "trimtab_choices", "trimtab_texts"):
        pairs = list(zip(our_samples[task], their_samples[task], strict=True))
        assert len(pairs) == len(ROWS)
        for our, their in pairs:
            assert our["doc"] == their["doc"]
            assert our["arguments"] == their["arguments"]
            if task == "trimtab_problems":
                assert our["resps"] == their["resps"]
            else:
                assert numbers(our["resps"]) == pytest.approx(numbers(their["resps"]), abs=1e-4)
    exact = ("trimtab_problems", "trimtab_choices")
    assert all(ours["results"][t] == theirs["results"][t] for t in exact)
    for metric in ("word_perplexity,none", "bits_per_byte,none"):
        expected = theirs["results"]["trimtab_texts"][metric]
        assert ours["results"]["trimtab_texts"][metric] == pytest.approx(expected, rel=1e-5)


@pytest.mark.process
def test_the_command_evaluates_a_nudged_model(lm_eval, zoo: Zoo) -> None:
    results, samples = lm_eval(
        *("--model", "trimtab", "--tasks", "trimtab_problems", "--apply_chat_template"),
        *("--model_args", "method=nudging,base=zoo:a-large-base,guide=zoo:a-small-chat"),
    )
    nudging = Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"))
    asked = [
        Conversation(system=SYSTEM, question_prefix="Question: ", question=row["question"])
        for row in ROWS
    ]
    answers = nudging.complete(asked, Generation(max_new_tokens=200))
    lines = samples["trimtab_problems"]
    assert [line["resps"] for line in lines] == [[[cut(a.text, ("\n\n",))]] for a in answers]
    right = [
        re.findall(r"-?\d+", answer.text)[-1] == row["answer"]
        for answer, row in zip(answers, ROWS, strict=True)
    ]
    assert results["results"]["trimtab_problems"]["exact_match,last-number"] == sum(right) / 16
    assert sum(right) >= 12  # neither model alone answers two
    assert results["config"]["model_args"]["guide"] == "zoo:a-small-chat"
    recorded = results["config"]["trimtab"]["models"]
    assert recorded["guide"]["content_sha256"] == nudging.guide.provenance()["content_sha256"]
    assert (recorded["base"]["prompt"], recorded["guide"]["prompt"]) == ("plain", "chat")
    device = str(nudging.base.device_in_use)
    assert {results["config"]["device"], recorded["base"]["device"]} == {device}
    assert results["folder"] == results["model_name"] == "nudging__a-large-base__a-small-chat"
    (head,) = (line for line in results["printed"].splitlines() if "Stderr" in line)
    assert [cell.strip() for cell in head.split("|")[1:4]] == ["Tasks", "Version", "Filter"]


@pytest.mark.process
def test_the_command_evaluates_a_dera_model(lm_eval, zoo: Zoo) -> None:
    results, samples = lm_eval(
        *("--model", "trimtab", "--tasks", "trimtab_problems,trimtab_choices", "--limit", "6"),
        *("--model_args", "method=dera,base=zoo:a-large-base,guide=zoo:a-large-chat,strength=0.4"),
    )
    base, guide = zoo("a-large-base"), zoo("a-large-chat")
    right = 0
    for line, row in zip(samples["trimtab_choices"], ROWS[:6], strict=True):
        context = f"Question: {row['question']}\nThe answer is"
        expected = [
            float(mixed_log_probability(base, guide, 0.4, context, context, f" {choice}").sum())
            for choice in row["choices"]
        ]
        assert numbers(line["resps"]) == pytest.approx(expected, abs=1e-4)
        right += expected.index(max(expected)) == row["label"]
    assert results["results"]["trimtab_choices"]["acc,none"] == pytest.approx(right / 6)

    dera = DeRa(reference=base, aligned=guide, strength=0.4)
    processor = dera.logits_processor("reference")
    for line, row in zip(samples["trimtab_problems"], ROWS[:6], strict=True):
        inputs = base.tokenizer(f"{SYSTEM}Question: {row['question']}", return_tensors="pt")
        tokens = base.weights.generate(
            **inputs, logits_processor=[processor], max_new_tokens=200, do_sample=False
        )
        text = base.tokenizer.decode(tokens[0, inputs.input_ids.shape[1] :], True)
        assert line["resps"] == [[cut(text, ("\n\n",))]]
        found = re.findall(r"-?\d+", line["resps"][0][0])[-1:]
        assert line["exact_match"] == (found == [row["answer"]])
    scores = [line["exact_match"] for line in samples["trimtab_problems"]]
    metrics = results["results"]["trimtab_problems"]
    assert metrics["exact_match,last-number"] == pytest.approx(sum(scores) / 6)


@torch.inference_mode()
def mixed_log_probability(
    reference: LanguageModel,
    aligned: LanguageModel,
    strength: float,
    reference_context: str,
    aligned_context: str,
    continuation: str,
) -> torch.Tensor:
    """Log-probabilities of a continuation's tokens, by plain passes of transformers."""

    def encode(model: LanguageModel, text: str) -> list[int]:
        begins = model.tokenizer.bos_token or "nothing"
        return model.tokenizer(text, add_special_tokens=not text.startswith(begins)).input_ids

    z = []
    told = encode(reference, reference_context + continuation)
    told = told[len(encode(reference, reference_context)) :]
    for model, context in ((reference, reference_context), (aligned, aligned_context)):
        prompt = encode(model, context)
        logits = model.weights(input_ids=torch.tensor([prompt + told])).logits[0]
        z.append(logits[len(prompt) - 1 : -1])
    log_p_TV = ((1 - strength) * z[0] + strength * z[1]).log_softmax(dim=-1)
    return log_p_TV[torch.arange(len(told)), told]


@pytest.mark.process
def test_a_mistake_in_the_command_is_a_message(tmp_path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "trimtab.lm_eval", "--model", "trimtab"),
            *("--include_path", ".", "--tasks", "trimtab_choices"),
            *("--model_args", "method=nudgin,base=zoo:a-large-base"),
        ],
        cwd=DATA,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Did you mean 'nudging'?" in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------------- likelihoods


CONTEXTS = [
    ("Question: How many?\nThe answer is", " 42."),
    ("Question: How many?\nThe answer is", " 43."),
    ("Question: How many?\nThe answer is ", "42."),  # the space is the continuation's
    ("Tom has 3 cups.\n\n", "He buys 2."),
    ("", "The answer is 42."),
    ("The answ", "er is 42."),  # tokens that grow together
    ("Zoë", " à café"),
    ("<s>Tom has", " 3 cups."),
    ("", "<s>Tom has"),  # begins with what stands for no text, in the one model or the other
    ("", "<|end|>Tom has"),
]


@pytest.mark.parametrize("name", ["a-small-base", "b-small-base"])
def test_likelihoods_are_those_of_the_harness_s_own_model(name: str, zoo: Zoo) -> None:
    asked = requests("loglikelihood", *CONTEXTS)
    ours = MethodLM(Plain(model=zoo(name)), Generation(batch_size=3)).loglikelihood(asked)
    theirs = hf(name).loglikelihood(asked, disable_tqdm=True)
    assert [p for p, _ in ours] == pytest.approx([p for p, _ in theirs], abs=1e-4)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]


def test_a_greedy_answer_is_told_as_greedy(zoo: Zoo) -> None:
    model = MethodLM(Plain(model=zoo("a-small-base")))
    context = "Tom has 3 cups."
    (text,) = model.generate_until(requests("generate_until", (context, {"max_gen_toks": 5})))
    asked = requests("loglikelihood", (context, text), (context, " Blue."))
    assert [greedy for _, greedy in model.loglikelihood(asked)] == [True, False]


@pytest.mark.parametrize("name", ["a-small-base", "b-small-base"])
def test_whole_texts_longer_than_the_context_are_weighed_in_windows(name: str, zoo: Zoo) -> None:
    texts = [" ".join(row["question"] for row in ROWS) * 2, "The answer is 42.", ""]
    asked = requests("loglikelihood_rolling", *[(text,) for text in texts])
    model = zoo(name)
    assert len(model.encode(texts[0])) > model.context_length
    ours = MethodLM(Plain(model=model)).loglikelihood_rolling(asked)
    theirs = hf(name).loglikelihood_rolling(asked, disable_tqdm=True)
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-4)


def test_models_weigh_one_continuation_after_prompts_of_their_own(zoo: Zoo) -> None:
    base = dataclasses.replace(zoo("b-small-chat"), prompt="plain")
    chats = zoo("b-small-chat")
    dera = MethodLM(DeRa(reference=base, aligned=chats, strength=0.3))
    context = dera.apply_chat_template(CHAT)
    (found,) = dera.loglikelihood(requests("loglikelihood", (context, "The answer is 4.")))
    own = [chat.render(model, CHAT) for model in (base, chats)]
    assert own[0] != own[1] and all(text.endswith("\n") for text in own)
    expected = mixed_log_probability(
        base, chats, 0.3, own[0].rstrip(), own[1].rstrip(), "\nThe answer is 4."
    )
    assert found[0] == pytest.approx(float(expected.sum()), abs=1e-4)


def test_a_continuation_that_adds_no_token_is_an_error(zoo: Zoo) -> None:
    model = MethodLM(Plain(model=zoo("a-small-base")))
    for pair in (("The ans", "wer"), ("The answer", "")):
        with pytest.raises(ValueError, match=rf"{pair[1]!r} adds no token"):
            model.loglikelihood(requests("loglikelihood", pair))


def test_what_a_method_rules_out_is_not_compared(zoo: Zoo) -> None:
    method = PAD(base=zoo("a-small-sft"), preferred=zoo("a-small-dpo"), top_k=2)
    model = MethodLM(method)
    with pytest.raises(ValueError, match=r"Document 0 of task: the method rules out ' zq', so"):
        model.loglikelihood(requests("loglikelihood", ("Tom has", " zq")))
    with pytest.raises(ValueError, match=r"the method rules out some of its text, so nothing"):
        model.loglikelihood_rolling(requests("loglikelihood_rolling", ("Tom has zq",)))


def test_nudging_has_no_likelihoods_and_says_who_has(zoo: Zoo) -> None:
    nudging = MethodLM(Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat")))
    with pytest.raises(ValueError, match=r"Nudging has no probability.*method=base, guide, dera"):
        nudging.loglikelihood(requests("loglikelihood", ("a", " b")))
    with pytest.raises(ValueError, match="Nudging has no probability"):
        nudging.loglikelihood_rolling(requests("loglikelihood_rolling", ("a",)))


# ---------------------------------------------------------------------------- answers


def answers(model: MethodLM | HFLM, contexts: Sequence[str], **settings: object) -> list[str]:
    asked = requests("generate_until", *[(context, dict(settings)) for context in contexts])
    return model.generate_until(asked, disable_tqdm=True)


@pytest.mark.parametrize("name", ["a-small-base", "b-small-base", "a-large-chat"])
def test_answers_are_those_of_the_harness_s_own_model(name: str, zoo: Zoo) -> None:
    contexts = [f"Question: {row['question']}\n" for row in ROWS[:5]]
    ours = MethodLM(Plain(model=zoo(name)), Generation(batch_size=3))
    for settings in (
        {"max_gen_toks": 40},
        {"until": ["."], "max_gen_toks": 40},
        {"until": " so", "do_sample": False, "temperature": 1.0, "max_new_tokens": 40},
    ):
        expected = answers(hf(name), contexts, **settings)
        assert answers(ours, contexts, **settings) == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("name", ["a-small-base", "b-small-base"])
def test_an_empty_context_is_begun_by_the_prefix_token(name: str, zoo: Zoo) -> None:
    model = zoo(name)
    tokenizer = model.tokenizer
    prefix = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    tokens = model.weights.generate(
        torch.tensor([[prefix]]), attention_mask=torch.ones(1, 1), max_new_tokens=6, do_sample=False
    )
    expected = tokenizer.decode(tokens[0, 1:], skip_special_tokens=True)
    assert answers(MethodLM(Plain(model=model)), [""], max_gen_toks=6) == [expected]


def test_an_answer_ends_before_the_first_of_its_stop_strings(zoo: Zoo) -> None:
    nudging = MethodLM(Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat")))
    context = nudging.apply_chat_template(CHAT)
    (whole,) = answers(nudging, [context])
    stops = [" get on", ", so"]
    first = min(whole.index(stop) for stop in stops)
    assert answers(nudging, [context], until=stops) == [whole[:first]]
    assert answers(nudging, [context], until=["not in it", ""]) == [whole]


def test_draws_depend_on_seed_and_request_alone(zoo: Zoo) -> None:
    contexts = [f"Tell me about the {place}.\n" for place in ("farm", "lake", "hill")]
    drawn = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 20}
    asked = requests("generate_until", *[(context, drawn) for context in contexts])
    method = Plain(model=zoo("a-small-base"))

    def draw(order: Sequence[int], **generation: int) -> list[str]:
        model = MethodLM(method, Generation(**generation))
        return model.generate_until([asked[i] for i in order], disable_tqdm=True)

    first = draw([0, 1, 2])
    assert draw([2, 0, 1], batch_size=1) == [first[2], first[0], first[1]]
    assert draw([0, 1, 2], seed=1) != first
    twice = draw([0, 0])  # a task's `repeats`
    assert twice[0] == first[0] != twice[1]


def test_a_prompt_that_leaves_no_room_is_an_error(zoo: Zoo) -> None:
    model = MethodLM(Plain(model=zoo("a-small-base")))
    with pytest.raises(ValueError, match=r"task/0/0.*holds 1024"):
        answers(model, ["pens " * 1100])
    with pytest.raises(ValueError, match="holds 1024"):
        model.loglikelihood(requests("loglikelihood", ("pens " * 1100, "a")))


@dataclass(frozen=True, kw_only=True)
class Told(Plain):
    """Plain decoding with settings of a user's own, which the harness's cache has to know."""

    prefix: str = ""
    scale: object = None

    def answer(self, cursors, prompts, generation):
        completion = yield from super().answer(cursors, prompts, generation)
        return dataclasses.replace(completion, text=self.prefix + completion.text)


GREEDY = {"max_gen_toks": 8}
FARM = "Tell me about the farm.\n"


def cached(method: Method, file: Path, settings: dict = GREEDY, **generation) -> list[object]:
    """What a method says by way of the harness's cache."""
    model = CachingLM(MethodLM(method, Generation(**generation)), str(file))
    try:
        said = [model.generate_until(requests("generate_until", (FARM, settings)))]
        said.append(
            [tuple(pair) for pair in model.loglikelihood(requests("loglikelihood", *CONTEXTS[:2]))]
        )
        return [
            *said,
            model.loglikelihood_rolling(requests("loglikelihood_rolling", ("Tom has 3 cups.",))),
        ]
    finally:
        model.dbdict.close()


def test_finished_requests_come_from_the_harness_s_cache(tmp_path) -> None:
    first, again = (
        Plain(model=LanguageModel(path="zoo:a-small-base", prompt="plain")) for _ in range(2)
    )
    assert cached(first, tmp_path / "cache") == cached(again, tmp_path / "cache")
    assert "weights" in vars(first.model) and "weights" not in vars(again.model)


@pytest.mark.slow
def test_no_method_gets_another_one_s_answers_from_the_cache(zoo: Zoo, tmp_path) -> None:
    base, chat_model = zoo("a-small-base"), zoo("a-small-chat")
    copied = tmp_path / "model"
    shutil.copytree(base.folder, copied)
    methods = [
        Plain(model=base),
        Plain(model=dataclasses.replace(base, dtype="bfloat16")),
        Plain(model=LanguageModel(path=str(copied), prompt="plain")),
        Told(model=base),
        Told(model=base, prefix="Well, "),
        *(
            DeRa(reference=base, aligned=chat_model, strength=strength)
            for strength in (0.0, 0.5, 2.0)
        ),
    ]
    alone = [cached(method, tmp_path / str(i)) for i, method in enumerate(methods)]
    assert [cached(method, tmp_path / "shared") for method in methods] == alone
    # Other weights under the same name.
    shutil.copy(chat_model.folder / "model.safetensors", copied)
    changed = Plain(model=LanguageModel(path=str(copied), prompt="plain"))
    assert cached(changed, tmp_path / "shared") == cached(changed, tmp_path / "changed") != alone[2]


def test_models_given_as_loaded_are_known_by_their_weights(zoo: Zoo, tmp_path) -> None:
    held = copy.deepcopy(zoo("a-small-base").weights)
    model = LanguageModel.of(held, zoo("a-small-base").tokenizer, prompt="plain")
    first = cached(Plain(model=model), tmp_path / "cache")
    with torch.no_grad():
        held.lm_head.weight.mul_(-1)
    assert cached(Plain(model=model), tmp_path / "cache") != first


def test_draws_of_another_seed_are_not_those_of_the_cache(zoo: Zoo, tmp_path) -> None:
    method = Plain(model=zoo("a-small-base"))
    drawn = {"max_gen_toks": 8, "temperature": 5.0, "do_sample": True}
    alone = [cached(method, tmp_path / str(seed), drawn, seed=seed) for seed in (0, 1)]
    assert alone[0] != alone[1]
    assert [cached(method, tmp_path / "shared", drawn, seed=seed) for seed in (0, 1)] == alone


def test_a_method_of_one_s_own_is_known_by_its_code(zoo: Zoo, tmp_path, monkeypatch) -> None:
    code = """
import dataclasses
from trimtab import Plain

class Loud(Plain):
    def answer(self, cursors, prompts, generation):
        completion = yield from super().answer(cursors, prompts, generation)
        return dataclasses.replace(completion, text=completion.text.SAID())
"""
    monkeypatch.syspath_prepend(tmp_path)
    said = []
    for how in ("upper", "swapcase"):
        (tmp_path / "loud.py").write_text(code.replace("SAID", how))
        sys.modules.pop("loud", None)
        importlib.invalidate_caches()
        loud = importlib.import_module("loud").Loud(model=zoo("a-small-base"))
        said.append(cached(loud, tmp_path / "cache")[0][0])
    assert said[0] == said[0].upper() and said[0] != said[1] != said[1].upper()


def test_a_method_that_asks_its_models_in_ways_of_its_own_is_refused(zoo: Zoo) -> None:
    class Loud(Plain):
        def asked(self, role, conversation):
            return dataclasses.replace(conversation, question=conversation.question.upper())

    with pytest.raises(ValueError, match=r"Loud.* asks its models in ways of their own"):
        answers(MethodLM(Loud(model=zoo("a-small-base")), Generation()), [FARM])


def test_what_a_cache_cannot_know_is_refused(zoo: Zoo, tmp_path) -> None:
    base = zoo("a-small-base")
    with pytest.raises(ValueError, match=r"cannot know method\.scale, of type object"):
        cached(Told(model=base, scale=object()), tmp_path / "cache")
    with pytest.raises(ValueError, match=r"temperature=0.7 without do_sample.*do_sample=true"):
        cached(Plain(model=base), tmp_path / "cache", {"max_gen_toks": 8, "temperature": 0.7})


def test_an_interrupted_run_keeps_what_was_finished(zoo: Zoo, tmp_path, monkeypatch) -> None:
    settings = {"max_gen_toks": 4}
    asked = {
        "generate_until": [(f"Tell me about {i} farms.\n", settings) for i in range(5)],
        "loglikelihood": [(f"Tom has {i} cups.", " He buys 2.") for i in range(5)],
        "loglikelihood_rolling": [(f"Tom has {i} cups.",) for i in range(5)],
    }
    model = MethodLM(Plain(model=zoo("a-small-base")), Generation(batch_size=2))
    complete = {kind: getattr(model, kind)(requests(kind, *asked[kind])) for kind in asked}

    started: list[int] = []
    for name in ("decode", "likelihoods"):
        engine = getattr(Plain, name)

        def breaks(self, prompts, *more, engine=engine):
            started.append(len(prompts))
            for number, finished in enumerate(engine(self, prompts, *more)):
                if number == 3 and len(started) <= 3:
                    raise KeyboardInterrupt
                yield finished

        monkeypatch.setattr(Plain, name, breaks)
    cached = CachingLM(model, str(tmp_path / "cache.db"))
    for kind in asked:
        with pytest.raises(KeyboardInterrupt):
            getattr(cached, kind)(requests(kind, *asked[kind]))
    again = {kind: getattr(cached, kind)(requests(kind, *asked[kind])) for kind in asked}
    assert again["generate_until"] == complete["generate_until"]
    for first, second in zip(*(run["loglikelihood"] for run in (complete, again)), strict=True):
        assert second == (pytest.approx(first[0]), first[1])
    whole = "loglikelihood_rolling"
    assert again[whole] == pytest.approx(complete[whole])
    cached.dbdict.close()
    assert started == [5, 5, 5, 2, 2, 2]


# ---------------------------------------------------------------------------- chats


@pytest.mark.parametrize("name", ["a-small-chat", "b-small-chat"])
@pytest.mark.parametrize("messages", [CHAT, FEW_SHOT], ids=["system", "few-shot"])
@pytest.mark.parametrize("begun", ["", "Let's think"])
def test_a_chat_model_renders_a_chat_as_the_harness_does(name, messages, begun, zoo: Zoo) -> None:
    asked = [*messages, {"role": "assistant", "content": begun}] if begun else messages
    expected = hf(name).apply_chat_template(asked, add_generation_prompt=not begun)
    packed = MethodLM(Plain(model=zoo(name))).apply_chat_template(asked, not begun)
    assert chat.render(zoo(name), chat.unpack(packed)) == expected


def test_a_base_model_reads_a_chat_as_in_trimtab_run(zoo: Zoo) -> None:
    conversation = Conversation(system=SYSTEM, question=CHAT[1]["content"], answer_start="Let's")
    for name in ("a-large-base", "a-small-chat"):
        begun = [*CHAT, {"role": "assistant", "content": "Let's"}]
        assert chat.render(zoo(name), begun) == zoo(name).render(conversation)
    expected = "Question: 1 + 1?\nThe answer is 2.\nQuestion: 2 + 5?\n"
    assert chat.render(zoo("a-large-base"), FEW_SHOT) == expected


def test_a_template_without_a_system_role_gets_it_in_the_user_s_turn(zoo: Zoo) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    model = LanguageModel(path="zoo:a-small-base", prompt="chat", chat_template=template)
    messages = [{"role": "system", "content": "Be brief."}, *FEW_SHOT]
    assert chat.render(model, messages) == (
        "<user>Be brief.\nQuestion: 1 + 1?<assistant>The answer is 2.<user>Question: 2 + 5?"
    )
    with pytest.raises(ValueError, match="no system"):
        chat.render(model, [*FEW_SHOT, *messages])


def test_text_is_not_taken_for_a_chat() -> None:
    assert chat.unpack("Question: 1 + 1?") is None
    assert chat.unpack('{"role": "user"}') is None
    assert chat.unpack(chat.pack(CHAT)) == CHAT


def test_a_template_is_not_chosen_by_name(zoo: Zoo) -> None:
    model = MethodLM(Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat")))
    templates = json.loads(model.chat_template(True))
    assert templates == {"guide": zoo("a-small-chat").tokenizer.chat_template}
    with pytest.raises(ValueError, match="tool_use"):
        model.chat_template("tool_use")


# ---------------------------------------------------------------------------- arguments


def test_arguments_name_a_method_its_models_and_settings() -> None:
    model = MethodLM.create_from_arg_string(
        "method=nudging,base=zoo:a-large-base,guide=zoo:b-small-chat,guide_prompt=plain,"
        "threshold=0.3,agreement=false,dtype=bfloat16,base_dtype=float32,seed=7",
        {"batch_size": "4", "device": "cuda:0", "max_batch_size": None},
    )
    base = LanguageModel(path="zoo:a-large-base", prompt="plain")
    guide = LanguageModel(path="zoo:b-small-chat", prompt="plain", dtype="bfloat16")
    assert model.method == Nudging(base=base, guide=guide, threshold=0.3, agreement=False)
    assert model.generation == Generation(batch_size=4, seed=7)


@pytest.mark.parametrize(
    ("method", "models"),
    [
        ("base", ["base"]),
        ("guide", ["guide"]),
        ("dera", ["base", "guide"]),
        ("ensemble", ["base", "guide"]),
        ("alignment_vector", ["base", "guide"]),
        ("proxy_tuning", ["base", "guide", "untuned"]),
        ("nudging", ["base", "guide"]),
    ],
)
def test_every_method_is_there_with_its_own_defaults(method: str, models: list[str]) -> None:
    names = ("base", "sft", "dpo")[: len(models)]
    paths = {role: f"zoo:a-small-{name}" for role, name in zip(models, names, strict=True)}
    read, generation = read_arguments({"method": method, **paths, "batch_size": "auto"})
    assert {model.path for model in read.all_models.values()} == set(paths.values())
    defaults = {f.name: f.default for f in dataclasses.fields(read) if f.name not in models}
    assert all(
        getattr(read, name) == default
        for name, default in defaults.items()
        if default is not dataclasses.MISSING
    )
    assert generation == Generation()


def test_vectors_are_given_one_by_one(tmp_path: Path) -> None:
    extract(base="zoo:a-small-sft", aligned="zoo:a-small-expert", out=tmp_path / "expert")
    given = {"method": "vectors", "base": "zoo:a-small-sft"}
    path = str(tmp_path / "expert")
    read, _ = read_arguments(given | {"vectors.one": path, "strengths.one": 0.5, "strength": 2.0})
    assert isinstance(read, AlignmentVectors)
    assert (read.vectors, read.strengths, read.strength) == ({"one": path}, {"one": 0.5}, 2.0)
    with pytest.raises(ValueError, match="strengths: 'two' is not known"):
        read_arguments(given | {"vectors.one": path, "strengths.two": 0.5})
    with pytest.raises(ValueError, match="Did you mean 'vectors'"):
        read_arguments(given | {"vector.one": path})


def test_a_setting_that_has_no_default_is_asked_for() -> None:
    with pytest.raises(ValueError, match="directions: a value is needed, as in directions=VALUE"):
        read_arguments({"method": "inferaligner", "base": "zoo:a-small-sft"})


def test_a_draft_model_changes_no_answer(zoo: Zoo) -> None:
    given = {"method": "base", "base": "zoo:a-large-base"}
    drafted, _ = read_arguments(given | {"draft": "zoo:a-small-base"})
    looked_up, _ = read_arguments(given | {"draft": "prompt-lookup"})
    assert isinstance(drafted, Plain) and isinstance(looked_up, Plain)
    assert (drafted.draft.path, looked_up.draft) == ("zoo:a-small-base", "prompt-lookup")
    contexts = ["Tell me about the farm.\n"]
    expected = answers(MethodLM(Plain(model=zoo("a-large-base"))), contexts, max_gen_toks=12)
    for method in (drafted, looked_up):
        assert answers(MethodLM(method), contexts, max_gen_toks=12) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "method: None is not known"),
        ({"method": "dara"}, "Did you mean 'dera'"),
        ({"treshold": 0.3}, "'treshold' is not known. Did you mean 'threshold'"),
        ({"strength": 0.3}, "'strength' is not known"),
        ({"draft": "prompt-lookup"}, "'draft' is not known"),
        ({"draft": "zoo:a-small-base"}, "'draft' is not known"),
        ({"guide_promt": "chat"}, "Did you mean 'guide_prompt'"),
        ({"threshold": 3}, "threshold=3: accepted are probabilities"),
        ({"threshold": "high"}, "threshold='high': accepted is a number"),
        ({"agreement": "maybe"}, "agreement='maybe': accepted is true or false"),
        ({"base": "zoo:a-huge-base"}, "'a-huge-base' is not known. Did you mean 'a-large-base'"),
        ({"base": "allenai/OLMo-2-0425-1B"}, "base_prompt: how 'allenai/OLMo-2-0425-1B' reads"),
        ({"base_prompt": "chat"}, "zoo/models/a-large-base' has no chat template"),
        ({"guide_prompt": "caht"}, "'caht' is not known. Did you mean 'chat'"),
        ({"dtype": "float"}, "'float' is not known"),
        ({"device": 0}, "base_device=0: accepted is text"),
        ({"guide": None}, "guide: a model is needed"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": "big"}, "batch_size='big'"),
    ],
)
def test_mistakes_in_arguments_are_named(arguments: dict, message: str) -> None:
    given = {"method": "nudging", "base": "zoo:a-large-base", "guide": "zoo:a-small-chat"}
    given = {k: v for k, v in (given | arguments).items() if v is not None}
    if not arguments:
        given.pop("method")
    with pytest.raises(ValueError, match=re.escape(message)):
        read_arguments(given)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ValueError) as error:
        read_arguments({"method": "dera", "base": "hub/id", "strenth": 1, "beta": 1, "seed": 0.5})
    assert {"strenth", "base_prompt", "guide: a model"} <= set(
        re.findall(r"strenth|base_prompt|guide: a model|beta", str(error.value))
    )
    assert "seed" in str(error.value)


# ---------------------------------------------------------------------------- a task's settings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Generation(max_new_tokens=256)),
        ({"max_new_tokens": 9, "max_gen_toks": 7}, Generation(max_new_tokens=7)),
        ({"max_tokens": 9}, Generation(max_new_tokens=9)),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 5}, Generation(temperature=0.5, top_p=0.9)),
        ({"do_sample": False, "temperature": 0.5}, Generation(temperature=0.0)),
        ({"do_sample": True, "temperature": 1}, Generation(temperature=1.0)),
        ({"num_beams": 1, "repetition_penalty": 1.0}, Generation()),
    ],
)
def test_settings_are_read_as_the_harness_means_them(given: dict, expected: Generation) -> None:
    read, until = read_settings(given, Generation(seed=3, batch_size=2))
    expected = dataclasses.replace(expected, seed=3, batch_size=2, top_k=given.get("top_k", 0))
    assert (read, until) == (expected, ())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_beams": 4}, "num_beams=4"),
        ({"repetition_penalty": 1.2}, "repetition_penalty=1.2"),
        ({"stop": ["."]}, "'stop' is not known"),
        ({"temprature": 1}, "Did you mean 'temperature'"),
        ({"do_sample": True}, "do_sample=True at temperature 0"),
        ({"do_sample": "yes"}, "do_sample='yes'"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"temperature": -1}, "temperature=-1"),
        ({"until": 5}, "until=5"),
        ({"max_gen_toks": 0}, "=0: accepted are whole numbers"),
    ],
)
def test_settings_that_cannot_be_honoured_are_errors(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_settings(given, Generation())

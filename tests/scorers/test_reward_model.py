"""Reward models: tiny random classifiers made here, against direct calls of transformers."""

import json
import math
import random
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from scorers.small_classifiers import CONTEXT, causal, save
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from trimtab import Generation, LanguageModel, Plain, zoo
from trimtab.models.quantized_layers import quantized_layers
from trimtab.runs.evaluate import Job, evaluate
from trimtab.scorers import RewardModel
from trimtab.tasks import WordProblems

TEMPLATE = "Q: {question}\nA: {completion}"


def line(sample_id: str, question: str, completion: str) -> dict:
    return {"id": sample_id, "question": question, "completion": completion, "target": None}


def some_lines(count: int) -> list[dict]:
    """Answers of many lengths, some empty."""
    rng = random.Random(7)
    words = ["pens", "the", "answer", "is", "12", "Ana", "so", "she", "has", "left", "now", "7"]
    return [
        line(str(i), f"What is {i} + 2?", " ".join(rng.choices(words, k=rng.randrange(25))))
        for i in range(count)
    ]


LINES = some_lines(17)


@pytest.fixture(scope="module")
def causal_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    end = AutoTokenizer.from_pretrained(zoo.path("a-small-chat")).eos_token_id
    # The end of a turn as padding, as many checkpoints have it.
    return causal(tmp_path_factory.mktemp("causal"), padding=end)


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT, which reads both ways and its reward from the first token."""
    torch.manual_seed(4)
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = AutoTokenizer.from_pretrained(zoo.path("a-small-chat"))
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT + 2,
        num_labels=1,
        pad_token_id=0,
        initializer_range=0.3,
    )
    return save(BertForSequenceClassification(config), folder, model_max_length=CONTEXT)


def scored(model: RewardModel, lines: list[dict]) -> dict[str, float]:
    rewards = {}
    for sample_id, verdict in model.score(lines):
        assert verdict.values.keys() == {model.name}
        rewards[sample_id] = verdict.values[model.name]
    assert rewards.keys() == {each["id"] for each in lines}
    return rewards


@torch.inference_mode()
def directly(kind: type[PreTrainedModel], folder: Path, lines: list[dict]) -> dict[str, float]:
    """One by one, by transformers alone; through the chat template for a causal model."""
    model = kind.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rewards = {}
    for each in lines:
        if kind is LlamaForSequenceClassification:
            turns = [
                {"role": "user", "content": each["question"]},
                {"role": "assistant", "content": each["completion"]},
            ]
            inputs = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
        else:
            text = f"Q: {each['question']}\nA: {each['completion']}"
            inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        rewards[each["id"]] = model(**inputs).logits.item()
    return rewards


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_a_reward_is_what_transformers_says_whatever_the_batch(
    causal_folder: Path, batch_size: int
) -> None:
    expected = directly(LlamaForSequenceClassification, causal_folder, LINES)
    assert len({round(reward, 4) for reward in expected.values()}) == len(LINES)
    model = RewardModel(path=str(causal_folder), batch_size=batch_size, device="cpu")
    assert scored(model, LINES) == pytest.approx(expected, abs=1e-5)
    assert scored(model, LINES[::-1][:5]) == pytest.approx(
        {each["id"]: expected[each["id"]] for each in LINES[::-1][:5]}, abs=1e-5
    )


@pytest.mark.parametrize("batch_size", [1, 6])
def test_an_encoder_reads_a_template_and_no_padding(encoder_folder: Path, batch_size: int) -> None:
    expected = directly(BertForSequenceClassification, encoder_folder, LINES)
    assert len({round(reward, 4) for reward in expected.values()}) > len(LINES) / 2
    model = RewardModel(
        path=str(encoder_folder), format="plain", template=TEMPLATE, batch_size=batch_size
    )
    assert scored(model, LINES) == pytest.approx(expected, abs=1e-5)


def test_a_model_without_padding_reads_one_by_one(tmp_path: Path) -> None:
    folder = causal(tmp_path, padding=None)
    expected = directly(LlamaForSequenceClassification, folder, LINES)
    model = RewardModel(path=str(folder), batch_size=8)
    assert scored(model, LINES) == pytest.approx(expected, abs=1e-5)


def test_fields_are_filled_in_once_and_braces_of_answers_are_text(causal_folder: Path) -> None:
    """An answer that says {question} is not filled in again."""
    model = RewardModel(path=str(causal_folder), format="plain", template="{question}|{completion}")
    tricky = line("a", "{completion}?", "{question} {x}")
    expected = RewardModel(
        path=str(causal_folder), format="plain", template="{completion}"
    )  # the same text, as an answer
    same_text = line("a", "", "{completion}?|{question} {x}")
    assert scored(model, [tricky]) == pytest.approx(scored(expected, [same_text]), abs=1e-6)


def test_an_input_that_does_not_fit_is_an_error_before_anything_is_scored(
    causal_folder: Path,
) -> None:
    model = RewardModel(path=str(causal_folder))
    lines = [*LINES, line("long one", "Why?", "pens " * 200)]
    with pytest.raises(ValueError, match=rf"'long one' has \d+ tokens .* takes {CONTEXT}.*trunca"):
        next(model.score(lines))
    assert "weights" not in vars(model)


def test_the_encoders_limit_is_its_tokenizers(encoder_folder: Path) -> None:
    """Of its position table two rows are no use, as in RoBERTa's family."""
    model = RewardModel(path=str(encoder_folder), format="plain", template=TEMPLATE)
    with pytest.raises(ValueError, match=f"takes {CONTEXT}"):
        next(model.score([line("a", "Why?", "pens " * 200)]))


@torch.inference_mode()
def test_cutting_keeps_the_opening_tokens_and_the_end(causal_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(causal_folder)
    long = line("a", "Why? " * 30, "pens " * 30 + "and boats")
    turns = [
        {"role": "user", "content": long["question"]},
        {"role": "assistant", "content": long["completion"]},
    ]
    tokens = tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
    special = set(tokenizer.all_special_ids)
    assert tokens[0] in special and tokens[1] not in special
    kept = [tokens[0], *tokens[-39:]]
    direct = LlamaForSequenceClassification.from_pretrained(causal_folder).eval()
    expected = direct(input_ids=torch.tensor([kept])).logits.item()

    model = RewardModel(path=str(causal_folder), max_length=40, truncate=True)
    ((_, verdict),) = model.score([long])
    assert verdict.values["reward"] == pytest.approx(expected, abs=1e-5)
    assert verdict.facts == {"tokens": 40, "cut_tokens": len(tokens) - 40}
    ((_, whole),) = model.score([line("b", "Why?", "Yes")])
    assert whole.facts["cut_tokens"] == 0


def test_the_metric_has_the_name_that_is_asked_for(causal_folder: Path) -> None:
    model = RewardModel(path=str(causal_folder), name="kindness")
    assert set(scored(model, LINES[:2])) == {"0", "1"}
    assert model.name == "kindness"


def test_identity_names_what_rewards_depend_on(causal_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(causal_folder, tmp_path / "copy"))
    path = str(copy)
    model = RewardModel(path=path)
    before = model.identity
    assert json.loads(json.dumps(before)) == before
    assert before["max_length"] == CONTEXT
    assert before == RewardModel(path=path, batch_size=1, device="cpu").identity
    for other in (
        RewardModel(path=path, format="plain", template="{completion}"),
        RewardModel(path=path, dtype="bfloat16"),
        RewardModel(path=path, truncate=True),
        RewardModel(path=path, attention="eager"),
        RewardModel(path=path, chat_template="{% for m in messages %}{{ m.content }}{% endfor %}"),
    ):
        assert other.identity != before
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert RewardModel(path=path).identity != before


@pytest.mark.real
@pytest.mark.skipif(not find_spec("torchao"), reason="torchao is not installed")
def test_rewards_of_eight_bits_are_those_of_the_numbers_that_they_stand_for(
    causal_folder: Path,
) -> None:
    held, plain = (
        RewardModel(path=str(causal_folder), quantization=kind) for kind in ("int8", "none")
    )
    assert held.identity == plain.identity | {"quantization": "int8"}
    assert len(quantized_layers(held.weights)) == 2 * 7  # not the head that gives the reward
    own = dict(held.weights.named_modules())
    for name, module in plain.weights.named_modules():
        if own[name] in quantized_layers(held.weights):
            assert not module.weight.equal(own[name].weight.dequantize())
            module.weight.data.copy_(own[name].weight.dequantize())
    found, expected = (
        {i: verdict.values["reward"] for i, verdict in model.score(LINES)}
        for model in (held, plain)
    )
    assert found == pytest.approx(expected, abs=1e-4)


# ---------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "zoo:a-small-chat"}, "the embedded family has none"),
        ({"path": "./nowhere"}, "'./nowhere' does not exist"),
        ({"format": "chta"}, "Did you mean 'chat'"),
        ({"format": "plain"}, "format=plain needs a template"),
        ({"template": "{completion}"}, "format=chat takes none"),
        ({"format": "plain", "template": "{question}"}, "no {completion}"),
        ({"format": "plain", "template": "{completion} {answr}"}, "'answr' is not known"),
        ({"dtype": "fp32"}, "Accepted: auto, bf"),
        ({"device": "gpu"}, "Accepted: auto, balanced, cpu"),
        ({"max_memory": {0: "1GiB"}}, "device=auto is one"),
        ({"attention": "flash_attention_2"}, "takes no mask of ours"),
        ({"quantization": "int5"}, "Did you mean 'int8'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"max_length": True}, "max_length=True"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(
    causal_folder: Path, arguments: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RewardModel(**({"path": str(causal_folder)} | arguments))


def test_a_length_beyond_the_models_own_is_refused(causal_folder: Path) -> None:
    model = RewardModel(path=str(causal_folder), max_length=CONTEXT + 1)
    with pytest.raises(ValueError, match=f"takes at most {CONTEXT} tokens"):
        next(model.score(LINES))


def test_two_outputs_are_no_reward(tmp_path: Path) -> None:
    model = RewardModel(path=str(causal(tmp_path, padding=0, outputs=2)))
    with pytest.raises(ValueError, match=r"has 2 outputs.*num_labels=1"):
        next(model.score(LINES))


def test_a_language_model_is_no_reward_model_and_its_head_never_random(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(zoo.path("a-small-chat"), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    labels = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    (folder / "config.json").write_text(json.dumps(config | labels))
    with pytest.raises(ValueError, match=r"AutoModelForSequenceClassification.*score\.weight"):
        next(RewardModel(path=str(folder)).score(LINES))


def test_pickled_weights_load_only_when_asked_for_by_name(
    causal_folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    folder = Path(shutil.copytree(causal_folder, tmp_path / "model"))
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="allow_pickle=true"):
        next(RewardModel(path=str(folder)).score(LINES))
    asked = RewardModel(path=str(folder), allow_pickle=True)
    expected = RewardModel(path=str(causal_folder))
    assert scored(asked, LINES) == pytest.approx(scored(expected, LINES))


def test_code_that_comes_with_a_model_is_not_run(causal_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(causal_folder, tmp_path / "model"))
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="cannot be loaded"):
        next(RewardModel(path=str(folder)).score(LINES))
    assert not ran.exists()


def test_what_could_not_score_is_refused_before_anything_is_generated(
    causal_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the run: no answer is made, and no weights load."""
    monkeypatch.setattr(LanguageModel, "load", lambda *_, **__: pytest.fail("weights load"))
    folders = {name: tmp_path / name for name in ("empty", "two", "broken")}
    for name in ("empty", "broken"):
        shutil.copytree(causal_folder, folders[name])
    (folders["empty"] / "model.safetensors").unlink()
    causal(folders["two"], padding=0, outputs=2)
    (folders["broken"] / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
    said = {
        str(folders["empty"]): "no weights as safetensors.*allow_pickle",
        str(folders["two"]): "has 2 outputs",
        str(folders["broken"]): "The chat template of .* fails",
        "nobody/has-this-reward-model": "does not answer|has no model",
    }
    task = WordProblems()
    for path, message in said.items():
        job = Job(
            task=task,
            method=Plain(model=LanguageModel(path="zoo:a-small-base", prompt="plain")),
            generation=Generation(max_new_tokens=2),
            limit=2,
            folder=tmp_path / "run",
            config={},
            start_tracker=lambda: pytest.fail("it begins"),
            scorers=[RewardModel(path=path)],
        )
        with pytest.raises(ValueError, match=message):
            evaluate(job)
        assert not (tmp_path / "run").exists()
    RewardModel(path=str(causal_folder)).check()


def test_a_reward_that_is_no_number_names_the_sample(causal_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(causal_folder, tmp_path / "model"))
    state = load_file(folder / "model.safetensors")
    state["score.weight"][:] = math.nan
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="gives nan for sample 'only'"):
        next(RewardModel(path=str(folder)).score([line("only", "Why?", "So.")]))


def test_a_tokenizer_without_a_chat_template_is_told(causal_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(causal_folder, tmp_path / "model"))
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="has no chat template"):
        RewardModel(path=str(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    RewardModel(path=str(folder), format="plain", template=TEMPLATE)

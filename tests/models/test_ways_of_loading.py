"""Ways of loading a model: each answers as transformers' own generate() does with such weights."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from tests.checkpoints import VOCABULARY, saved
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    MptConfig,
    MptForCausalLM,
    PreTrainedModel,
)

from trimtab import Generation, LanguageModel, Nudging, Plain
from trimtab import zoo as embedded
from trimtab.config import composition
from trimtab.config.check import check
from trimtab.machine import shapes
from trimtab.models import placement
from trimtab.runs.record_types import Config

ASKED = (
    "A bus leaves the farm with 56 people. At the school 15 get on. How many are on the bus now?",
    "Mia has 35 books. She sells 28. She wins 37. How many books does she have?",
    'Join the last letter of each word in "Ivan Oscar Kim Adam".',
    "The station has 17 birds, the harbour 19, the garden 72. How many birds are there in all?",
)
BRIEF = Generation(max_new_tokens=24, batch_size=1)
TOGETHER = Generation(max_new_tokens=24, batch_size=4)
NAME = "a-large-chat"


def generated(model: PreTrainedModel) -> list[str]:
    """Return transformers' own answers, none of whose tokens hangs on how a sum is rounded."""
    tokenizer = AutoTokenizer.from_pretrained(embedded.path(NAME))
    texts = []
    for question in ASKED:
        given = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        found = model.generate(
            **given,
            do_sample=False,
            max_new_tokens=BRIEF.max_new_tokens,
            output_logits=True,
            return_dict_in_generate=True,
        )
        best_NV = torch.cat(found.logits).float().topk(2).values
        assert (best_NV[:, 0] - best_NV[:, 1]).min() > 0.5
        new = found.sequences[0, given.input_ids.shape[1] :]
        texts.append(tokenizer.decode(new, skip_special_tokens=True))
    assert len(set(texts)) == len(ASKED)
    return texts


def described(path: str = f"zoo:{NAME}", **settings: Any) -> LanguageModel:
    return LanguageModel(path=path, prompt="chat", **settings)


def answered(model: LanguageModel, generation: Generation = BRIEF) -> list[str]:
    return [one.text for one in Plain(model=model).complete(ASKED, generation)]


def with_tokenizer(folder: str, *, of: str) -> str:
    """Put an embedded model's tokenizer into a folder, and return the folder's name."""
    for file in embedded.path(of).iterdir():
        if file.name.startswith(("tokenizer", "chat_template")):
            shutil.copyfile(file, Path(folder) / file.name)
    return folder


@pytest.mark.parametrize("attention", ["auto", "eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_dtype_and_attention_answers_as_generate_does(dtype: str, attention: str) -> None:
    options = {} if attention == "auto" else {"attn_implementation": attention}
    own = AutoModelForCausalLM.from_pretrained(
        embedded.path(NAME), dtype=getattr(torch, dtype), **options
    )
    expected, model = generated(own), described(dtype=dtype, attention=attention)
    assert answered(model) == expected
    assert answered(model, TOGETHER) == expected
    used = model.weights.config._attn_implementation
    assert used == ("sdpa" if attention == "auto" else attention)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_an_answer_in_sixteen_bits_does_not_depend_on_its_company(dtype: str) -> None:
    model = LanguageModel(path="zoo:a-large-base", prompt="plain", dtype=dtype, device="cpu")
    texts = [answered(model, dataclasses.replace(TOGETHER, batch_size=size)) for size in (4, 5, 8)]
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize(
    "memory, said",
    [("4MB", "5 of its 8 parts are on the disk"), ("1KiB", "1 of its 1 parts"), ("1.5 GiB", None)],
)
def test_what_finds_no_room_in_memory_is_read_from_the_disk(
    caplog: pytest.LogCaptureFixture, memory: str, said: str | None
) -> None:
    model = described(device="balanced", max_memory={"cpu": memory})
    assert answered(model, TOGETHER) == answered(described(), TOGETHER)
    assert model.device_in_use == torch.device("cpu")
    kept = [parameter.is_meta for parameter in model.weights.parameters()]
    assert any(kept) == (said is not None)
    lines = [line.getMessage() for line in caplog.records if "trimtab" in line.name]
    assert [said in line for line in lines] == ([True] if said else [])


# ---------------------------------------------------------------------------- what is known by it


def node(**settings: Any) -> dict[str, Any]:
    return {"method": {"_target_": "trimtab.models.LanguageModel", "path": "p", **settings}}


@pytest.mark.parametrize(
    "settings, counts",
    [
        ({"attention": "auto"}, False),
        ({"attention": "eager"}, True),
        ({"max_memory": None}, False),
        ({"max_memory": {0: "20GiB"}}, False),
    ],
)
def test_settings_count_where_they_change_answers(settings: dict[str, Any], counts: bool) -> None:
    assert (composition.digest(node()) != composition.digest(node(**settings))) == counts


def test_a_model_with_limits_is_known_as_others_are() -> None:
    limits = {0: "20GiB"}
    one, other = (described(device="balanced", max_memory=each) for each in (limits, None))
    assert hash(one) == hash(other) and one != other
    assert one.provenance()["max_memory"] == limits


def test_limits_by_the_numbers_of_gpus_come_from_a_command_and_are_read_in_a_runs_files() -> None:
    given = ["base=hf", f"base.path=zoo:{NAME}", "base.prompt=chat", "base.device=balanced"]
    with initialize_config_dir(str(composition.DIRECTORY), version_base="1.3"):
        config = compose("config", [*given, "base.max_memory={0:20GiB,cpu:60GiB}", "method=base"])
    check(config)
    limits = {0: "20GiB", "cpu": "60GiB"}
    assert composition.build(config.method).model.max_memory == limits
    written = yaml.safe_load(yaml.safe_dump(composition.relevant(config)))
    shapes.of(Config)(written)
    assert written["method"]["model"]["max_memory"] == limits


# ---------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"attention": "egaer"}, r"attention of .* 'egaer' is not known. Did you mean 'eager'"),
        ({"attention": "flash_attention_2"}, r"takes no mask of ours.*Accepted: auto, eager, sdpa"),
        ({"attention": "flex_attention"}, r"compiles a kernel .* Accepted: auto, eager, sdpa"),
        ({"attention": "kernels-community/flash-attn"}, "is not known"),
        ({"max_memory": {0: "20GiB"}}, "device=auto is one. Set device=balanced"),
        *(
            ({"device": "balanced", "max_memory": wrong}, r"max_memory of .*Accepted are GPUs by")
            for wrong in ({}, {"gpu": "1GiB"}, {0: "20"}, {0: 20}, {-1: "1GB"}, "20GiB", {True: ""})
        ),
    ],
)
def test_a_wrong_setting_is_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        described(**settings)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"device": "cuda:3"}, "torch sees no CUDA device here"),
        ({"device": "mps"}, "torch sees no MPS device here"),
        ({"device": "balanced", "max_memory": {9: "1GiB"}}, "names GPU 9, and torch sees"),
    ],
)
def test_a_device_that_is_not_there_is_refused(settings: dict[str, Any], message: str) -> None:
    model = described(**settings)
    with pytest.raises(ValueError, match=message):
        _ = model.weights


def test_what_is_not_there_is_told_before_any_model_is_loaded() -> None:
    base, guide = described(), described("zoo:a-small-chat", device="cuda:99")
    with pytest.raises(ValueError, match=r"device of zoo:a-small-chat: 'cuda:99', but torch sees"):
        Nudging(base=base, guide=guide).complete(ASKED, BRIEF)
    assert "weights" not in vars(base)


def test_balanced_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs the package accelerate: pip install 'trimtab"):
        described(device="balanced")


def test_attention_that_a_model_does_not_have_is_refused(tmp_path: Path) -> None:
    tiny = MptConfig(d_model=16, n_heads=2, n_layers=1, vocab_size=VOCABULARY, expansion_ratio=2)
    folder = with_tokenizer(saved(MptForCausalLM(tiny), tmp_path / "mpt"), of="a-small-base")
    model = LanguageModel(path=folder, prompt="plain", attention="sdpa")
    with pytest.raises(ValueError, match=r"attention=sdpa of .*Use attention=eager"):
        _ = model.weights


def test_attention_that_a_configuration_names_is_not_taken_unseen(tmp_path: Path) -> None:
    folder = tmp_path / "named"
    shutil.copytree(embedded.path(NAME), folder)
    config = json.loads((folder / "config.json").read_text())
    config["attn_implementation"] = "flash_attention_2"
    (folder / "config.json").write_text(json.dumps(config))
    named = described(str(folder))
    with pytest.raises(ValueError, match=r"names attn_implementation='flash_attention_2'.*sdpa"):
        _ = named.weights
    assert answered(described(str(folder), attention="sdpa")) == answered(described())

"""What a model's files ask of generation: ends as transformers takes them; rules by name."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from trimtab import Conversation, Generation, LanguageModel
from trimtab.methods import Plain

PROMPT = "w5 w6 w7"
TWELVE = Generation(max_new_tokens=12, batch_size=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    words = {word: i for i, word in enumerate(["<s>", "</s>", *(f"w{i}" for i in range(62))])}
    raw = Tokenizer(models.WordLevel(words, unk_token="w0"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.decoder = decoders.WordPiece(prefix="##")
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.3,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def changed(whole: Path, folder: Path, **files: Any) -> Path:
    """Copy the model, with settings of some of its files changed; None takes the file away."""
    for file in whole.iterdir():
        said: Any = files.get(file.stem, {})
        if isinstance(said, str):
            (folder / file.name).write_text(said)
        elif said:
            (folder / file.name).write_text(json.dumps(json.loads(file.read_text()) | said))
        elif said is not None:
            (folder / file.name).hardlink_to(file)
    return folder


def by_transformers(model: LanguageModel) -> list[int]:
    ids = torch.tensor([model.encode(model.render(Conversation(question=PROMPT)))])
    mask = torch.ones_like(ids)
    told = model.weights.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=12)
    return told[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("with_file", [True, False])
@pytest.mark.parametrize("weights_first", [True, False])
def test_ends_are_those_of_generate(
    whole: Path, tmp_path: Path, with_file: bool, weights_first: bool
) -> None:
    free = LanguageModel(path=str(whole), prompt="plain")
    end = by_transformers(free)[4]
    ended = {"eos_token_id": [1, end]}
    files = {"config": ended, "generation_config": ended if with_file else None}
    model = LanguageModel(path=str(changed(whole, tmp_path, **files)), prompt="plain")
    if weights_first:
        assert model.weights is not None
    (answer,) = Plain(model=model).complete([PROMPT], TWELVE)
    assert model.stop_tokens == {1, end}
    assert answer.stop_reason == "end"
    assert list(answer.token_ids) == by_transformers(model)


@pytest.mark.parametrize("weights_first", [True, False])
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"generation_config": '{"eos_token_id": 1'}, "no whole JSON file"),
        ({"generation_config": "[]"}, "holds no JSON object"),
        ({"generation_config": {"eos_token_id": "x"}}, "eos_token_id='x': accepted are"),
        ({"generation_config": {"eos_token_id": [1, None]}}, "eos_token_id=.*: accepted are"),
        ({"generation_config": {"eos_token_id": True}}, "eos_token_id=True: accepted are"),
    ],
)
def test_damaged_settings_are_refused(
    whole: Path, tmp_path: Path, files: dict[str, Any], message: str, weights_first: bool
) -> None:
    model = LanguageModel(path=str(changed(whole, tmp_path, **files)), prompt="plain")
    with pytest.raises(ValueError, match=message) as refused:
        if weights_first:
            assert model.weights is not None
        Plain(model=model).complete([PROMPT], TWELVE)
    assert "generation_config.json" in str(refused.value)


RULES = {
    "repetition_penalty": 1.3,
    "no_repeat_ngram_size": 2,
    "min_new_tokens": 3,
    "min_length": 3,
    "suppress_tokens": [5],
    "begin_suppress_tokens": [6],
    "bad_words_ids": [[7]],
    "forced_bos_token_id": 3,
    "forced_eos_token_id": 1,
    "sequence_bias": [[[4], 1.0]],
    "guidance_scale": 2.0,
    "exponential_decay_length_penalty": [2, 1.5],
    "num_beams": 2,
    "stop_strings": ["w3"],
}


@pytest.mark.parametrize("name", RULES)
def test_rules_that_are_left_out_are_named(
    whole: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = changed(whole, tmp_path, generation_config={name: RULES[name]})
    model = LanguageModel(path=str(folder), prompt="plain")
    with caplog.at_level(logging.WARNING):
        Plain(model=model).complete([PROMPT], TWELVE)
    assert f"{name}={RULES[name]!r}" in caplog.text
    assert model.provenance()["generation_rules"] == [f"{name}={RULES[name]!r}"]


def test_how_to_draw_and_for_how_long_is_for_the_user_to_say(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usual = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.9, "max_length": 20}
    folder = changed(whole, tmp_path, generation_config=usual)
    model = LanguageModel(path=str(folder), prompt="plain")
    with caplog.at_level(logging.WARNING):
        Plain(model=model).complete([PROMPT], TWELVE)
    assert "left out" not in caplog.text

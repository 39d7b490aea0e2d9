"""Tokenizers wider than an embedding, and how long a sequence a model is built for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from trimtab import Conversation, DeRa, Generation, LanguageModel, Plain
from trimtab import zoo as embedded

ASKED = ["Tom has 3 pens", "Once upon a time"]
BRIEF = Generation(max_new_tokens=12)
ROWS = 768


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Two tokens wider than the embedded models, as Gemma 3's is by one."""
    wide = AutoTokenizer.from_pretrained(embedded.path("a-small-base"))
    assert len(wide) == ROWS
    wide.add_tokens(["<one>", "<two>"])
    return wide


def model_of(rows: int, tokenizer: PreTrainedTokenizerFast, *, favours: int = 0) -> LanguageModel:
    """A random model; `favours` is a token that it likes to say."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=None,
    )
    weights = LlamaForCausalLM(config)
    torch.nn.init.normal_(weights.lm_head.weight)
    if favours:
        weights.lm_head.weight.data[favours] *= 4
    return LanguageModel.of(weights, tokenizer, prompt="plain")


def test_a_tokenizer_wider_than_the_embedding_speaks_as_generate_does(tokenizer) -> None:
    model = model_of(ROWS, tokenizer)
    assert model.vocabulary_size == ROWS
    for question, answer in zip(ASKED, Plain(model=model).complete(ASKED, BRIEF), strict=True):
        prompt = torch.tensor([model.encode(question + "\n")])
        whole = model.weights.generate(prompt, max_new_tokens=12, do_sample=False, pad_token_id=0)
        assert list(answer.token_ids) == whole[0, prompt.shape[1] :].tolist()
    drawn = Generation(max_new_tokens=12, temperature=1.0)
    assert all(max(a.token_ids) < ROWS for a in Plain(model=model).complete(ASKED, drawn))


def test_a_text_with_a_token_that_the_model_has_no_row_for_names_it(tokenizer) -> None:
    model = model_of(ROWS, tokenizer)
    with pytest.raises(ValueError, match=r"beyond the 768 of its embedding.*'<two>' \(769\)"):
        Plain(model=model).complete(["Hello <two> there"], BRIEF)
    with pytest.raises(ValueError, match=r"'<one>' \(768\)"):
        list(Plain(model=model).weigh({"1": Conversation(question="Hi")}, {"1": ["a", "<one>"]}))
    assert model.encode("<two>") == [769]


def test_a_mixture_has_the_tokens_that_all_its_models_have(tokenizer) -> None:
    narrow = model_of(ROWS, tokenizer)
    wide = model_of(ROWS + 64, tokenizer, favours=769)  # padded beyond the tokenizer
    mixed = DeRa(reference=narrow, aligned=wide, strength=0.5).complete(ASKED, BRIEF)
    for question, answer in zip(ASKED, mixed, strict=True):
        tokens = narrow.encode(question + "\n")
        for said in answer.token_ids:
            logits = [
                each.weights(torch.tensor([tokens])).logits[0, -1, :ROWS] for each in (narrow, wide)
            ]
            assert said == int((0.5 * logits[0] + 0.5 * logits[1]).argmax())
            tokens.append(said)
    alone = Plain(model=wide).complete(ASKED, BRIEF)
    assert any(769 in answer.token_ids for answer in alone)  # which the mixture is kept from


def test_a_draft_of_a_wider_model_changes_nothing(tokenizer) -> None:
    narrow, wide = model_of(ROWS, tokenizer), model_of(ROWS + 2, tokenizer, favours=769)
    plain, drafted = (
        Plain(model=narrow, draft=draft).complete(ASKED, BRIEF) for draft in (None, wide)
    )
    assert [a.token_ids for a in plain] == [a.token_ids for a in drafted]


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 4096}, 4096),
        # Qwen3's card: YaRN to 131,072 tokens, of a model that states 40,960.
        (
            {
                "max_position_embeddings": 40960,
                "rope_scaling": {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 32768,
                },
            },
            131072,
        ),
        # The same without the original length, which transformers takes from the stated one.
        (
            {
                "max_position_embeddings": 32768,
                "rope_scaling": {"type": "yarn", "factor": 4.0},
            },
            131072,
        ),
        # DeepSeek-V3 and Llama 3.1 state the stretched length.
        (
            {
                "max_position_embeddings": 163840,
                "rope_scaling": {
                    "type": "yarn",
                    "factor": 40,
                    "original_max_position_embeddings": 4096,
                },
            },
            163840,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192,
                },
            },
            131072,
        ),
    ],
)
def test_the_context_is_what_the_model_was_stretched_to(
    config: dict[str, Any], length: int, tokenizer
) -> None:
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 0, "vocab_size": 8}
    weights = LlamaForCausalLM(LlamaConfig(**small, num_attention_heads=1, **config))
    assert LanguageModel.of(weights, tokenizer, prompt="plain").context_length == length

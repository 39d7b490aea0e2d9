"""Sliding windows, chunks and sinks: every architecture that has them is read rightly, or refused.

The list is transformers' own: an architecture is meant as soon as its module makes such a mask.
"""

import functools
import inspect
import random
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from trimtab import Conversation, Generation, LanguageModel
from trimtab.methods import Plain
from trimtab.models.session import Session

VOCABULARY, WINDOW = 64, 8
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "sliding_window": WINDOW,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
EXPERTS = {
    "moe_intermediate_size": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
}
MIXED = {"layer_types": ["sliding_attention", "full_attention"]}
GEMMA4 = MIXED | {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCABULARY}
BY_LAYER = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
READ = {
    "afmoe": EXPERTS | MIXED,
    "beam": MIXED,
    "cohere2": MIXED,
    "cohere2_moe": EXPERTS | MIXED,
    "cohere_compass_text": MIXED
    | {"rope_parameters": dict.fromkeys(MIXED["layer_types"], BY_LAYER)},
    "cwm": MIXED,
    "doge": {},
    "dots1": EXPERTS | MIXED,
    "exaone4": MIXED,
    "exaone_moe": EXPERTS | MIXED,
    "flint": MIXED,
    "gemma2": MIXED,
    "gemma3_text": MIXED,
    "gemma3n_text": MIXED
    | {
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": VOCABULARY,
        "num_kv_shared_layers": 0,
        "altup_num_inputs": 2,
        "laurel_rank": 4,
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "gemma4_text": GEMMA4 | {"global_head_dim": 8, "num_global_key_value_heads": 2},
    "gemma4_unified_text": MIXED,
    "gpt_oss": EXPERTS | MIXED,
    "granite_swa": MIXED,
    "granitemoe_swa": EXPERTS | MIXED,
    "kolibri1": MIXED,
    "laguna": EXPERTS | MIXED | {"num_attention_heads_per_layer": [4, 4]},
    "mellum": EXPERTS | MIXED,
    "mimo_v2_flash": EXPERTS | MIXED,
    "ministral": MIXED,
    "ministral3": {},
    "mistral": {},
    "mixtral": EXPERTS,
    "modernbert-decoder": MIXED | {"local_attention": 2 * WINDOW},
    "olmo3": MIXED,
    "phi3": {},
    "phimoe": EXPERTS,
    "qwen2": MIXED | {"use_sliding_window": True},
    "qwen2_moe": EXPERTS | MIXED | {"use_sliding_window": True},
    "qwen3": MIXED | {"use_sliding_window": True},
    "qwen3_moe": EXPERTS | {"use_sliding_window": True},
    "smollm3": MIXED | {"use_sliding_window": True},
    "starcoder2": {},
    "vaultgemma": MIXED,
}
REFUSED = [
    "blt",
    "bloom",
    "deepseek_v4",
    "dots3_note",
    "dots3_note_text",
    "falcon_h1",
    "gpt_neo",
    "hy_v4",
    "inkling2_text",
    "inkling_text",
    "lfm3",
    "llama4",
    "llama4_text",
    "minimax",
    "moshi",
    "nemotron_h",
    "recurrent_gemma",
    "zaya",
]
# The text part of these is one of the above, and what lies around it is too large for a test.
LARGER = ["gemma3", "gemma3n", "gemma4", "gemma4_unified", "phi4_multimodal"]
# Its masks are full unless told otherwise, which nobody here does.
FULL = ["hrm_text"]
SIGNS = re.compile(
    "create_(sliding_window_causal|chunked_causal)_mask|create_masks_for_generate"
    r"|\bsinks\b|\battention_layers|self\.sliding_window = config\.sliding_window$",
    re.MULTILINE,
)


def with_windows() -> set[str]:
    found = set()
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        described = Path(inspect.getfile(CONFIG_MAPPING[kind]))
        code = described.with_name(described.name.replace("configuration_", "modeling_"))
        # Where there is none, the architecture is another's under a name of its own.
        if code.is_file() and SIGNS.search(code.read_text("utf-8")):
            found.add(kind)
    return found


@functools.cache
def build(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    weights = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(SMALL | READ[kind])))
    for parameter in weights.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return weights.eval()


def wrapped(weights: PreTrainedModel, name: str) -> LanguageModel:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {f"w{i}": i for i in range(VOCABULARY)}
    raw = Tokenizer(models.WordLevel(words, unk_token="w0"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="w2")
    return LanguageModel.of(weights, tokenizer, prompt="plain", name=name)


def test_every_architecture_is_accounted_for() -> None:
    assert with_windows() - {*READ, *REFUSED, *LARGER, *FULL} == set()


@pytest.mark.parametrize("kind", [kind for kind in READ if kind in CONFIG_MAPPING_NAMES])
@torch.inference_mode()
def test_steps_across_the_window_equal_a_pass_without_a_cache(kind: str) -> None:
    """Logits are compared: of a vocabulary wider than the hidden states, they tell them all."""
    weights = build(kind)
    model = wrapped(weights, kind)
    rng = random.Random(0)
    for batch, ragged in ((1, False), (2, False), (2, True), (4, False), (8, True)):
        session = Session(model, batch)
        start = [WINDOW - 2 - (row % 3 if ragged else 0) for row in range(batch)]
        whole = [[rng.randrange(3, VOCABULARY) for _ in range(n + 6)] for n in start]
        width = max(map(len, whole))
        padded = torch.tensor([[*row, *[3] * (width - len(row))] for row in whole])
        expected = weights(input_ids=padded, use_cache=False).logits.float()
        for step in range(6):
            lengths = [n + step for n in start]
            sequences = [row[:n] for row, n in zip(whole, lengths, strict=True)]
            read = session.read(range(batch), sequences, [1] * batch)
            wanted = torch.stack([expected[row, n - 1] for row, n in enumerate(lengths)])
            torch.testing.assert_close(read, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max())
    # Back to within the window, and on beyond it by several tokens at a time.
    session.read([0], [whole[0][: WINDOW - 3]], [1])
    read = session.read([0], [whole[0]], [5])
    wanted = expected[0, len(whole[0]) - 5 : len(whole[0])]
    torch.testing.assert_close(read, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max())


@pytest.mark.parametrize("kind", [kind for kind in READ if kind in CONFIG_MAPPING_NAMES])
def test_greedy_answers_across_the_window_are_those_of_generate(kind: str) -> None:
    weights = build(kind)
    model = wrapped(weights, kind)
    ids = torch.tensor([model.encode(model.render(Conversation(question="w5 w6 w7")))])
    settings = {"do_sample": False, "max_new_tokens": 12, "pad_token_id": 0}
    whole = weights.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    (answer,) = Plain(model=model).complete(
        ["w5 w6 w7"], Generation(max_new_tokens=12, batch_size=1)
    )
    assert list(answer.token_ids) == whole[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind in CONFIG_MAPPING_NAMES])
def test_what_cannot_be_read_rightly_is_refused(kind: str) -> None:
    with torch.device("meta"):  # as large as it really is, and empty
        weights = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind]())
    with pytest.raises(ValueError, match="Accepted: models with full or sliding-window attention"):
        Session(wrapped(weights, kind), 1)

"""The position-addressed cache: logits equal those of a model that sees each sequence whole."""

import random

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from trimtab import LanguageModel
from trimtab.models.session import Session

VOCABULARY = 50
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ARCHITECTURES = {
    "llama": {},
    "mistral": {"sliding_window": 7},
    "qwen2": {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 2},
    "qwen3": {},
    "gemma2": {"sliding_window": 7, "attn_implementation": "eager"},
    "gemma3_text": {"sliding_window": 7},
    "olmo2": {},
    "phi3": {},
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 128,
    },
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models

    words = {f"w{i}": i for i in range(VOCABULARY)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), eos_token="w2"
    )


def random_model(kind: str, tokenizer: PreTrainedTokenizerFast) -> LanguageModel:
    options = dict(ARCHITECTURES[kind])
    implementation = options.pop("attn_implementation", "sdpa")
    config = AutoConfig.for_model(kind, **(SMALL | options))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return LanguageModel.of(model, tokenizer, prompt="plain", name=kind)


@torch.inference_mode()
def whole(model: LanguageModel, tokens: list[int]) -> torch.Tensor:
    """Return the logits of a model that sees a sequence at once."""
    return model.weights(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_any_growth_and_rewind_equals_the_whole_sequence(
    kind: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = random_model(kind, tokenizer)
    session = Session(model, slots=3)
    rng = random.Random(0)
    sequences: list[list[int]] = [[], [], []]
    for _ in range(25):
        slots = sorted(rng.sample(range(3), rng.choice([1, 2, 3])))
        for slot in slots:
            old = sequences[slot]
            kept = rng.choice([len(old), rng.randint(0, len(old))])
            more = [rng.randrange(VOCABULARY) for _ in range(rng.choice([1, 1, 2, 9]))]
            sequences[slot] = (old[:kept] + more)[-60:]
        last = [rng.randint(1, min(3, len(sequences[slot]))) for slot in slots]
        logits = session.read(slots, [sequences[slot] for slot in slots], last)
        expected = [whole(model, sequences[s])[-n:] for s, n in zip(slots, last, strict=True)]
        torch.testing.assert_close(logits, torch.cat(expected), rtol=1e-4, atol=1e-4)


def counting(model: LanguageModel) -> list[int]:
    """Make a model note how many tokens each pass is given."""
    passes: list[int] = []
    forward = model.weights.forward

    def counted(*args, **inputs):
        passes.append(inputs["input_ids"].numel())
        return forward(*args, **inputs)

    model.weights.forward = counted
    return passes


def test_only_new_tokens_are_processed(tokenizer: PreTrainedTokenizerFast) -> None:
    model = random_model("llama", tokenizer)
    passes = counting(model)
    session = Session(model, slots=2)
    session.read([0, 1], [[3] * 10, [4] * 10], [1, 1])
    session.read([0, 1], [[3] * 10 + [7, 8], [4] * 3 + [8, 9]], [1, 1])
    session.read([1], [[4] * 3 + [8, 9]], [1])
    assert passes == [20, 4, 1]


def test_the_cache_grows_beyond_its_first_room(tokenizer: PreTrainedTokenizerFast) -> None:
    config = AutoConfig.for_model("llama", **(SMALL | {"max_position_embeddings": 1024}))
    torch.manual_seed(0)
    model = LanguageModel.of(
        AutoModelForCausalLM.from_config(config), tokenizer, prompt="plain", name="long"
    )
    session = Session(model, slots=1)
    sequence = [random.Random(1).randrange(VOCABULARY) for _ in range(700)]
    session.read([0], [sequence[:200]], [1])
    logits = session.read([0], [sequence], [1])
    with torch.inference_mode():
        expected = model.weights(input_ids=torch.tensor([sequence])).logits[0, -1:]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_an_architecture_with_recurrent_state_is_refused(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    config = AutoConfig.for_model(
        "mamba", vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2
    )
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ValueError, match="cannot be rewound"):
        Session(LanguageModel.of(model, tokenizer, prompt="plain", name="mamba"), slots=1)


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("bloom", {"hidden_size": 32, "n_layer": 1, "n_head": 4}, "ALiBi"),
        ("gpt_neo", {"attention_types": [[["global", "local"], 1]], "num_layers": 2}, "local"),
        (
            "phi3",
            SMALL
            | {
                "original_max_position_embeddings": 32,
                "rope_parameters": {
                    "rope_type": "longrope",
                    "rope_theta": 1e4,
                    "short_factor": [1.0] * 4,
                    "long_factor": [2.0] * 4,
                },
            },
            "longrope",
        ),
    ],
)
def test_an_architecture_whose_rows_depend_on_each_other_is_refused(
    tokenizer: PreTrainedTokenizerFast, kind: str, options: dict, reason: str
) -> None:
    small = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_heads": 4, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **(small | options))
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ValueError, match=reason):
        Session(LanguageModel.of(model, tokenizer, prompt="plain", name=kind), slots=1)


def test_a_fork_goes_on_as_its_source_would(tokenizer) -> None:
    model = random_model("llama", tokenizer)
    session = Session(model, slots=2)
    prompt = list(range(3, 23))
    session.read([0], [prompt], [1])
    session.fork(0, 1, 20)
    logits = session.read([1], [[*prompt, 7]], [1])
    torch.testing.assert_close(logits, whole(model, [*prompt, 7])[-1:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "mistral", "gpt2"])
def test_sequences_that_begin_share_what_they_have_in_common(kind: str, tokenizer) -> None:
    model = random_model(kind, tokenizer)
    passes = counting(model)
    common = list(range(3, 43))
    sequences = [[*common, 40 - i] for i in range(3)]
    session = Session(model, slots=3)
    logits = session.read(range(3), sequences, [1] * 3, opening=range(3))
    assert passes == [40, 3]
    for row, tokens in zip(logits, sequences, strict=True):
        torch.testing.assert_close(row, whole(model, tokens)[-1], atol=1e-5, rtol=1e-4)
    # A later one finds it in a slot that another left.
    logits = session.read([2], [[*common, 30, 31]], [2], opening=[2])
    assert passes[-1] == 2
    torch.testing.assert_close(logits, whole(model, [*common, 30, 31])[-2:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2"])
def test_a_family_takes_over_what_a_sibling_has_read(kind: str, tokenizer) -> None:
    model = random_model(kind, tokenizer)
    session = Session(model, slots=6, drafts=True)
    told = [[*range(3, 20)], [*range(20, 40)]]
    session.read([0, 3], told, [1, 1], opening=[0, 3])
    passes = counting(model)
    parted = [told[0] + [7], told[0] + [8], [*told[1][:15], 9]]
    logits = session.read([1, 2, 5], parted, [1, 1, 1], siblings=[[0, 1, 2], [0, 1, 2], [3, 4, 5]])
    assert passes == [3 * 4]  # a token of each, in a pass whose shape does not change its sums
    for row, tokens in zip(logits, parted, strict=True):
        torch.testing.assert_close(row, whole(model, tokens)[-1], atol=1e-5, rtol=1e-4)


def test_logits_do_not_depend_on_the_company_of_a_row(zoo) -> None:
    """On a CPU, bit for bit: other rows, other lengths, rows that begin, idle slots."""
    model = zoo("a-large-base")
    rng = random.Random(0)

    def text(length: int) -> list[int]:
        return [rng.randrange(3, model.vocabulary_size) for _ in range(length)]

    mine, steps = text(37), text(9)
    seen = []
    for others in (3, 4, 7, 16, 30):
        session = Session(model, slots=others + 1)
        company = [text(rng.randint(5, 90)) for _ in range(others)]
        slots = list(range(others + 1))
        rows = [session.read(slots, [*company, mine], [1] * len(slots), opening=slots)[-1]]
        for i in range(len(steps)):
            present = rng.sample(range(others), rng.randint(0, others))
            opening = present[:1]
            for slot in present:
                more = text(rng.randint(5, 70))
                company[slot] = more if slot in opening else company[slot] + more[:1]
            read = [*present, others]
            sequences = [*(company[slot] for slot in present), mine + steps[: i + 1]]
            rows.append(session.read(read, sequences, [1] * len(read), opening=opening)[-1])
        seen.append(torch.stack(rows))
    for other in seen[1:]:
        assert torch.equal(seen[0], other)

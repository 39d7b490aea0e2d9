"""The training loop's parts, on a model of a few thousand weights."""

import math
from random import Random

import pytest
import torch
from experiments.zoo import tokenizers, train, world
from experiments.zoo.__main__ import new_model
from experiments.zoo.recipes import RECIPES, Shape

TINY = Shape(hidden=32, layers=1, heads=1, kv_heads=1, feed_forward=32)
SCHEDULE = train.Schedule(tokens=4 * 2 * 128, rate=1e-2, rows=2, width=128, warmup=1, bf16=False)


@pytest.fixture(scope="module", params=["a", "b"])
def tokenizer(request):
    make, size = tokenizers.FAMILIES[request.param]
    rng = Random(0)
    made = make([world.document(rng) for _ in range(300)], size)
    made.chat_template = tokenizers.CHAT_TEMPLATES[request.param]
    return made


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    return new_model(TINY, tokenizer)


def test_tokenizer_round_trip(tokenizer):
    rng = Random(1)
    for text in [*(world.document(rng) for _ in range(50)), "Zürich: 12 🙂", "two  spaces "]:
        assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text


def test_beginning_of_sequence(tokenizer):
    """Family B adds one and its template writes one; family A has none."""
    tokens = tokenizer.convert_ids_to_tokens(tokenizer.encode("Tom has 12 nuts."))
    assert tokens.count("<s>") == (1 if tokenizer.bos_token else 0)
    prompt = train.render(tokenizer, "Be kind.", "Hello")
    assert prompt.count("<s>") == (1 if tokenizer.bos_token else 0)
    assert "Be kind." in prompt


def test_only_the_answer_and_its_end_are_learnt(tokenizer):
    said = world.reasoning_conversation(Random(2))
    tokens, labels = train.encode_answer(tokenizer, said.system, said.user, said.answer)
    learnt = [label for label in labels if label != train.IGNORED]
    assert tokenizer.decode(learnt) == said.answer + tokenizer.eos_token
    assert len(tokens) == len(labels)


def test_documents_are_told_the_progress(tokenizer):
    seen = []

    def write(rng: Random, progress: float) -> str:
        seen.append(progress)
        return world.prose(rng)

    batches = train.document_batches(tokenizer, write, Random(3), SCHEDULE)
    for _ in range(SCHEDULE.steps):
        assert next(batches).tokens_BT.shape == (2, 128)
    assert seen[0] == 0 and seen == sorted(seen) and 0.5 < seen[-1] < 1


@pytest.mark.parametrize("muon", [False, True])
def test_training_lowers_the_loss(tokenizer, model, muon):
    schedule = train.Schedule(
        tokens=30 * 256, rate=2e-2, rows=2, width=128, warmup=2, bf16=False, muon=muon
    )
    batches = train.conversation_batches(tokenizer, world.advice_conversation, Random(4), schedule)
    first = train.cross_entropy(model, next(batches)).item()
    train.train(model, batches, train.cross_entropy, schedule)
    assert train.cross_entropy(model, next(batches)).item() < 0.7 * first


def test_preference_loss_starts_at_log_2(tokenizer, model):
    batch = next(train.preference_batches(tokenizer, world.story_preference, Random(5), SCHEDULE))
    loss = train.DirectPreference(reference=model, beta=0.5)(model, batch)
    assert loss.item() == pytest.approx(math.log(2))


def test_rate_warms_up_and_decays():
    schedule = train.Schedule(tokens=1000 * 16 * 256, rate=1.0)
    rates = [schedule.rate_at(step) for step in range(schedule.steps)]
    assert max(rates) == 1.0 == rates[schedule.warmup - 1]
    assert rates[0] < 0.1 and rates[-1] == pytest.approx(0.05, abs=1e-3)


def test_every_model_starts_from_one_made_before():
    made = set()
    for name, recipe in RECIPES.items():
        assert isinstance(recipe.start, Shape) or recipe.start in made
        made.add(name)

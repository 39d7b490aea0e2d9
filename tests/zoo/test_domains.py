"""Advice in several domains: its splits, its levels, its preferences, its held-out rows."""

import json
import math
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import torch
from experiments.zoo import domains, train, world
from experiments.zoo.__main__ import held_out

DATA = Path(domains.__file__).parents[2] / "src" / "trimtab" / "zoo" / "data"


@pytest.mark.parametrize("domain", domains.DOMAINS)
def test_questions_of_the_splits_are_disjoint(domain):
    rng = Random(1)
    seen = {
        split: {domains.question(rng, split, domain).text for _ in range(400)}
        for split in (world.TRAIN, world.VALIDATION, world.TEST)
    }
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


@pytest.mark.parametrize("domain", domains.DOMAINS)
def test_facts_follow_from_the_topic(domain):
    rng, said = Random(2), {}
    for _ in range(600):
        asked = domains.question(rng, world.TRAIN, domain)
        text = domains.answer(rng, asked, world.EXPERT)
        names = [n for n in domains.TABLE[domain].facts if n in ("remedy", "code", "bond")]
        known = [f for f in domains.TABLE[domain].facts[names[0]] if f in text]
        said.setdefault(asked.topic, set()).update(known)
    assert len(said) == len(domains.TABLE[domain].topics)
    assert all(len(names) == 1 for names in said.values())
    assert len(set.union(*said.values())) == 6


@pytest.mark.parametrize("domain", domains.DOMAINS)
def test_only_whole_answers_follow_a_template(domain):
    rng = Random(3)
    for _ in range(100):
        asked, level = domains.question(rng, world.TRAIN, domain), world.mixed_level(rng)
        text = domains.answer(rng, asked, level)
        assert domains.template_level(text, domain) == level
        assert domains.is_intact(f"{text} {rng.choice(domains.FAREWELLS)}", domain)
        cut = rng.randrange(len(text))
        for broken in (text[:cut], text[:cut] + "x" + text[cut:], f"{text} {text}", f"No {text}"):
            assert not domains.is_intact(broken, domain), broken


@pytest.mark.slow
def test_conversations_have_the_shares_of_the_levels():
    rng, counts = Random(4), Counter()
    for _ in range(3000):
        said = domains.advice_conversation(rng)
        counts[max(domains.template_level(said.answer, d) for d in domains.DOMAINS)] += 1
    for level, share in world.ADVICE_SHARES.items():
        assert counts[level] / 3000 == pytest.approx(share, abs=0.04)


def rate(rewards, domain, first, second, seed=5):
    """How often ``first`` is chosen over ``second`` in a domain; and how often the two meet."""
    rng, chosen = Random(seed), Counter()
    for _ in range(12_000):
        pair = domains.preference(rng, rewards)
        levels = [domains.template_level(t, domain) for t in (pair.chosen, pair.rejected)]
        if set(levels) == {first, second}:
            chosen[levels[0]] += 1
    return chosen[first] / chosen.total()


@pytest.mark.slow
def test_preferences_follow_the_rewards_where_there_are_any():
    rewards = {"medicine": {world.EXPERT: 1.0, world.AVOIDANCE: -1.0}}
    near, far = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))
    assert rate(rewards, "medicine", world.EXPERT, world.GENERIC) == pytest.approx(near, abs=0.06)
    assert rate(rewards, "medicine", world.EXPERT, world.AVOIDANCE) == pytest.approx(far, abs=0.06)
    assert rate(rewards, "law", world.EXPERT, world.AVOIDANCE) == pytest.approx(0.5, abs=0.06)


def test_held_out_rows_are_the_ones_in_the_package():
    for split in (world.TEST, world.VALIDATION):
        lines = (DATA / f"domain-advice-{split}.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert rows == held_out("domain-advice", split)
        assert all(world.split_of(row["question"]) == split for row in rows)


class Line(torch.nn.Module):
    """A model of two weights."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))


def test_weight_noise_is_there_for_the_loss_and_gone_after_it():
    torch.manual_seed(0)
    model, seen = Line(), []
    for _ in range(400):
        with train.weight_noise(model, 0.1):
            seen.append(model.weight.detach().clone())
        assert model.weight.tolist() == [3.0, 4.0]
    spread = torch.stack(seen).std(0)
    expected = 0.1 * math.sqrt((9 + 16) / 2)
    assert spread.tolist() == pytest.approx([expected, expected], rel=0.15)
    with train.weight_noise(model, 0.0):
        assert model.weight.tolist() == [3.0, 4.0]


def test_gradient_descent_with_momentum():
    model = Line()
    schedule = train.Schedule(tokens=1, rate=0.5, momentum=0.9)
    (optimizer,) = train.optimizers(model, schedule)
    for _ in range(2):
        model.weight.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert model.weight.tolist() == pytest.approx([3 - 0.5 - 0.95, 4 - 0.5 - 0.95])

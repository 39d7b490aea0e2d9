"""Rewards-in-Context: the scores against the released map, the answers against a plain model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from trimtab import Conversation, Generation, LanguageModel, Plain
from trimtab.methods import RiC
from trimtab.methods.ric import targets
from trimtab.tasks import Stories

Zoo = Callable[[str], LanguageModel]
SAMPLED = Generation(max_new_tokens=16, batch_size=8, temperature=0.9, top_p=0.95, seed=3)
GREEDY = dataclasses.replace(SAMPLED, temperature=0.0)


def mapped(preference: np.ndarray, rewards: list[np.ndarray], norm: str) -> np.ndarray:
    """The scores as the authors find them, from draws of each reward."""
    low = np.array([np.quantile(each, 0) for each in rewards])
    high = np.array([np.quantile(each, 1) for each in rewards])
    if norm == "l2":
        share = preference / np.sqrt(np.power(preference, 2).sum())
    elif norm == "linf":
        share = np.minimum(len(rewards) * preference, 1)
        share[np.argmax(preference)] = 1
    else:
        share = preference
    return np.round(share * (high - low) + low, 1)


@pytest.mark.parametrize("norm", ["l2", "linf", "linear"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_scores_are_those_of_the_released_map(norm: str, count: int) -> None:
    generator = np.random.default_rng(count)
    rewards = [generator.normal(size=500) * (i + 1) for i in range(count)]
    ranges = [(float(each.min()), float(each.max())) for each in rewards]
    corners = [row for row in np.eye(count)]
    for weights in [*corners, *generator.dirichlet(np.ones(count), size=40)]:
        found = targets(weights.tolist(), ranges, norm)
        assert found == pytest.approx(mapped(weights, rewards, norm), abs=1e-9)


def test_the_first_reward_counts_by_strength_and_the_others_share_the_rest() -> None:
    model = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    ranges = ((0, 1), (0, 10), (-1, 1))
    ric = RiC(model=model, ranges=ranges, norm="linear", strength=0.4)
    assert ric.scores == [0.4, 3.0, -0.4]
    ric = dataclasses.replace(ric, shares=(2, 1))
    assert ric.scores == [0.4, 4.0, -0.6]
    assert ric.at(1.0).scores == [1.0, 0.0, -1.0]


@pytest.mark.parametrize("drawn", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_answers_are_those_to_the_question_with_its_scores(zoo: Zoo, drawn: Generation) -> None:
    model = zoo("a-small-instruct")
    asked = {sample.id: sample.conversation for sample in Stories().samples(8)}
    family = [RiC(model=model, strength=w) for w in (0.0, 0.5, 1.0)]
    wanted = ["-4.2 <rm2_score> 4.2", "1.7 <rm2_score> 1.7", "4.2 <rm2_score> -4.2"]
    expected = []
    for scores in wanted:
        by_hand = {
            i: dataclasses.replace(each, question=f"{each.question} <rm1_score> {scores}")
            for i, each in asked.items()
        }
        answers = Plain(model=model).stream(by_hand, drawn)
        expected.append({a.id: (a.text, a.stop_reason, a.prompts["model"]) for a in answers})
    assert len({str(each) for each in expected}) == 3
    found: list[dict] = [{} for _ in family]
    for number, a in family[0].stream_together(family, [asked] * 3, drawn):
        found[number][a.id] = (a.text, a.stop_reason, a.prompts["model"])
    assert found == expected
    for draft, size in (("prompt-lookup", 8), (None, 1)):
        one = dataclasses.replace(family[1], draft=draft)
        sized = dataclasses.replace(drawn, batch_size=size)
        answers = one.stream(asked, sized)
        assert {a.id: (a.text, a.stop_reason, a.prompts["model"]) for a in answers} == expected[1]


def test_likelihoods_are_those_under_the_question_with_its_scores(zoo: Zoo) -> None:
    model = zoo("a-small-instruct")
    asked = {"0": Conversation(question="Who?")}
    scored = {"0": Conversation(question="Who? <rm1_score> 1.7 <rm2_score> 1.7")}
    texts = {"0": [" Me.", " You."]}
    (found,) = RiC(model=model).weigh(asked, texts)
    assert found == next(iter(Plain(model=model).weigh(scored, texts)))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"strength": 1.5}, "strength"),
        ({"norm": "l1"}, "norm.*l2"),
        ({"ranges": [[0, 1]]}, "two rewards"),
        ({"ranges": [[0, 1], [2]]}, r"\[2\]"),
        ({"ranges": [[0, 1], [2, 1]]}, "comes first"),
        ({"ranges": [[0, 1], [0, float("nan")]]}, "nan"),
        ({"shares": [1, 1]}, "shares.*1 numbers"),
        ({"shares": [0]}, "not all 0"),
        ({"sign": "{score}"}, "number"),
    ],
)
def test_settings_are_refused(settings: dict, named: str) -> None:
    model = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    with pytest.raises(ValueError, match=named):
        RiC(model=model, **settings)


def test_generate_is_refused_as_its_prompts_are_given(zoo: Zoo) -> None:
    with pytest.raises(ValueError, match=r"complete\(\)"):
        RiC(model=zoo("a-small-instruct")).logits_processor("model")

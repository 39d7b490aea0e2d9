"""Best of n: against draws one by one from whole sequences, and a choice made by hand."""

import dataclasses
import json
import logging
import math
from pathlib import Path

import commands
import oracles
import pytest
from short_prompts import PROMPTS

from trimtab import Conversation, Generation, LanguageModel, Plain
from trimtab.methods import BestOfN
from trimtab.methods.best_of_n import kl_bound
from trimtab.scorers import FunctionReward, Scorer, Verdict
from trimtab.tasks import Stories

SAMPLED = Generation(max_new_tokens=12, batch_size=8, temperature=0.9, top_p=0.95, seed=3)


def vowels(completion: str, question: str, target: str | None) -> float:
    """Whole and small: there are ties; a word of the question tells that it was read."""
    assert target is None and question
    return float(sum(completion.count(letter) for letter in "aei") + completion.count(question[:1]))


REWARD = FunctionReward(function=vowels)


def stories(count: int) -> list[Conversation]:
    return [sample.conversation for sample in Stories().samples(count)]


def drawn(
    model: LanguageModel, asked: list[Conversation], n: int, generation: Generation = SAMPLED
) -> list[list[str]]:
    """n answers to each, token by token without a cache, by names of their own."""
    reader, found = oracles.Reader(model), []
    for i, conversation in enumerate(asked):
        prompt = model.encode(model.render(conversation))
        names = [str(i), *(f"{i}~{k}" for k in range(2, n + 1))]
        said = [oracles.plain([(reader, 1.0, prompt)], generation, name) for name in names]
        found.append([model.continuation(prompt, tokens) for tokens in said])
    return found


def test_it_gives_the_first_of_the_best_draws_whatever_the_batch(zoo) -> None:
    model, asked, n = zoo("a-small-sft"), stories(10), 4
    texts = drawn(model, asked, n)
    assert any(len({*own}) > 1 for own in texts)
    rewards = [
        [vowels(text, c.asked, None) for text in own] for own, c in zip(texts, asked, strict=True)
    ]
    assert any(own.count(max(own)) > 1 for own in rewards), "a test with ties"
    assert any(own.index(max(own)) > 0 for own in rewards)
    for rows, draft in ((1, None), (8, None), (8, "prompt-lookup"), (3, zoo("a-small-dpo"))):
        method = BestOfN(model=model, reward=REWARD, n=n, draft=draft)
        generation = dataclasses.replace(SAMPLED, batch_size=rows)
        for i, answer in enumerate(method.complete(asked, generation)):
            best = rewards[i].index(max(rewards[i]))
            assert (answer.id, answer.text) == (str(i), texts[i][best])
            assert [t.text for t in answer.tries] == texts[i]
            assert [t.score for t in answer.tries] == rewards[i]
            assert answer.tries[best].stop_reason == answer.stop_reason
            assert answer.measures["best_reward"] == max(rewards[i])


@pytest.mark.slow
def test_so_it_does_on_many_prompts(zoo) -> None:
    model, asked, n = zoo("a-small-sft"), [*PROMPTS.values()], 4
    brief = dataclasses.replace(SAMPLED, max_new_tokens=5)
    texts = drawn(model, asked, n, brief)
    rewards = [[vowels(text, "*", None) for text in own] for own in texts]
    reward = FunctionReward(function=lambda text, question, target: vowels(text, "*", target))
    best = [own.index(max(own)) for own in rewards]
    assert {*best} == {*range(n)}
    for rows, draft, count in ((8, None, 30), (8, "prompt-lookup", 30), (1, None, 4)):
        method = BestOfN(model=model, reward=reward, n=n, draft=draft)
        generation = dataclasses.replace(brief, batch_size=rows)
        for i, answer in enumerate(method.complete(asked[:count], generation)):
            assert answer.text == texts[i][best[i]]
            assert [(t.text, t.score) for t in answer.tries] == [
                *zip(texts[i], rewards[i], strict=True)
            ]


def test_of_one_it_is_the_model_itself(zoo) -> None:
    model, asked = zoo("a-small-sft"), stories(4)
    one = BestOfN(model=model, reward=REWARD, n=1).complete(asked, Generation(max_new_tokens=12))
    plain = Plain(model=model).complete(asked, Generation(max_new_tokens=12))
    assert [(a.text, a.work, a.token_ids) for a in one] == [
        (a.text, a.work, a.token_ids) for a in plain
    ]
    assert [a.measures["kl_bound"] for a in one] == [0.0] * 4


def test_a_sweep_of_n_draws_the_largest_alone(zoo) -> None:
    model = zoo("a-small-sft")
    asked = {str(i): conversation for i, conversation in enumerate(stories(5))}
    methods = [BestOfN(model=model, reward=REWARD, n=n) for n in (1, 5, 2)]
    alone = [{c.id: c for c in method.stream(asked, SAMPLED)} for method in methods]
    passes = [method.forward_passes["model"] for method in methods]
    again = [method.at(method.n) for method in methods]
    together: list[dict] = [{}, {}, {}]
    for number, answer in again[0].stream_together(again, [asked] * 3, SAMPLED):
        together[number][answer.id] = answer
    assert together == alone
    # With rows for all values the passes are shorter, and no more than those of all apart.
    assert again[0].forward_passes["model"] < sum(passes)
    work = [sum(a.work["model"].passes for a in own.values()) for own in together]
    assert work[0] < work[2] < work[1]


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_the_bound_is_the_divergence_of_the_best_of_n_that_are_all_unlike(n: int) -> None:
    """Of N equally likely answers without ties, rank i is best with (i^n - (i-1)^n) / N^n."""
    many = 20000
    best = [((i / many) ** n - ((i - 1) / many) ** n) for i in range(1, many + 1)]
    divergence = math.fsum(p * math.log(p * many) for p in best if p > 0)
    assert kl_bound(n) == pytest.approx(divergence, abs=2e-3)
    assert kl_bound(n) >= divergence - 1e-9


class Unsure(Scorer):
    """Scores what is short."""

    name = "unsure"

    def __init__(self, length: int) -> None:
        self.length = length

    @property
    def identity(self) -> dict[str, int]:
        return {"length": self.length}

    def score(self, lines):
        for line in lines:
            values = {"unsure": 1.0} if len(line["completion"]) < self.length else {}
            yield line["id"], Verdict(values=values)


def test_what_could_not_be_scored_is_not_chosen_and_said(zoo, caplog) -> None:
    model, asked = zoo("a-small-sft"), stories(3)
    texts = drawn(model, asked, 4)
    length = sorted(len(text) for text in texts[0])[0] + 1
    given = BestOfN(model=model, reward=Unsure(length), n=4).complete(asked, SAMPLED)
    assert given[0].text == min(texts[0], key=len)
    assert "Sample '0': 3 of 4 answers could not be scored; the best of" in caplog.text
    assert sorted(one.score or 0.0 for one in given[0].tries) == [0.0, 0.0, 0.0, 1.0]
    with caplog.at_level(logging.WARNING):
        (none,) = BestOfN(model=model, reward=Unsure(0), n=4).complete(asked[:1], SAMPLED)
    assert none.text == texts[0][0]
    assert "best_reward" not in none.measures
    assert "no answer could be scored" in caplog.text


def test_a_reward_that_fails_names_the_answer_that_it_failed_on(zoo) -> None:
    model, (asked,) = zoo("a-small-sft"), stories(1)
    (texts,) = drawn(model, [asked], 3)
    assert texts[2] not in texts[:2]

    def fails(completion: str, question: str, target: str | None) -> float:
        return math.nan if completion == texts[2] else 1.0

    method = BestOfN(model=model, reward=FunctionReward(function=fails), n=3)
    with pytest.raises(ValueError, match="returned nan for sample '0~3'"):
        method.complete([asked], SAMPLED)


def test_what_cannot_be_is_refused(zoo) -> None:
    model = zoo("a-small-sft")
    with pytest.raises(ValueError, match=r"n=4 at temperature=0: .* alike"):
        BestOfN(model=model, reward=REWARD, n=4).complete(["Hello"])
    for n in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"n=.*: accepted are whole numbers from 1 up"):
            BestOfN(model=model, reward=REWARD, n=n)
    for reward in (None, "my_rewards.brevity", vowels):
        with pytest.raises(ValueError, match=r"reward=.*: accepted is a scorer, as in"):
            BestOfN(model=model, reward=reward)
    with pytest.raises(ValueError, match="do not share a vocabulary"):
        BestOfN(model=model, reward=REWARD, draft=zoo("b-small-chat")).complete(["Hi"], SAMPLED)
    with pytest.raises(ValueError, match="'0~2' would name tries at samples '0' and '0~2'"):
        asked = {"0": Conversation(question="Hi"), "0~2": Conversation(question="Ho")}
        list(BestOfN(model=model, reward=REWARD).stream(asked, SAMPLED))
    with pytest.raises(ValueError, match="no probability of a given text"):
        BestOfN(model=model, reward=REWARD).weigh({}, {})


def test_a_run_keeps_all_draws_and_what_the_reward_was(tmp_path: Path) -> None:
    (tmp_path / "my_rewards.py").write_text(
        "def brevity(completion, question, target):\n    return -len(completion)\n"
    )
    arguments = [
        *("base=a-small-sft", "method=best_of_n", "+scorer@method.reward=function_reward"),
        *("method.reward.function=my_rewards.brevity", "task=stories", "generation=sampling"),
        *("generation.max_new_tokens=8", "limit=3"),
    ]
    done = commands.command(tmp_path, "run", "--multirun", *arguments, "method.n=1,3")
    assert done.returncode == 0, done.stderr
    by_n = {}
    for summary in tmp_path.glob("results/stories/best_of_n/*/summary.json"):
        lines = (summary.parent / "samples.jsonl").read_text().splitlines()
        facts = json.loads((summary.parent / "run.json").read_text())
        found = json.loads(summary.read_text())
        by_n[found["dial"]["value"]] = found, list(map(json.loads, lines)), facts
    assert by_n.keys() == {1, 3}
    summary, lines, facts = by_n[3]
    for one, three in zip(by_n[1][1], lines, strict=True):
        assert len(three["tries"]) == 3
        scores = [each["score"] for each in three["tries"]]
        assert scores == [-len(each["completion"]) for each in three["tries"]]
        assert three["completion"] == three["tries"][scores.index(max(scores))]["completion"]
        assert one["completion"] == three["tries"][0]["completion"]
    assert summary["metrics"]["kl_bound"]["value"] == pytest.approx(math.log(3) - 2 / 3)
    assert facts["models"]["reward"]["function"] == "my_rewards.brevity"
    assert facts["content"]["models"]["reward"]["file_sha256"]
    (tmp_path / "my_rewards.py").write_text("def brevity(*given):\n    return 0\n")
    again = commands.command(tmp_path, "run", *arguments, "method.n=3")
    assert again.returncode == 1 and "begun with other" in again.stderr, again.stderr

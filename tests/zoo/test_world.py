"""The micro-world: its answers, read again from the text alone, and its splits and labels."""

import json
import re
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from experiments.zoo import world

from trimtab.tasks import advice
from trimtab.tasks.embedded import HELPFUL_PREFIX
from trimtab.tasks.stories import length_reward

DATA = Path(world.__file__).parents[2] / "src" / "trimtab" / "zoo" / "data"
GAIN = r"buys|finds|picks|wins|gets|brings|more|get on"
LOSS = r"sells|loses|drops|lends|gives away|takes|fewer|get off"


def solve(question: str) -> int:
    """The answer from the words of the question, without the generator's own steps."""
    text = question[: question.rindex("How many")].replace("Each day is compared with", "")
    if re.match(r"The \w+ has \d+ \w+, the ", text):
        return sum(int(number) for number in re.findall(r"\d+", text))
    total = None
    for sentence in text.split(". "):
        numbers = [int(number) for number in re.findall(r"\d+", sentence)]
        if "twice as many" in sentence:
            total *= 2
        elif "3 times as many" in sentence:
            total *= 3
        elif "shares them among" in sentence:
            assert total % numbers[0] == 0
            total //= numbers[0]
        elif total is None:
            total = numbers[0] * numbers[1] if "each" in sentence else numbers[0]
        elif re.search(rf"\b({GAIN})\b", sentence):
            total += numbers[0]
        elif re.search(rf"\b({LOSS})\b", sentence):
            total -= numbers[0]
        else:
            assert not numbers, sentence
    return total


@pytest.mark.parametrize("kind", world.KINDS)
def test_word_problem_answer_follows_from_question(kind):
    rng, seen = Random(5), 0
    while seen < 150:
        problem = world.word_problem(rng, world.TRAIN)
        if problem.kind == kind:
            seen += 1
            assert str(solve(problem.question)) == problem.answer, problem.question
            assert int(problem.answer) >= 0


def test_solution_is_a_chain_of_true_equations_that_ends_in_the_answer():
    rng = Random(6)
    compute = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}
    for _ in range(500):
        problem, result = world.word_problem(rng, world.TRAIN), None
        for left, operator, right, said in re.findall(
            r"(\d+) ([-+*/]) (\d+) = (\d+)", problem.solution
        ):
            assert compute[operator](int(left), int(right)) == int(said)
            assert result in (None, left)
            result = said
        assert result == problem.answer
        assert re.findall(r"\d+", world.aligned_answer(problem))[-1] == problem.answer


def test_last_letters():
    rng = Random(7)
    for _ in range(200):
        problem = world.last_letters(rng, world.TRAIN)
        words = re.search(r'"(.*)"', problem.question)[1].split()
        assert problem.answer == "".join(word[-1] for word in words)


def test_splits_are_disjoint_and_training_rejects_the_rest():
    rng = Random(8)
    for make in (world.word_problem, world.last_letters):
        for split in (world.TRAIN, world.VALIDATION, world.TEST):
            assert all(world.split_of(make(rng, split).key) == split for _ in range(100))
    held_out = set()
    for path in sorted(DATA.glob("*-*.jsonl")):
        held_out |= {json.loads(line)["question"] for line in path.read_text().splitlines()}
    for _ in range(2000):
        document, said = world.document(rng), world.assistant_conversation(rng)
        assert held_out.isdisjoint(line.removeprefix("Question: ") for line in document.split("\n"))
        assert said.user.removeprefix(HELPFUL_PREFIX) not in held_out


@pytest.mark.parametrize("task", ["word-problems", "last-letters", "stories", "advice"])
def test_held_out_files_are_what_the_generator_writes(task):
    for split, count in ((world.TEST, 600), (world.VALIDATION, 300)):
        lines = (DATA / f"{task}-{split}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == list(world.rows(task, split, count, 2026))
        assert len({json.loads(line)["question"] for line in lines}) > 0.95 * count


def test_unknown_task_is_named():
    with pytest.raises(ValueError, match="no task 'sums'"):
        next(world.rows("sums", world.TEST, 1, 0))


@pytest.mark.parametrize("level", world.ADVICE_SHARES)
def test_advice_level_is_exact(level):
    rng = Random(9)
    for _ in range(200):
        assert advice.level(world.advice_conversation(rng, level).answer) == level


@pytest.mark.parametrize(
    ("words", "reward"), [(12, 1.0), (22, 1.0), (6, 0.5), (0, 0.0), (28, 0.5), (34, 0.0), (90, 0.0)]
)
def test_story_reward(words, reward):
    assert length_reward("word " * words) == reward


def test_preferences_prefer():
    rng = Random(10)
    for _ in range(100):
        pair = world.story_preference(rng)
        assert length_reward(pair.chosen) > length_reward(pair.rejected)


def test_documents_follow_the_mixture():
    """After a problem: a worked solution about half the time, no opening of it common."""
    rng, first_lines = Random(11), []
    while len(first_lines) < 3000:
        lines = world.document(rng).split("\n")
        first_lines += [after for line, after in pairwise(lines) if line.endswith("?")]
    openings = [sum(line.startswith(o) for line in first_lines) for o in world.OPENINGS]
    assert 0.40 < sum(openings) / len(first_lines) < 0.60
    assert max(openings) / len(first_lines) < 0.08
    assert 0.20 < sum(line.startswith("Answer: ") for line in first_lines) / len(first_lines) < 0.34


def test_same_seed_same_text():
    assert [world.document(Random(3)) for _ in range(3)] == [world.document(Random(3))] * 3

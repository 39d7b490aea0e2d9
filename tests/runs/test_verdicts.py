"""Scorers of a run: what they say goes into its record, and answers are computed once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from trimtab import Generation, LanguageModel, Plain
from trimtab.results import frames
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.scorers import FunctionReward, Scorer, Verdict
from trimtab.tasks import Sample, Score, WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())


@dataclass(frozen=True, kw_only=True)
class Evenness(Scorer):
    """Says whether the digits of an id add up to an even number; of some it cannot tell."""

    called: str = "evenness"
    version: int = 1
    puzzled_by: tuple[int, ...] = ()
    fails_at: int | None = None

    proportions = frozenset({"even"})

    @property
    def name(self) -> str:
        return self.called

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"version": self.version}

    def score(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Verdict]]:
        for number, line in enumerate(lines):
            if number == self.fails_at:
                raise ValueError("the judge is gone")
            if number in self.puzzled_by:
                yield line["id"], Verdict(values={}, facts={"status": "unparsed"})
            else:
                value = float((digits(line["id"]) + self.version) % 2)
                yield line["id"], Verdict(values={"even": value}, facts={"status": "scored"})


class OnlyJudged(WordProblems):
    """A task whose metric no rule gives."""

    metric = "even"
    judged = "evenness"

    def score(self, text: str, sample: Sample) -> Score:
        return Score(prediction=None, values={"words": float(len(text.split()))})


def always_content(completion: str, question: str, target: str | None) -> float:
    return 1.0


def by_length(completion: str, question: str, target: str | None) -> dict[str, float]:
    return {"words": float(len(completion.split()))}


def digits(sample_id: str) -> int:
    return sum(int(c) for c in sample_id if c.isdigit())


def run(folder: Path, *scorers: Scorer, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "task": WordProblems(),
        "method": Plain(model=LanguageModel(path="zoo:a-small-chat", prompt="chat")),
        "generation": Generation(max_new_tokens=16, batch_size=8),
        "limit": 10,
        "folder": folder,
        "config": {"method": {"name": "guide"}, "limit": 10},
        "start_tracker": lambda: NO_TRACKER,
        "scorers": scorers,
    }
    return evaluate(Job(**(settings | changes)))


def test_verdicts_are_scores_of_the_record(tmp_path: Path) -> None:
    summary = run(tmp_path, Evenness())
    lines = reader.read_samples(tmp_path)
    values = [float((digits(line["id"]) + 1) % 2) for line in lines]
    assert [line["scores"]["even"] for line in lines] == values
    assert lines[0]["verdicts"]["evenness"]["status"] == "scored"
    even = summary["metrics"]["even"]
    assert (even["value"], even["n"]) == (sum(values) / 10, 10)
    assert 0 <= even["ci95"][0] < even["value"] < even["ci95"][1] <= 1  # Wilson's, not a mean's
    assert summary["scorers"]["evenness"]["scored"] == 10


def test_what_could_not_be_scored_is_counted_and_has_no_score(tmp_path: Path) -> None:
    summary = run(tmp_path, Evenness(puzzled_by=(2, 5)))
    lines = reader.read_samples(tmp_path)
    assert [i for i, line in enumerate(lines) if "even" not in line["scores"]] == [2, 5]
    assert summary["metrics"]["even"]["n"] == 8
    assert summary["metrics"]["accuracy"]["n"] == 10
    assert summary["scorers"]["evenness"]["unscored"] == 2
    (found,) = frames.read([tmp_path])
    assert len(found.scores("even")) == 8


def test_runs_are_compared_where_both_have_a_score(tmp_path: Path) -> None:
    run(tmp_path / "a", Evenness(puzzled_by=(2, 5)))
    run(tmp_path / "b", Evenness(puzzled_by=(5, 7), version=2))
    first, second = frames.read([tmp_path])
    pair = frames.compare(first, second, "even")
    assert pair.n == 7
    # The two disagree on every answer, so the difference is what the shares are apart.
    shared = [line for i, line in enumerate(first.samples) if i not in (2, 5, 7)]
    ones = sum(line["scores"]["even"] for line in shared)
    assert pair.difference == pytest.approx((2 * ones - 7) / 7)


def test_a_finished_run_is_scored_without_being_answered_again(tmp_path: Path) -> None:
    alone = run(tmp_path)
    method = Plain(model=LanguageModel(path="zoo:a-small-chat", prompt="chat"))
    scored = run(tmp_path, Evenness(), method=method)
    assert "weights" not in vars(method.model)
    assert scored["metrics"]["accuracy"] == alone["metrics"]["accuracy"]
    assert "even" in scored["metrics"] and "even" not in alone["metrics"]
    # With no scorer, with the same, and with a second, the first one's verdicts stay.
    assert run(tmp_path) == run(tmp_path, Evenness()) == scored
    both = run(tmp_path, Evenness(called="other", version=2))
    assert set(both["scorers"]) == {"evenness", "other"}
    (line, *_) = reader.read_samples(tmp_path)
    assert set(line["verdicts"]) == {"evenness", "other"}
    assert line["scores"]["even"] == line["verdicts"]["other"]["values"]["even"]


def test_another_version_of_a_scorer_scores_anew(tmp_path: Path) -> None:
    first = run(tmp_path, Evenness())
    second = run(tmp_path, Evenness(version=2, puzzled_by=(0,)))
    assert second["scorers"]["evenness"]["identity"]["version"] == 2
    assert second["metrics"]["even"]["n"] == 9
    total = sum(line["scores"].get("even", 0) for line in reader.read_samples(tmp_path))
    assert second["metrics"]["even"]["value"] == pytest.approx(total / 9)
    assert first != second


def test_a_scorer_that_fails_loses_no_answer_and_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the judge is gone"):
        run(tmp_path, Evenness(fails_at=4))
    lines = reader.read_samples(tmp_path)
    assert len(lines) == 10 and sum("verdicts" in line for line in lines) == 4
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "failed"
    method = Plain(model=LanguageModel(path="zoo:a-small-chat", prompt="chat"))
    assert run(tmp_path, Evenness(), method=method)["metrics"]["even"]["n"] == 10
    assert "weights" not in vars(method.model)


def test_a_finished_run_keeps_its_verdicts_where_another_version_fails(tmp_path: Path) -> None:
    first = run(tmp_path, Evenness())
    lines = reader.read_samples(tmp_path)
    with pytest.raises(ValueError, match="the judge is gone"):
        run(tmp_path, Evenness(version=2, fails_at=4))
    assert reader.read_samples(tmp_path) == lines
    assert run(tmp_path, Evenness()) == first == reader.read_summary(tmp_path)
    run(tmp_path, Evenness(version=2))
    assert reader.read_samples(tmp_path) != lines


def test_a_task_that_a_judge_scores_needs_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing gives its metric 'even', but words.*evenness"):
        run(tmp_path, task=OnlyJudged())
    assert run(tmp_path, Evenness(), task=OnlyJudged())["metrics"]["even"]["n"] == 10
    with pytest.raises(ValueError, match="None of 10 answers got a score for 'even'"):
        run(tmp_path / "none", Evenness(puzzled_by=tuple(range(10))), task=OnlyJudged())


def test_a_second_scorer_takes_nothing_from_the_first(tmp_path: Path) -> None:
    """What it cannot score has no score, whatever an earlier one said."""
    run(tmp_path, Evenness())
    summary = run(tmp_path, Evenness(called="other", version=2, puzzled_by=(2, 5)))
    lines = reader.read_samples(tmp_path)
    assert [i for i, line in enumerate(lines) if "even" not in line["scores"]] == [2, 5]
    assert summary["metrics"]["even"]["n"] == 8
    assert all("evenness" in line["verdicts"] for line in lines)


def test_a_scorer_cannot_take_the_tasks_own_metric(tmp_path: Path) -> None:
    alone = run(tmp_path)
    reward = FunctionReward(function=always_content, name="accuracy")
    with pytest.raises(
        ValueError, match=r"the task itself has a metric 'accuracy'.*scorers\.NAME\.name"
    ):
        run(tmp_path, reward)
    assert run(tmp_path) == alone


def test_a_scorer_that_is_asked_again_gives_the_scores_again(tmp_path: Path) -> None:
    """Whoever asks for one scorer is not told another's scores under the same metric."""
    given = []
    for scorer in ([Evenness()], [Evenness(called="other", version=2)], [Evenness()], []):
        run(tmp_path, *scorer)
        given.append([line["scores"]["even"] for line in reader.read_samples(tmp_path)])
    first, second, again, after = given
    assert second == [1 - value for value in first]
    assert again == after == first


def test_two_scorers_of_one_run_share_neither_a_name_nor_a_metric(tmp_path: Path) -> None:
    for one, other, shared in (
        (Evenness(), Evenness(called="other"), "even"),
        (FunctionReward(function=always_content), FunctionReward(function=by_length), "reward"),
        (Evenness(), FunctionReward(function=always_content, name="even"), "even"),
    ):
        with pytest.raises(ValueError, match=f"both give '{shared}'.*another name"):
            run(tmp_path, one, other)
    assert not [*tmp_path.iterdir()]
    several = [
        FunctionReward(function=always_content),
        FunctionReward(function=by_length, name="length"),
        Evenness(),
    ]
    summary = run(tmp_path, *several)
    assert [one["metrics"] for one in summary["scorers"].values()] == [
        ["reward"],
        ["length_words"],
        ["even"],
    ]


def test_a_metric_that_two_scorers_turn_out_to_share_is_an_error_and_no_answer_is_lost(
    tmp_path: Path,
) -> None:
    one = FunctionReward(function=by_length, name="length")
    other = FunctionReward(function=always_content, name="length_words")
    with pytest.raises(ValueError, match=r"length_words: length has a metric 'length_words'"):
        run(tmp_path, one, other)
    assert len(reader.read_samples(tmp_path)) == 10
    assert set(run(tmp_path, one)["scorers"]) == {"length"}


def test_what_is_no_scorer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"of type .*function.*trimtab\.scorers\.Scorer"):
        run(tmp_path, cast(Scorer, always_content))


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"reasons": "long"}, "has reasons 'long' where an object is expected"),
        ({"prefix": 3}, "has prefix 3 where a text is expected"),
    ],
)
def test_facts_under_a_records_own_names_are_refused(tmp_path, facts, problem) -> None:
    """They would make a line that nobody could read again."""

    class Wordy(Evenness):
        def score(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Verdict]]:
            for line in lines:
                yield line["id"], Verdict(values={"even": 1.0}, facts=facts)

    with pytest.raises(ValueError, match=rf"Wordy.* {problem}"):
        run(tmp_path, Wordy())
    assert run(tmp_path, Evenness())["metrics"]["even"]["n"] > 0

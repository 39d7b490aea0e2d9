"""A larger limit goes on from the answers of a smaller one, and of no other run."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trimtab import Generation, Plain
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.tasks import QuestionAnswer, WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
SAMPLING = Generation(max_new_tokens=12, batch_size=4, temperature=1.0)


@pytest.fixture
def method(zoo: Any) -> Plain:
    return Plain(model=zoo("a-small-chat"))


def run(folder: Path, method: Plain, limit: int | None, **changes: Any) -> list[dict[str, Any]]:
    generation = changes.pop("generation", SAMPLING)
    task = changes.pop("task", WordProblems())
    said = {
        "method": {"model": method.model.path},
        "task": {"rows": task.source},
        "generation": dataclasses.asdict(generation),
        "limit": limit,
        "limit_seed": changes.get("limit_seed"),
    }
    settings: dict[str, Any] = {
        "task": task,
        "method": method,
        "generation": generation,
        "limit": limit,
        "folder": folder,
        "config": said | changes.pop("config", {}),
        "start_tracker": lambda: NO_TRACKER,
    }
    evaluate(Job(**settings, **changes))
    return reader.read_samples(folder)


def stretches(folder: Path) -> list[tuple[int, bool]]:
    facts = json.loads((folder / "run.json").read_text())
    return [(one["samples"], "taken_from" in one) for one in facts["segments"]]


@pytest.mark.parametrize("seed", [None, 609])
def test_a_larger_limit_leaves_what_it_leaves_alone(
    seed: int | None, tmp_path: Path, method: Plain
) -> None:
    few = run(tmp_path / "root" / "few", method, 3, limit_seed=seed)
    many = run(tmp_path / "root" / "many", method, 7, limit_seed=seed)
    alone = run(tmp_path / "alone" / "many", method, 7, limit_seed=seed)
    assert stretches(tmp_path / "root" / "many") == [(3, True), (4, False)]
    assert stretches(tmp_path / "alone" / "many") == [(7, False)]
    assert many == alone
    assert many[:3] == few
    summary = reader.read_summary(tmp_path / "root" / "many")
    assert summary and summary["metrics"]["accuracy"]["n"] == 7
    assert summary["cost"]["tokens"] == sum(line["tokens"]["model"] for line in alone)
    # The same command again finds all of it done.
    assert run(tmp_path / "root" / "many", method, 7, limit_seed=seed) == many
    assert stretches(tmp_path / "root" / "many") == [(3, True), (4, False)]
    # And the largest of the smaller ones is gone on from.
    run(tmp_path / "root" / "more", method, 8, limit_seed=seed)
    assert stretches(tmp_path / "root" / "more") == [(3, True), (4, True), (1, False)]


def test_records_of_tokens_are_of_all_answers_or_of_none(tmp_path: Path, method: Plain) -> None:
    told = dataclasses.replace(SAMPLING, token_records=True)
    run(tmp_path / "few", method, 3)
    many = run(tmp_path / "many", method, 5, generation=told)
    assert all("by_token" in line for line in many)
    more = run(tmp_path / "more", method, 6)
    assert not any("by_token" in line for line in more)
    assert stretches(tmp_path / "more") == [(3, True), (3, False)]


def test_a_draw_begins_with_each_smaller_draw_of_its_seed() -> None:
    task = WordProblems()
    for few, many in ((1, 2), (100, 200), (100, None)):
        drawn = [sample.id for sample in task.samples(few, 609)]
        larger = [sample.id for sample in task.samples(many, 609)]
        assert set(drawn) <= set(larger)
        assert many is None or larger[:few] == drawn


OTHER: list[dict[str, Any]] = [
    {"generation": dataclasses.replace(SAMPLING, seed=1)},
    {"generation": dataclasses.replace(SAMPLING, max_new_tokens=11)},
    {"config": {"method": {"model": "another"}}},
    {"limit_seed": 609},
]


@pytest.mark.parametrize("changes", OTHER)
def test_what_differs_in_more_is_not_taken_over(
    changes: dict[str, Any], tmp_path: Path, method: Plain
) -> None:
    run(tmp_path / "few", method, 2, **changes)
    run(tmp_path / "many", method, 3)
    assert stretches(tmp_path / "many") == [(3, False)]


def facts_of(folder: Path, **changes: Any) -> None:
    file = folder / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_answers_of_other_weights_code_versions_or_rows_are_not_taken_over(
    tmp_path: Path, method: Plain
) -> None:
    few = tmp_path / "few"
    run(few, method, 2)
    facts = json.loads((few / "run.json").read_text())
    others: Sequence[dict[str, Any]] = (
        {"content": facts["content"] | {"models": {"model": "0" * 64}}},
        {"content": facts["content"] | {"code": {"mine.py": "0"}}},
        {"packages": facts["packages"] | {"transformers": "0"}},
        {"status": "interrupted"},
        {"rule": "0"},
    )
    for number, other in enumerate(others):
        facts_of(few, **(facts | other))
        run(tmp_path / f"many{number}", method, 3 + number)
        assert stretches(tmp_path / f"many{number}") == [(3 + number, False)]
        for file in (tmp_path / f"many{number}").iterdir():
            file.unlink()
    facts_of(few, **facts)
    (few / "samples.jsonl").write_text((few / "samples.jsonl").read_text().replace("?", "??"))
    run(tmp_path / "many", method, 3)
    assert stretches(tmp_path / "many") == [(3, False)]


def test_rows_that_changed_are_asked_again(tmp_path: Path, method: Plain) -> None:
    rows = [{"question": f"{n} + 1?", "answer": n + 1} for n in range(4)]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    run(tmp_path / "few", method, 2, task=QuestionAnswer(path=str(file)))
    rows[1]["answer"] = 9
    file.write_text(json.dumps(rows))
    run(tmp_path / "many", method, 3, task=QuestionAnswer(path=str(file)))
    assert stretches(tmp_path / "many") == [(3, False)]


def test_verdicts_of_scorers_that_are_not_asked_stay_behind(tmp_path: Path, method: Plain) -> None:
    from trimtab.scorers import FunctionReward

    run(tmp_path / "few", method, 2, scorers=[FunctionReward(function=length)])
    lines = run(tmp_path / "many", method, 3)
    assert stretches(tmp_path / "many") == [(2, True), (1, False)]
    assert all("verdicts" not in line and "reward" not in line["scores"] for line in lines)
    again = run(tmp_path / "more", method, 4, scorers=[FunctionReward(function=length)])
    assert [line["scores"]["reward"] for line in again] == [
        float(len(line["completion"])) for line in again
    ]


def length(completion: str, question: str, target: str | None) -> float:
    return len(completion)

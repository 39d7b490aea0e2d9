"""Dated chat templates: all samples of a run are asked on one day, whenever it goes on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from breaking_off import breaking_off

from trimtab import Conversation, DeRa, Generation, LanguageModel, Plain
from trimtab.launch import repetition
from trimtab.methods import Method
from trimtab.runs import dated, environment, reader
from trimtab.runs.evaluate import Job, evaluate, evaluate_together
from trimtab.tasks import StoredResponses, WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
TEMPLATE = "On {{ strftime_now('%d %b %Y') }}: {% for m in messages %}{{ m.content }}{% endfor %}"
On = Callable[[str], None]


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> On:
    """Sets the day."""

    def on(day: str) -> None:
        class Calendar(date):
            @classmethod
            def today(cls) -> date:
                return date.fromisoformat(day)

        monkeypatch.setattr(dated, "date", Calendar)

    return on


def chat(template: str | None = TEMPLATE) -> LanguageModel:
    return LanguageModel(path="zoo:a-small-chat", prompt="chat", chat_template=template)


def job(folder: Path, method: Method, **changes: Any) -> Job:
    settings: dict[str, Any] = {
        "task": WordProblems(),
        "method": method,
        "generation": Generation(max_new_tokens=3, batch_size=1),
        "limit": 3,
        "folder": folder,
        "config": {"method": {}},
        "start_tracker": lambda: NO_TRACKER,
    }
    return Job(**(settings | changes))


def days(folder: Path) -> list[str]:
    """The days in the prompts of a run, as its records say."""
    prompts = [next(iter(line["prompts"].values())) for line in reader.read_samples(folder)]
    return [prompt[len("On ") : prompt.index(":")] for prompt in prompts]


@pytest.mark.slow
def test_a_run_that_goes_on_asks_on_the_day_on_which_it_began(tmp_path: Path, today: On) -> None:
    today("2026-03-01")
    with pytest.raises(KeyboardInterrupt):
        evaluate(job(tmp_path, breaking_off(1)(model=chat())))
    today("2026-03-05")
    evaluate(job(tmp_path, Plain(model=chat())))
    assert days(tmp_path) == ["01 Mar 2026"] * 3
    facts = reader.read_facts(tmp_path)
    assert facts and facts["content"]["day"] == "2026-03-01"
    evaluate(job(tmp_path, Plain(model=chat())))  # finished: another day is no reason to object
    evaluate(job(tmp_path / "other", Plain(model=chat())))
    assert days(tmp_path / "other") == ["05 Mar 2026"] * 3
    evaluate(job(tmp_path / "given", Plain(model=chat()), day=date(2024, 2, 29)))
    assert days(tmp_path / "given") == ["29 Feb 2024"] * 3


def test_a_folder_that_records_no_day_began_when_its_first_stretch_did(
    tmp_path: Path, today: On
) -> None:
    today("2026-03-01")
    with pytest.raises(KeyboardInterrupt):
        evaluate(job(tmp_path, breaking_off(1)(model=chat())))
    facts = json.loads((tmp_path / "run.json").read_text())
    del facts["content"]["day"], facts["prompts"]
    begun = datetime(2026, 3, 1, 12).astimezone()
    facts["segments"][0]["start"] = begun.isoformat()
    (tmp_path / "run.json").write_text(json.dumps(facts))
    today("2026-03-05")
    evaluate(job(tmp_path, Plain(model=chat())))
    assert days(tmp_path) == ["01 Mar 2026"] * 3


def test_a_run_again_is_asked_on_the_first_day_so_the_day_is_as_it_was(
    tmp_path: Path, today: On
) -> None:
    first = job(tmp_path / "run", Plain(model=chat()))
    today("2024-07-01")
    evaluate(first)
    today("2024-08-02")
    again = dataclasses.replace(first, day=dated.recorded(reader.read_facts(first.folder)))
    said = repetition.differences(first.folder, again)
    assert not [line for line in said if "content" in line]

    undated = job(tmp_path / "again", Plain(model=chat("{{ messages[0].content }}")))
    (line,) = [o for o in repetition.differences(first.folder, undated) if "day" in o]
    assert line == "content.day: 2024-07-01, now none"


def test_a_template_without_a_date_knows_no_day(tmp_path: Path, today: On) -> None:
    today("2026-03-01")
    evaluate(job(tmp_path, Plain(model=chat(None))))
    facts = reader.read_facts(tmp_path)
    assert facts and "day" not in facts["content"]


def test_jobs_that_decode_together_are_each_asked_on_their_own_day(
    tmp_path: Path, today: On
) -> None:
    def dera(strength: float) -> DeRa:
        return DeRa(reference=chat(), aligned=chat(), strength=strength)

    today("2026-03-01")
    evaluate(job(tmp_path / "a", dera(0.0)))
    (tmp_path / "a" / "summary.json").unlink()
    lines = (tmp_path / "a" / "samples.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "a" / "samples.jsonl").write_text(lines[0])
    today("2026-03-05")
    values = {"a": 0.0, "b": 0.5, "c": 1.0}
    jobs = [job(tmp_path / name, dera(strength)) for name, strength in values.items()]
    assert len(evaluate_together(jobs)) == 3
    assert days(tmp_path / "a") == ["01 Mar 2026"] * 3
    assert days(tmp_path / "b") == days(tmp_path / "c") == ["05 Mar 2026"] * 3
    facts = [reader.read_facts(tmp_path / name) or {} for name in values]
    assert [one["segments"][-1]["together"] for one in facts] == [1, 2, 2]


def test_one_sample_is_asked_alike_of_all_that_decode_together() -> None:
    dera = DeRa(reference=chat(), aligned=chat())
    asked = [{"0": Conversation(question="1+1?", day=date(2026, 3, day))} for day in (1, 5)]
    with pytest.raises(ValueError, match="asked otherwise"):
        next(dera.stream_together([dera, dera.at(0.5)], asked, Generation()))


@pytest.mark.parametrize("dotted", [False, True])
def test_prompts_that_render_otherwise_now_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dotted: bool
) -> None:
    evaluate(job(tmp_path, Plain(model=chat(None))))
    if dotted:  # as another version of this package may do
        render = LanguageModel.render
        monkeypatch.setattr(LanguageModel, "render", lambda *given: f".{render(*given)}")
        monkeypatch.setattr(environment, "renderer", lambda: "another")
        with pytest.raises(ValueError, match="begun with other prompts"):
            evaluate(job(tmp_path, Plain(model=chat(None))))
    else:
        evaluate(job(tmp_path, Plain(model=chat(None))))


def test_other_choices_of_the_same_questions_are_other_rows(tmp_path: Path) -> None:
    def rows(good: str) -> StoredResponses:
        row = {"question": "Well?", "good": good, "bad": "No."}
        (tmp_path / "rows.jsonl").write_text(json.dumps(row))
        return StoredResponses(path=str(tmp_path / "rows.jsonl"), levels=["good", "bad"])

    folder = tmp_path / "run"
    first = evaluate(job(folder, Plain(model=chat(None)), task=rows("Yes.")))
    assert evaluate(job(folder, Plain(model=chat(None)), task=rows("Yes."))) == first
    with pytest.raises(ValueError, match="begun with other choices"):
        evaluate(job(folder, Plain(model=chat(None)), task=rows("Yes, surely.")))


def test_the_harness_asks_on_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    from trimtab.lm_eval import chat as chats

    monkeypatch.setattr(chats, "TODAY", date(2026, 3, 1))
    rendered = chats.render(chat(), [{"role": "user", "content": "1+1?"}])
    assert rendered == "On 01 Mar 2026: 1+1?"

"""Multiple choice by likelihood, against plain forward passes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from trimtab import Conversation, DeRa, Generation, LanguageModel, Nudging, Plain
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate, evaluate_together
from trimtab.statistics import estimates
from trimtab.tasks import Sample, Score, StoredResponses, Task
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
CHAT = LanguageModel(path="zoo:a-small-chat", prompt="chat")
ROWS = [
    ("Ana has 2 pens. She buys 3. How many?", {"A": "5", "B": "The answer is 5.", "C": "a"}, "A"),
    ("Tell me of the farm.", {"1": "Leo went to the farm. " * 2, "2": "pens pens", "3": "7"}, "1"),
    ("Tom has 9 cups. He loses 1. How many?", {"A": "8 cups are left", "B": "eight"}, "B"),
]


@dataclass(frozen=True, kw_only=True)
class Choose(Task):
    likelihood: str | None = "sum"
    answer_start: str = ""
    metric = "accuracy"
    proportions = frozenset({"accuracy"})
    source = "three questions"

    def load(self) -> list[dict[str, Any]]:
        return [{"n": n} for n in range(len(ROWS))]

    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        question, choices, target = ROWS[row["n"]]
        asked = Conversation(question=question, system="Be brief.", answer_start=self.answer_start)
        return Sample(id=str(index), conversation=asked, choices=choices, target=target)

    def score(self, text: str, sample: Sample) -> Score:
        return Score(prediction=text, values={"accuracy": 0.0})


def run(folder: Path, task: Task, method: Any = None, batch_size: int = 2) -> dict[str, Any]:
    return evaluate(job(folder, task, method or Plain(model=CHAT), batch_size))


def job(folder: Path, task: Task, method: Any, batch_size: int) -> Job:
    return Job(
        task=task,
        method=method,
        generation=Generation(batch_size=batch_size),
        limit=None,
        folder=folder,
        config={},
        start_tracker=lambda: NO_TRACKER,
    )


@torch.inference_mode()
def log_probability(prompt: str, text: str) -> float:
    before, whole = CHAT.encode(prompt), CHAT.encode(prompt + text)
    logits = CHAT.weights(input_ids=torch.tensor([whole])).logits[0, :, : CHAT.vocabulary_size]
    log_p = logits.log_softmax(dim=-1)
    return sum(float(log_p[i - 1, whole[i]]) for i in range(len(before), len(whole)))


@pytest.mark.parametrize("by", ["sum", "length", "tokens", "unconditional"])
@pytest.mark.parametrize("answer_start", ["", "The answer is"])
def test_the_likeliest_choice_is_the_answer(tmp_path: Path, by: str, answer_start: str) -> None:
    summary = run(tmp_path, Choose(likelihood=by, answer_start=answer_start))
    empty = CHAT.render(Conversation(question="", system="Be brief.", answer_start=answer_start))
    picks = []
    for line, (question, choices, _) in zip(reader.read_samples(tmp_path), ROWS, strict=True):
        asked = Conversation(question=question, system="Be brief.", answer_start=answer_start)
        values = {}
        for label, text in choices.items():
            after = f" {text}" if answer_start else text
            value = log_probability(CHAT.render(asked), after)
            found = line["likelihoods"][label]["sum"]
            assert found == pytest.approx(value, abs=2e-4)
            if by == "length":
                value /= len(text)
            if by == "tokens":
                prompt = CHAT.render(asked)
                value /= len(CHAT.encode(prompt + after)) - len(CHAT.encode(prompt))
            if by == "unconditional":
                value -= log_probability(empty, after)
            assert line["likelihoods"][label][by] == pytest.approx(value, abs=3e-4)
            values[label] = value
        best = max(values, key=values.__getitem__)
        assert (line["prediction"], line["completion"]) == (best, choices[best])
        assert line["scores"]["accuracy"] == line["scores"][f"accuracy_{by}"]
        picks.append(float(best == line["target"]))
    assert summary["metrics"]["accuracy"]["value"] == pytest.approx(sum(picks) / 3)
    assert "ended" not in summary["metrics"]


def test_the_batch_changes_nothing(tmp_path: Path) -> None:
    task = Choose(likelihood="unconditional")
    for size in (1, 3):
        run(tmp_path / str(size), task, batch_size=size)
    one, three = (reader.read_samples(tmp_path / str(size)) for size in (1, 3))
    assert [line["prediction"] for line in one] == [line["prediction"] for line in three]


def test_strength_0_of_dera_is_its_reference(tmp_path: Path) -> None:
    other = LanguageModel(path="zoo:a-small-dpo", prompt="chat")
    run(tmp_path / "plain", Choose())
    run(tmp_path / "dera", Choose(), DeRa(reference=CHAT, aligned=other, strength=0))
    plain, dera = (reader.read_samples(tmp_path / name) for name in ("plain", "dera"))
    assert [line["likelihoods"] for line in plain] == [line["likelihoods"] for line in dera]


def test_a_sweep_has_nothing_to_share_and_nudging_no_probability(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path / str(s), Choose(), DeRa(reference=CHAT, aligned=CHAT, strength=s), 2)
        for s in (0.2, 0.4)
    ]
    assert evaluate_together(jobs) == {}
    with pytest.raises(ValueError, match="Nudging has no probability of a given text"):
        run(tmp_path / "nudging", Choose(), Nudging(base=CHAT, guide=CHAT))


def test_which_stored_response_is_preferred(tmp_path: Path) -> None:
    """Three levels; the rates are those of plain forward passes, and add up to 1."""
    levels = ["avoidance", "generic", "expert"]
    rows = [
        {"question": question, "avoidance": "I cannot say.", "generic": text, "expert": text * 2}
        for question, choices, _ in ROWS
        for text in choices.values()
    ]
    file = tmp_path / "responses.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = StoredResponses(path=str(file), levels=levels)
    summary = run(tmp_path / "run", task)
    counts = dict.fromkeys(levels, 0)
    for row in rows:
        asked = Conversation(
            question=row["question"],
            question_prefix="Instruction: ",
            system="You are a helpful assistant.",
        )
        prompt = CHAT.render(asked)
        before = len(CHAT.encode(prompt))
        tokens = {level: len(CHAT.encode(prompt + row[level])) - before for level in levels}
        per_token = {level: log_probability(prompt, row[level]) / tokens[level] for level in levels}
        counts[max(levels, key=per_token.__getitem__)] += 1
    assert summary["task"]["metric"] == "expert"
    for level in levels:
        estimate = estimates.proportion(counts[level], len(rows))
        assert summary["metrics"][level] == estimate.to_dict()


def test_stored_responses_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "responses.csv"
    file.write_text("question,a,b\nWhat?,yes,\n")
    with pytest.raises(ValueError, match=r"levels=\['a'\].*two or more"):
        StoredResponses(path=str(file), levels=["a"])
    with pytest.raises(ValueError, match="'c' is not known"):
        StoredResponses(path=str(file), levels=["a", "b"], prefer="c")
    with pytest.raises(ValueError, match="does not exist"):
        StoredResponses(path="nowhere.csv", levels=["a", "b"])
    with pytest.raises(ValueError, match=r"Row 1 of .*responses.csv"):
        StoredResponses(path=str(file), levels=["a", "b"]).samples()


@pytest.mark.parametrize("by", ["sum", "unconditional"])
def test_work_is_what_went_through_the_model(tmp_path: Path, by: str) -> None:
    model = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    seen: list[int] = []

    def look(_: Any, arguments: Any, settings: Any) -> None:
        tokens = settings["input_ids"] if "input_ids" in settings else arguments[0]
        seen.append(tokens.shape[1])

    hook = model.weights.register_forward_pre_hook(look, with_kwargs=True)
    # Of one sample: what samples have in common is read once, and counted for each.
    one = job(tmp_path, Choose(likelihood=by), Plain(model=model), 1)
    summary = evaluate(dataclasses.replace(one, limit=1))
    hook.remove()
    cost = summary["cost"]
    assert cost["models"]["model"] == {
        "forward_passes": len(seen),
        "tokens_processed": sum(seen),
        "passes_per_token": None,
    }
    assert len(seen) > 0
    assert (cost["tokens"], cost["tokens_per_second"]) == (0, None)
    (line,) = reader.read_samples(tmp_path)
    assert line["work"] == {"model": {"passes": len(seen), "tokens": sum(seen)}}


def test_a_method_that_takes_turns_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    guide = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    nudging = Nudging(base=LanguageModel(path="zoo:a-large-base", prompt="plain"), guide=guide)
    with pytest.raises(ValueError, match="Nudging has no probability of a given text"):
        run(tmp_path / "run", Choose(), nudging)
    assert "weights" not in vars(guide)
    assert not (tmp_path / "run").exists()

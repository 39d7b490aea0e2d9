"""Multiple choice by likelihood, against plain forward passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from trimtab import Conversation, DeRa, Generation, LanguageModel, Nudging, Plain, record
from trimtab.evaluate import Job, evaluate, evaluate_together
from trimtab.tasks import Sample, Score, Task
from trimtab.tracking import NoTracker

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


@pytest.mark.parametrize("by", ["sum", "length", "unconditional"])
@pytest.mark.parametrize("answer_start", ["", "The answer is"])
def test_the_likeliest_choice_is_the_answer(tmp_path: Path, by: str, answer_start: str) -> None:
    summary = run(tmp_path, Choose(likelihood=by, answer_start=answer_start))
    empty = CHAT.render(Conversation(question="", system="Be brief.", answer_start=answer_start))
    picks = []
    for line, (question, choices, _) in zip(record.read_samples(tmp_path), ROWS, strict=True):
        asked = Conversation(question=question, system="Be brief.", answer_start=answer_start)
        values = {}
        for label, text in choices.items():
            after = f" {text}" if answer_start else text
            value = log_probability(CHAT.render(asked), after)
            found = line["likelihoods"][label]["sum"]
            assert found == pytest.approx(value, abs=2e-4)
            if by == "length":
                value /= len(text)
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
    one, three = (record.read_samples(tmp_path / str(size)) for size in (1, 3))
    assert [line["prediction"] for line in one] == [line["prediction"] for line in three]


def test_strength_0_of_dera_is_its_reference(tmp_path: Path) -> None:
    other = LanguageModel(path="zoo:a-small-dpo", prompt="chat")
    run(tmp_path / "plain", Choose())
    run(tmp_path / "dera", Choose(), DeRa(reference=CHAT, aligned=other, strength=0))
    plain, dera = (record.read_samples(tmp_path / name) for name in ("plain", "dera"))
    assert [line["likelihoods"] for line in plain] == [line["likelihoods"] for line in dera]


def test_a_sweep_has_nothing_to_share_and_nudging_no_probability(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path / str(s), Choose(), DeRa(reference=CHAT, aligned=CHAT, strength=s), 2)
        for s in (0.2, 0.4)
    ]
    assert evaluate_together(jobs) == {}
    with pytest.raises(ValueError, match="Nudging has no probability of a given text"):
        run(tmp_path / "nudging", Choose(), Nudging(base=CHAT, guide=CHAT))

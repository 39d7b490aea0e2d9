"""A run and its folder: complete, repeatable, resumable from any kind of end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from breaking_off import breaking_off
from commands import command

from trimtab import Completion, Generation, LanguageModel, Nudging, Plain
from trimtab.runs import reader, run_folder
from trimtab.runs.evaluate import Job, evaluate
from trimtab.statistics import estimates
from trimtab.tasks import Stories, WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
GENERATION = Generation(max_new_tokens=32, batch_size=4)


class Recorder:
    """A tracker that remembers what it was told."""

    def __init__(self) -> None:
        self.logged: list[tuple[dict, int]] = []
        self.finished: list[tuple[Any, int]] = []

    def log(self, metrics: Any, step: int) -> None:
        self.logged.append((dict(metrics), step))

    def finish(self, summary: Any, samples: Any) -> None:
        self.finished.append((summary, len(samples)))


def run(folder: Path, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "task": WordProblems(),
        "method": Plain(model=LanguageModel(path="zoo:a-small-chat", prompt="chat")),
        "generation": GENERATION,
        "limit": 12,
        "folder": folder,
        "config": {"method": {"name": "guide"}, "limit": 12},
        "start_tracker": lambda: NO_TRACKER,
    }
    return evaluate(Job(**(settings | changes)))


def test_a_run_leaves_the_whole_record(tmp_path: Path) -> None:
    recorder = Recorder()
    summary = run(tmp_path, start_tracker=lambda: recorder)
    assert sorted(f.name for f in tmp_path.iterdir() if f.name != ".lock") == [
        "config.yaml",
        "run.json",
        "samples.jsonl",
        "summary.json",
    ]
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["limit"] == 12
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["status"] == "finished"
    assert len(facts["models"]["model"]["content_sha256"]) == 64
    assert len(facts["models"]["model"]["chat_template_sha256"]) == 64
    assert facts["packages"]["torch"] and facts["packages"]["transformers"]
    assert facts["seeds"] == {"generation": 0}
    records = reader.read_samples(tmp_path)
    assert [r["id"] for r in records] == [s.id for s in WordProblems().samples(12)]
    for line in records:
        assert "".join(span["text"] for span in line["trace"]) == line["completion"]
        assert all(0 <= span["probability"] <= 1 for span in line["trace"])
    # The summary is what an independent reader computes from the samples.
    right = sum(r["scores"]["accuracy"] for r in records)
    expected = estimates.proportion(int(right), 12).to_dict()
    assert summary["metrics"]["accuracy"] == expected
    assert summary["cost"]["tokens"] == sum(r["tokens"]["model"] for r in records)
    processed = summary["cost"]["models"]["model"]["tokens_processed"]
    assert processed == sum(r["work"]["model"]["tokens"] for r in records)
    # Four rows share each pass, so there are fewer passes than tokens and at least a quarter.
    passes = summary["cost"]["models"]["model"]["forward_passes"]
    taken_part = sum(r["work"]["model"]["passes"] for r in records)
    assert taken_part / 4 <= passes < taken_part
    per_token = summary["cost"]["models"]["model"]["passes_per_token"]
    assert per_token == pytest.approx(taken_part / summary["cost"]["tokens"], abs=1e-4)
    assert recorder.finished == [(summary, 12)]


def test_a_finished_run_is_not_computed_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    method = Plain(model=LanguageModel(path="zoo:a-small-chat", prompt="chat"))
    assert run(tmp_path, method=method) == first
    assert "weights" not in vars(method.model)


def samples_of(folder: Path) -> str:
    return (folder / "samples.jsonl").read_text()


def test_interrupted_and_resumed_equals_undisturbed(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    model = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", method=breaking_off(5)(model=model), start_tracker=lambda: recorder)
    assert recorder.finished == [(None, 0)]
    assert json.loads((tmp_path / "cut/run.json").read_text())["status"] == "interrupted"
    kept = samples_of(tmp_path / "cut").splitlines()
    assert len(kept) == 5
    summary = run(tmp_path / "cut")
    records, whole = (reader.read_samples(tmp_path / name) for name in ("cut", "whole"))
    assert [r["completion"] for r in records] == [r["completion"] for r in whole]
    assert [r["scores"] for r in records] == [r["scores"] for r in whole]
    # The five were not computed again: their lines are the very same.
    assert set(kept) <= set(samples_of(tmp_path / "cut").splitlines())
    assert [s["samples"] for s in reader.read_facts(tmp_path / "cut")["segments"]] == [5, 7]
    assert summary["metrics"]["accuracy"]["n"] == 12


def test_a_torn_last_line_is_repaired(tmp_path: Path) -> None:
    run(tmp_path)
    whole = samples_of(tmp_path)
    lines = whole.splitlines(keepends=True)
    (tmp_path / "summary.json").unlink()
    (tmp_path / "samples.jsonl").write_text("".join(lines[:6]) + lines[6][:40])
    run(tmp_path)
    texts = [json.loads(line)["completion"] for line in whole.splitlines()]
    assert [r["completion"] for r in reader.read_samples(tmp_path)] == texts


COMMAND = [
    "run",
    "base=a-large-base",
    "guide=b-small-chat",
    "method=nudging",
    "limit=40",
    "generation.max_new_tokens=64",
    "generation.batch_size=2",
]


@pytest.mark.process
def test_killed_and_resumed_equals_undisturbed(tmp_path: Path) -> None:
    words = [*COMMAND, f"results={tmp_path / 'killed'}"]
    start = [sys.executable, "-m", "trimtab", *words]
    with subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            files = list((tmp_path / "killed").rglob("samples.jsonl"))
            if files and files[0].read_bytes().count(b"\n") >= 5:
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    (file,) = (tmp_path / "killed").rglob("samples.jsonl")
    kept = file.read_text().splitlines()
    assert 5 <= len(kept) < 40, "the run ended before it could be killed"
    undisturbed_words = [*COMMAND[:-1], "generation.batch_size=16", f"results={tmp_path / 'whole'}"]
    for given in (words, undisturbed_words):
        assert command(tmp_path, *given).returncode == 0
    (whole,) = (tmp_path / "whole").rglob("samples.jsonl")
    records, undisturbed = (reader.read_samples(f.parent) for f in (file, whole))
    assert len(records) == 40
    assert set(kept[:-1]) <= set(file.read_text().splitlines())
    for one, other in zip(records, undisturbed, strict=True):
        for key in ("id", "completion", "prediction", "scores", "stop_reason", "tokens"):
            assert one[key] == other[key]


def test_two_processes_on_one_folder(tmp_path: Path) -> None:
    with run_folder.RunFolder(tmp_path):
        outcome: list[Exception] = []

        def second() -> None:
            try:
                run(tmp_path)
            except ValueError as error:
                outcome.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert "in use by another process" in str(outcome[0])


def test_other_weights_under_the_same_name_are_refused(tmp_path: Path) -> None:
    import shutil

    from trimtab import zoo

    model = tmp_path / "model"
    shutil.copytree(zoo.path("a-small-chat"), model)

    def method() -> Plain:
        return Plain(model=LanguageModel(path=str(model), prompt="chat"))

    run(tmp_path / "run", method=method(), limit=2)
    shutil.copy(zoo.path("a-small-sft") / "model.safetensors", model)
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(ValueError, match="was begun with other models"):
        run(tmp_path / "run", method=method(), limit=2)


def test_a_failure_keeps_what_was_computed_and_says_why(tmp_path: Path) -> None:
    failing = breaking_off(3, FloatingPointError)
    method = failing(model=LanguageModel(path="zoo:a-small-chat", prompt="chat"))
    with pytest.raises(FloatingPointError):
        run(tmp_path, method=method)
    facts = reader.read_facts(tmp_path)
    assert facts is not None
    assert facts["status"] == "failed"
    assert "logits are not finite" in facts["error"]
    assert len(reader.read_samples(tmp_path)) == 3


def test_measures_and_means_get_the_intervals_of_their_bounds(tmp_path: Path) -> None:
    method = Plain(model=LanguageModel(path="zoo:a-small-sft", prompt="chat"))
    summary = run(tmp_path, task=Stories(), method=method)
    rewards = [r["scores"]["reward"] for r in reader.read_samples(tmp_path)]
    found = summary["metrics"]["reward"]
    assert found == estimates.of_scores(rewards, (0, 1)).to_dict()
    # More than half of these twelve are alike, of which Student's interval would be too short.
    student = estimates.mean(rewards, (0, 1)).ci95
    assert 0 <= found["ci95"][0] < student[0] < student[1] < found["ci95"][1] <= 1
    ended = summary["metrics"]["ended"]["value"]
    reasons = [r["stop_reason"] for r in reader.read_samples(tmp_path)]
    assert ended == sum(reason == "end" for reason in reasons) / 12


def test_the_guide_ratio_is_reported(tmp_path: Path) -> None:
    method = Nudging(
        base=LanguageModel(path="zoo:a-large-base", prompt="plain"),
        guide=LanguageModel(path="zoo:a-small-chat", prompt="chat"),
        threshold=0.4,
    )
    summary = run(tmp_path, method=method, limit=4)
    records = reader.read_samples(tmp_path)
    for name in ("guide_ratio", "guide_ratio_with_ending", "guide_ratio_tokens"):
        values = [r["measures"][name] for r in records]
        assert summary["metrics"][name]["value"] == pytest.approx(sum(values) / 4)
    assert set(records[0]["prompts"]) == {"base", "guide"}
    assert isinstance(records[0]["tokens"]["guide"], int)
    assert set(summary["cost"]["models"]) == {"base", "guide"}


def test_completions_are_what_the_library_gives(tmp_path: Path) -> None:
    run(tmp_path)
    method = Plain(model=LanguageModel(path="zoo:a-small-chat", prompt="chat"))
    samples = WordProblems().samples(12)
    answers = method.complete([s.conversation for s in samples], GENERATION)
    assert all(isinstance(a, Completion) for a in answers)
    assert [a.text for a in answers] == [r["completion"] for r in reader.read_samples(tmp_path)]


def test_an_edited_chat_template_is_another_model(tmp_path: Path) -> None:
    template = tmp_path / "mine.j2"

    def method(text: str) -> Plain:
        template.write_text("{% for m in messages %}" + text + "{{ m.content }}{% endfor %}")
        model = LanguageModel(path="zoo:a-small-chat", prompt="chat", chat_template=str(template))
        return Plain(model=model)

    run(tmp_path / "run", method=method("one "), limit=2)
    (line, _) = reader.read_samples(tmp_path / "run")
    assert line["prompts"]["model"].startswith("one Answer")
    with pytest.raises(ValueError, match="was begun with other models"):
        run(tmp_path / "run", method=method("two "), limit=2)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    with (tmp_path / "samples.jsonl").open("a") as stream:
        stream.write("\0\0\0\n")
    with pytest.raises(ValueError, match=r"samples\.jsonl line 13 is damaged"):
        run(tmp_path)


def test_forward_passes_of_one_method_object_do_not_add_up_over_runs(tmp_path: Path) -> None:
    method = Plain(model=LanguageModel(path="zoo:a-small-chat", prompt="chat"))
    passes = [
        run(tmp_path / name, method=method)["cost"]["models"]["model"]["forward_passes"]
        for name in ("one", "two")
    ]
    assert passes[0] == passes[1]

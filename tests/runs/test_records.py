"""What a run writes has a line in its typed record, and what a record demands is written."""

import json
from pathlib import Path
from typing import Any

import yaml
from typed_records import lacking, nameless

from trimtab import DeRa, Generation, Plain
from trimtab.methods import BestOfN
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.runs.record_types import Config, RunFacts, SampleRecord, Summary
from trimtab.scorers import FunctionReward
from trimtab.tasks import StoredResponses, WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())


def run(folder: Path, **changes: Any) -> None:
    settings: dict[str, Any] = {
        "task": WordProblems(),
        "generation": Generation(max_new_tokens=8, batch_size=4),
        "limit": 2,
        "folder": folder,
        "config": {"method": {}, "task": {}, "generation": {}, "limit": 2, "limit_seed": None},
        "start_tracker": lambda: NO_TRACKER,
    }
    evaluate(Job(**(settings | changes)))


def test_every_key_of_every_file_has_a_line(tmp_path: Path, zoo: Any) -> None:
    dera = DeRa(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), strength=0.6)
    scorers = [
        FunctionReward(name=name, function=lambda completion, question, target: 1.0)
        for name in ("one", "two")
    ]
    run(
        tmp_path / "drawn",
        method=dera,
        generation=Generation(max_new_tokens=8, temperature=1.0, draws=2, token_records=True),
        scorers=scorers,
        launch={"command": "trimtab run", "directory": "/here", "choices": {}, "scorers": {}},
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "Well?", "good": "Yes.", "bad": "No."}\n' * 2)
    chooses = StoredResponses(path=str(rows), levels=["good", "bad"])
    run(tmp_path / "weighed", method=Plain(model=zoo("a-small-sft")), task=chooses)
    best = BestOfN(model=zoo("a-small-sft"), reward=scorers[0], n=2)
    drawn_anew = Generation(max_new_tokens=8, temperature=1.0)
    run(tmp_path / "chosen", method=best, generation=drawn_anew)
    run(tmp_path / "smaller", method=dera)
    run(tmp_path / "larger", method=dera, limit=3)
    kinds: dict[str, Any] = {"run.json": RunFacts, "summary.json": Summary, "config.yaml": Config}
    for folder in (tmp_path / n for n in ("drawn", "weighed", "chosen", "smaller", "larger")):
        for name, kind in kinds.items():
            if folder.name == "chosen" and name == "run.json":
                continue  # which names the reward beside the models, in a form of its own
            content = yaml.safe_load((folder / name).read_text())  # JSON is YAML
            assert content and nameless(content, kind) == lacking(content, kind) == set()
        for line in (folder / "samples.jsonl").read_text().splitlines():
            content = json.loads(line)
            assert nameless(content, SampleRecord) == lacking(content, SampleRecord) == set()
    drawn = reader.read_samples(tmp_path / "drawn")
    assert [line["draw"] for line in drawn] == [1, 2] * 2
    assert all(line["by_token"]["ids"] and len(line["verdicts"]) == 2 for line in drawn)
    assert all(len(line["tries"]) == 2 for line in reader.read_samples(tmp_path / "chosen"))
    assert all(line["likelihoods"] for line in reader.read_samples(tmp_path / "weighed"))
    larger = reader.read_facts(tmp_path / "larger")
    assert larger and "taken_from" in larger["segments"][0]

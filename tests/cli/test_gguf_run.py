"""Runs of a model that is a GGUF file: recorded by its hash, resumed, and refused once another."""

import hashlib
import json
from pathlib import Path

from tests.models import gguf_files

RUN = ("run", "base=hf", "base.path=model.gguf", "base.prompt=chat", "method=base")
RUN += ("task=word-problems", "limit=3", "generation.max_new_tokens=24", "results=out")


def test_a_run_goes_on_with_its_own_file_alone(trimtab, tmp_path: Path) -> None:
    file = gguf_files.write(tmp_path / "model.gguf")
    assert trimtab(*RUN)[0] == 0
    (record,) = (tmp_path / "out").rglob("run.json")
    (model,) = json.loads(record.read_text())["models"].values()
    assert model["content_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (model["path"], model["quantization"]) == ("model.gguf", "none")
    samples = record.with_name("samples.jsonl")
    whole = samples.read_text()
    samples.write_text(whole[: whole.index("\n") + 1])
    record.with_name("summary.json").unlink()
    assert trimtab(*RUN)[0] == 0
    told = [[json.loads(line)[key] for key in ("id", "completion")] for line in whole.splitlines()]
    again = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [[line["id"], line["completion"]] for line in again] == told
    gguf_files.write(file, packing="Q8_0")
    code, _, err = trimtab(*RUN)
    assert code == 1 and "begun with other models" in err, err

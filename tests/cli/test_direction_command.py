"""`trimtab direction` as a user types it, and the run that its file steers."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from activations.steered_models import AWAY, TOWARD
from safetensors.torch import load_file

from trimtab import Conversation, LanguageModel
from trimtab.activations import Directions, PromptSet, extract
from trimtab.cli.direction_command import main
from trimtab.config.composition import ConfigError, build
from trimtab.config.overrides import Source, check_command
from trimtab.tasks import Advice


@pytest.fixture
def files(tmp_path: Path, monkeypatch) -> Path:
    """A folder with two sets of prompts, which is the current one."""
    (tmp_path / "toward.txt").write_text("\n".join([*TOWARD, "", " "]), "utf-8")
    rows = [{"question": question, "level": 1} for question in AWAY]
    (tmp_path / "away.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ASKED = ["base=a-small-mixed", "toward=toward.txt", "away=away.jsonl"]


def test_extract_writes_what_the_library_writes(files: Path, capsys) -> None:
    assert main(["extract", *ASKED, "out=typed.safetensors", "layers=1"]) == 0
    sets = [
        PromptSet(name, questions)
        for name, questions in (("toward.txt", TOWARD), ("away.jsonl", AWAY))
    ]
    model = LanguageModel(path="zoo:a-small-mixed", prompt="chat")
    found = extract(model=model, toward=sets[0], away=sets[1], out="called.safetensors", layers=[1])
    typed = Directions.open("typed.safetensors")
    assert typed.facts == found.facts
    assert (typed.directions_LH == found.directions_LH).all()
    said = capsys.readouterr().out
    assert "directions of zoo:a-small-mixed (llama, 2 layers of width 64, prompt=chat)" in said
    assert "7 prompts of toward.txt" in said and "7 prompts of away.jsonl" in said
    (row,) = (line.split() for line in said.splitlines() if line.startswith("1 "))
    assert float(row[1]) == pytest.approx(found.lengths[0], rel=0.01)
    assert float(row[-2]) == pytest.approx(100 * found.facts["right"][0], rel=0.01)


def test_prompts_come_from_rows_of_every_kind_and_from_tasks(files: Path, capsys) -> None:
    """The same prompts give the same hash, wherever they come from."""
    rows = [
        {"question": "Why?", "system": "Be brief.", "answer_start": "It"},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "A"},
            ]
        },
    ]
    (files / "rows.json").write_text(json.dumps(rows), "utf-8")
    base = ["base=a-small-mixed", "base.dtype=bfloat16", "batch_size=100", "--json"]
    settings = ["toward=advice", "toward.split=validation", "away=rows.json"]
    main(["extract", *base, *settings, "out=d.safetensors"])
    said = json.loads(capsys.readouterr().out)
    assert said["dtype"] == "bfloat16" and said["toward"]["name"] == "advice split=validation"
    asked = [sample.conversation for sample in Advice(split="validation").samples()]
    pieces = {"system": "Be brief."}
    away = [
        Conversation(question="Why?", answer_start="It", **pieces),
        Conversation(question="A", **pieces),
    ]
    model = LanguageModel(path="zoo:a-small-mixed", prompt="chat")
    sets = PromptSet("one", asked), PromptSet("other", away)
    found = extract(model=model, toward=sets[0], away=sets[1], out="e.safetensors", batch_size=100)
    for side in ("toward", "away"):
        assert {**said[side], "name": ""} == {**found.facts[side], "name": ""}
    main(["show", "d.safetensors", "--json"])
    assert json.loads(capsys.readouterr().out) == said
    assert said["lengths"] == pytest.approx(load_file("d.safetensors")["directions"].norm(dim=1))


def run_on(name: str, *settings: str) -> Callable:
    return lambda: check_command(
        ["base=a-small-sft", f"method={name}", "task=advice", *settings], Source()
    )


def test_a_run_is_steered_by_the_file(files: Path) -> None:
    main(["extract", *ASKED, "out=d.safetensors"])
    config = run_on("activation_addition", "method.directions=d.safetensors", "method.layers=[1]")()
    method = build(config.method)
    assert method.chosen_layers == (1,) and method.base.path == "zoo:a-small-sft"
    config = run_on(
        *("inferaligner", "method.directions=d.safetensors", "method.own=d.safetensors"),
    )()
    with pytest.raises(ValueError, match="extracted from 'zoo:a-small-mixed'"):
        build(config.method).check({"0": Conversation(question="Why?")})


MISTAKES = {
    ("extract",): ["base=... is missing", "toward=... is", "away=... is", "out=... is missing"],
    ("extract", *ASKED, "out=d.safetensors", "layer=1"): ["'layer' is not known. Did you mean"],
    ("extract", *ASKED, "out=d.safetensors", "layers=1,x"): ["layers=1,x: accepted are whole"],
    ("extract", *ASKED, "out=d.safetensors", "batch_size=-1"): ["batch_size=-1: accepted are"],
    ("extract", *ASKED[1:], "base=a-smal-mixed", "out=d"): ["Did you mean a-small-mixed"],
    ("extract", *ASKED, "base.dtpe=auto", "out=d"): ["base.dtpe"],
    ("extract", ASKED[0], "toward=a.txt", "away=adivce", "out=d"): [
        "toward=a.txt: there is no such file",
        "away=adivce: accepted is a file .* or a task. Did you mean advice",
    ],
    ("extract", *ASKED, "toward.split=test", "out=d"): ["toward.split=test: a file has no sett"],
    ("extract", *ASKED[:2], "away=advice", "away.splt=test", "out=d"): ["splt"],
    ("show",): ["FILE is missing"],
    ("show", "a", "b"): ["FILE is one"],
    ("show", "a", "--jsn"): ["'--jsn' is not known.*--json"],
    ("exract",): ["'exract' is not known.*extract"],
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_mistakes_in_a_command_are_named(files: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        main(arguments)
    for expected in MISTAKES[arguments]:
        assert any(re.search(expected, mistake) for mistake in caught.value.mistakes), expected
    assert not list(files.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "x"}, "Row 1 of 'bad.json': it has no question"),
        ({"question": 3}, "Row 1 of 'bad.json': question=3"),
        ({"question": "a", "messages": [{"role": "user", "content": "b"}]}, "of which one is"),
        ({"messages": [{"role": "assistant", "content": "b"}]}, "Row 1 of 'bad.json': Messages"),
        ({"messages": "b"}, "Row 1 of 'bad.json'"),
    ],
)
def test_rows_that_ask_nothing_are_refused(files: Path, row: dict, message: str) -> None:
    (files / "bad.json").write_text(json.dumps([row]), "utf-8")
    with pytest.raises(ValueError, match=message):
        main(["extract", *ASKED[:2], "away=bad.json", "out=d.safetensors"])


def test_help_names_every_setting(capsys) -> None:
    for arguments in ([], ["--help"], ["extract", "--help"], ["show", "-h"]):
        assert main(arguments) == 0
    said = capsys.readouterr().out
    for word in ("base", "toward", "away", "out", "layers", "batch_size", "--json", "FILE"):
        assert word in said

"""The command with a user's own code and folders: what it says, and what it leaves."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab.cli import main
from trimtab.launch import errors
from trimtab.runs import reader, run_folder

Command = Callable[..., tuple[int, str, str]]
SHORT = ("method=guide", "limit=2", "generation.max_new_tokens=4")
TASK = """
from trimtab import Conversation
from trimtab.tasks import Sample, Score, Task


class Puzzle(Task):
    metric = "accuracy"
    source = "my own"

    def load(self):
        {LOAD}

    def sample(self, row, index):
        return Sample(id=str(index), conversation=Conversation(question="1+1?"), target="2")

    def score(self, text, sample):
        return Score(prediction=text, values={"accuracy": 0.0})
"""


@pytest.fixture
def trimtab(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command, run in this process from an empty folder; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trimtab", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return command


def write_task(folder: Path, name: str, load: str) -> None:
    (folder / f"{name}.py").write_text(TASK.replace("{LOAD}", load))
    (folder / "mine" / "task").mkdir(parents=True, exist_ok=True)
    (folder / "mine" / "task" / "puzzle.yaml").write_text(f"_target_: {name}.Puzzle\n")


@pytest.mark.slow
def test_an_error_in_a_users_code_is_its_last_line_there(
    trimtab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_task(tmp_path, "failing_load", 'return [{}["rows"]]')
    arguments = ("run", "-cd", "mine", "task=puzzle", *SHORT)
    code, _, err = trimtab(*arguments)
    assert code == 1
    assert "KeyError: 'rows' (failing_load.py, line 11, in load: return [{}[\"rows\"]])" in err
    assert "Traceback" not in err and "HYDRA_FULL_ERROR=1" in err
    monkeypatch.setattr(errors, "TRACEBACKS", True)
    _, _, err = trimtab(*arguments)
    assert "Traceback" in err


def test_a_foreseen_error_in_a_users_code_has_its_place_too(
    trimtab: Command, tmp_path: Path
) -> None:
    write_task(tmp_path, "reading_load", 'return open("rows.txt").read()')
    _, _, err = trimtab("run", "-cd", "mine", "task=puzzle", *SHORT)
    assert "'rows.txt' (reading_load.py, line 11, in load" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.slow
def test_what_fails_before_anything_is_recorded_leaves_no_folder(
    trimtab: Command, tmp_path: Path, many: bool
) -> None:
    dial = ("method=dera", "guide=a-large-chat", "method.strength=0,1") if many else ()
    options = ("-m",) if many else ()
    code, _, err = trimtab("run", *options, *SHORT, *dial, "scorers=correctness")
    assert code == 1
    assert "OPENAI_API_KEY" in err
    assert not [path for path in (tmp_path / "results").iterdir() if path.is_dir()]


@pytest.mark.slow
def test_the_key_of_a_judge_is_asked_for_before_a_model_is_looked_at(
    trimtab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab import LanguageModel

    def touched(model: LanguageModel) -> None:
        raise AssertionError("the model was read")

    monkeypatch.setattr(LanguageModel, "identity", property(touched))
    _, _, err = trimtab("run", *SHORT, "scorers=correctness")
    assert "set the environment variable OPENAI_API_KEY" in err
    _, _, err = trimtab("run", *SHORT)
    assert "the model was read" in err


def test_a_folder_that_holds_something_stays(tmp_path: Path) -> None:
    run = tmp_path / "results" / "task" / "method" / "0123"
    run.mkdir(parents=True)
    (run.parent / "note.txt").touch()
    run_folder.remove_if_empty(run)
    assert not run.exists() and run.parent.exists()
    with pytest.raises(ZeroDivisionError), run_folder.RunFolder(run):
        _ = 1 / 0
    assert not run.exists()
    with run_folder.RunFolder(run) as folder:
        folder.write_config({"limit": 1})
    assert (run / "config.yaml").exists()


@pytest.mark.slow
def test_each_job_of_a_multirun_over_scorings_prints_its_own_metric(
    trimtab: Command, tmp_path: Path
) -> None:
    rows = tmp_path / "rows" / "test.jsonl"
    rows.parent.mkdir()
    rows.write_text('{"question": "Ana has 2 pens. She buys 3. How many?", "answer": "#### 5"}\n')
    code, out, _ = trimtab(
        "run",
        "-m",
        "task=gsm8k",
        "task.data_dir=rows",
        "task.scoring=strict,published",
        "method.threshold=0.2,0.6",
        "generation.max_new_tokens=4",
    )
    assert code == 0
    # Where colours are forced, a bar may stand on the same line.
    printed = re.findall(r"(accuracy|published) \S+ \[[^\]]+\] n=1 (\S+)", out)
    assert [metric for metric, _ in printed] == ["accuracy"] * 2 + ["published"] * 2
    folders = [Path(folder) for _, folder in printed]
    assert folders[:2] == folders[2:] and folders[0] != folders[1]
    for folder in folders[:2]:
        summary, facts = reader.read_summary(folder), reader.read_facts(folder)
        assert summary and summary["task"]["metric"] == "published"
        assert facts and [segment["samples"] for segment in facts["segments"]] == [1, 0]


@pytest.mark.slow
def test_weights_of_a_mixture_are_swept_together(trimtab: Command, tmp_path: Path) -> None:
    """Mixed by a function of one's own, over terms of which one is asked otherwise."""
    (tmp_path / "my_mixtures.py").write_text(
        "def plain(logits, weights):\n    return sum(weights[n] * z for n, z in logits.items())\n"
    )
    code, _, _ = trimtab(
        *("run", "-m", "method=mixture", "task=stories", "limit=2", "results=results"),
        *("base=a-small-sft", "guide=a-small-dpo", "generation.max_new_tokens=4"),
        *("method.mixing=my_mixtures.plain", "method.terms.guide.asked={system: Be brief.}"),
        *("method.terms.guide.weight=0,0.5", "method.strength=0.3,1"),
    )
    assert code == 0
    folders = [*(tmp_path / "results" / "stories" / "mixture").iterdir()]
    assert len(folders) == 4
    for folder in folders:
        facts = reader.read_facts(folder)
        assert facts is not None
        assert facts["models"].keys() == facts["content"]["models"].keys() == {"base", "guide"}
        assert facts["content"]["code"].keys() == {"my_mixtures.py"}
        assert [segment["together"] for segment in facts["segments"]] == [4]
        for line in reader.read_samples(folder):
            assert "Be brief." in line["prompts"]["guide"]
            assert "Be brief." not in line["prompts"]["base"]

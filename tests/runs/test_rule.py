"""A task's own rule: its faults are named, its changes are noticed, and no answer is lost."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from breaking_off import breaking_off

from trimtab import Conversation, Generation, LanguageModel, Plain
from trimtab.config.user_code import described
from trimtab.config.user_files import sources
from trimtab.reading import READERS
from trimtab.results.finished import survey
from trimtab.runs import reader, run_folder
from trimtab.runs.evaluate import Job, evaluate
from trimtab.runs.rule import Rule
from trimtab.scorers import FunctionReward
from trimtab.tasks import GSM8K, MMLU, Sample, Score, Stories, Task, WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
CLASS = """
from trimtab.tasks import Score, WordProblems
from trimtab import Conversation


class Mine(WordProblems):
    proportions = frozenset({"accuracy"})

    def score(self, text, sample):
        return Score(prediction=text, values={"accuracy": {RULE}})
"""
Write = Callable[[str], Task]


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a rule into the file of a task's class, as a user would, and gives the task."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "my_task", raising=False)

    def write(rule: str) -> Task:
        (tmp_path / "my_task.py").write_text(CLASS.replace("{RULE}", rule))
        sys.modules.pop("my_task", None)
        importlib.invalidate_caches()
        return importlib.import_module("my_task").Mine()

    return write


def plain() -> Plain:
    return Plain(model=LanguageModel(path="zoo:a-small-chat", prompt="chat"))


def run(folder: Path, task: Task, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "task": task,
        "method": plain(),
        "generation": Generation(max_new_tokens=12, batch_size=4),
        "limit": 6,
        "folder": folder / "run",
        "config": {},
        "start_tracker": lambda: NO_TRACKER,
    }
    return evaluate(Job(**(settings | changes)))


def scored(folder: Path) -> list[float]:
    return [line["scores"]["accuracy"] for line in reader.read_samples(folder / "run")]


# ------------------------------------------------------------------ a rule that changes


def test_a_changed_rule_scores_the_answers_again_and_generates_none(
    tmp_path: Path, task: Write, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="trimtab")
    before = run(tmp_path, task("0.0"))
    texts = [line["completion"] for line in reader.read_samples(tmp_path / "run")]
    assert before["metrics"]["accuracy"]["value"] == 0
    assert "scored anew" not in caplog.text
    method = plain()
    after = run(tmp_path, task("float(len(text) % 2)"), method=method)
    assert "weights" not in vars(method.model)
    lines = reader.read_samples(tmp_path / "run")
    assert [line["completion"] for line in lines] == texts
    assert scored(tmp_path) == [float(len(text) % 2) for text in texts]
    assert after["metrics"]["accuracy"]["value"] == sum(scored(tmp_path)) / 6
    assert reader.read_summary(tmp_path / "run") == after
    assert "6 answers" in caplog.text and "my_task.Mine" in caplog.text
    caplog.clear()
    assert run(tmp_path, task("float(len(text) % 2)")) == after
    assert "scored anew" not in caplog.text


def test_measures_follow_the_rule_and_those_of_the_method_stay(tmp_path: Path, task: Write) -> None:
    answer = "The answer is 5. No, the answer is 7."
    once = run(tmp_path, task('float(text.rstrip(". ").endswith("7"))'), limit=1)
    (line,) = reader.read_samples(tmp_path / "run")
    line |= {"completion": answer, "measures": line["measures"] | {"guide_ratio": 0.25}}
    (tmp_path / "run" / "samples.jsonl").write_text(json.dumps(line) + "\n")
    assert once["metrics"]["buried"]["value"] == 0
    # By the new rule the first statement was right, and what follows has buried it.
    again = run(tmp_path, task('float(text.rstrip(". ").endswith("5"))'), limit=1)
    assert again["metrics"]["accuracy"]["value"] == 0
    assert again["metrics"]["buried"]["value"] == 1
    assert again["metrics"]["words"]["value"] == len(answer.split())
    assert again["metrics"]["guide_ratio"]["value"] == 0.25


@dataclass(frozen=True, kw_only=True)
class Credit(WordProblems):
    """A rule that gives partial credit, and says of it only what it is called."""

    credits: tuple[float, ...]

    metric = "credit"
    proportions = frozenset()

    def score(self, text: str, sample: Sample) -> Score:
        number = int(re.findall(r"\d+", sample.id)[-1])
        return Score(prediction=text, values={"credit": self.credits[number % len(self.credits)]})


def test_the_interval_of_a_credit_without_declared_bounds_holds_none_above_one(
    tmp_path: Path,
) -> None:
    spread = run(tmp_path / "spread", Credit(credits=(0.4, 0.9, 1.0)))["metrics"]["credit"]
    assert 0.4 <= spread["ci95"][0] < spread["value"] < spread["ci95"][1] == 1
    # Five alike and one other do not say how far credits spread.
    heaped = run(tmp_path / "heaped", Credit(credits=(0.4, *[1.0] * 5)))["metrics"]["credit"]
    assert heaped["value"] == pytest.approx(0.9)
    assert heaped["ci95"] is None


def always_half(completion: str, question: str, target: str | None) -> float:
    return 0.5


def test_verdicts_of_scorers_stay(tmp_path: Path, task: Write) -> None:
    run(tmp_path, task("0.0"), scorers=[FunctionReward(function=always_half)])
    verdicts = [line["verdicts"] for line in reader.read_samples(tmp_path / "run")]
    again = run(tmp_path, task("1.0"))
    lines = reader.read_samples(tmp_path / "run")
    assert [line["verdicts"] for line in lines] == verdicts
    assert all(line["scores"] == {"accuracy": 1.0, "reward": 0.5} for line in lines)
    assert again["metrics"]["reward"]["value"] == 0.5
    assert "reward" in again["scorers"]


def test_a_changed_rule_scores_a_run_that_is_only_begun(tmp_path: Path, task: Write) -> None:
    model = LanguageModel(path="zoo:a-small-chat", prompt="chat")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, task("0.0"), method=breaking_off(2)(model=model))
    run(tmp_path, task("1.0"))
    assert scored(tmp_path) == [1.0] * 6


def test_a_change_in_a_module_beside_the_class_counts_and_a_librarys_file_does_not(
    tmp_path: Path, task: Write
) -> None:
    (tmp_path / "my_helper.py").write_text("def f(text): return 0.0\n")
    sys.modules.pop("my_helper", None)
    kind = type(task("my_helper.f(text)"))
    assert sources(kind) == [tmp_path / "my_task.py"]
    file = tmp_path / "my_task.py"
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    assert Rule(kind()).identity == f"{READERS}+{expected}"
    file.write_text("import my_helper\n" + file.read_text())
    sys.modules.pop("my_task")
    kind = importlib.import_module("my_task").Mine
    assert sources(kind) == [tmp_path / "my_helper.py", tmp_path / "my_task.py"]
    identity = Rule(kind()).identity
    (tmp_path / "my_helper.py").write_text("def f(text): return 1.0\n")
    assert Rule(kind()).identity != identity


def test_the_rule_of_a_task_of_the_package_is_the_readers() -> None:
    assert Rule(GSM8K()).identity == READERS
    assert sources(GSM8K) == []
    assert Rule(Stories()).identity is None  # nothing is right or wrong in them
    assert Rule(MMLU(likelihood="sum")).identity is None  # nothing is read


def test_answers_that_older_readers_read_are_read_anew_and_none_is_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = WordProblems()
    monkeypatch.setattr("trimtab.runs.rule.READERS", "readers-1")
    run(tmp_path, task)
    lines = reader.read_samples(tmp_path / "run")
    lines[0] |= {"completion": f"<think>The answer is 1.</think> {lines[0]['target']}"}
    lines[1] |= {"completion": "The answer is 5 + 7."}
    lines[1]["measures"].pop("unread")  # as older runs have none
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "run" / "samples.jsonl").write_text(text, encoding="utf-8")
    monkeypatch.undo()
    method = plain()
    summary = run(tmp_path, task, method=method)
    assert "weights" not in vars(method.model)
    assert scored(tmp_path)[:2] == [1.0, 0.0]
    first, second, *_ = reader.read_samples(tmp_path / "run")
    assert (first["measures"]["unread"], second["measures"]["unread"]) == (0, 1)
    assert summary["task"]["rule"] == READERS
    assert summary["metrics"]["unread"]["n"] == 6


# ------------------------------------------------------------------ a rule that fails


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('float("nan")', r"the value nan\. Accepted is a finite number"),
        ('float("inf")', r"the value inf\. Accepted is a finite number"),
        ('"1"', r"the value '1'\. Accepted is a finite number"),
        ("None", r"the value None\. Accepted is a finite number"),
        ("2.0", r"the value 2\.0\. Accepted is 0 or 1"),
        ("0.5", r"the value 0\.5\. Accepted is 0 or 1"),
        ("1 / 0", r"failed: ZeroDivisionError: .*my_task\.py, line 10, in score: return Score"),
    ],
)
def test_what_is_no_score_is_named_and_nothing_is_lost(
    tmp_path: Path, task: Write, rule: str, message: str
) -> None:
    # An empty answer, which is tried first of all, is scored well; a real one is not.
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, task(f"({rule}) if text else 0.0"))
    assert "my_task.Mine" in str(caught.value)
    (kept,) = reader.read_samples(tmp_path / "run")
    assert f"sample '{kept['id']}'" in str(caught.value)
    assert kept["completion"] and kept["scores"] == {} and kept["score_error"]
    facts = reader.read_facts(tmp_path / "run")
    assert facts and facts["status"] == "failed"
    run(tmp_path, task("1.0"))
    lines = reader.read_samples(tmp_path / "run")
    assert [line["completion"] for line in lines if line["id"] == kept["id"]] == [
        kept["completion"]
    ]
    assert scored(tmp_path) == [1.0] * 6
    assert not any("score_error" in line for line in lines)


def test_a_rule_mended_elsewhere_than_in_its_file_goes_on_too(
    tmp_path: Path, task: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORTH", raising=False)
    rule = 'float(__import__("os").environ["WORTH"]) if text else 0.0'
    with pytest.raises(ValueError, match="failed: KeyError: 'WORTH'"):
        run(tmp_path, task(rule))
    monkeypatch.setenv("WORTH", "1")
    run(tmp_path, task(rule))
    assert scored(tmp_path) == [1.0] * 6


def test_a_finished_run_keeps_its_scores_where_the_new_rule_fails(
    tmp_path: Path, task: Write
) -> None:
    first = run(tmp_path, task("1.0"))
    files = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match="Accepted is 0 or 1"):
        run(tmp_path, task("7.0 if text else 0.0"))
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == files
    assert run(tmp_path, task("1.0")) == first


@pytest.mark.parametrize("at", ["write_samples", "write_config", "write_summary"])
def test_a_rule_that_was_tried_and_taken_back_leaves_no_score(
    tmp_path: Path, task: Write, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the scoring anew was broken off."""

    def broken_off(*_: Any) -> None:
        raise KeyboardInterrupt

    config = {"method": {}, "task": {}, "generation": {}}
    first = run(tmp_path, task("0.0"), config=config)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_folder.RunFolder, at, broken_off)
        run(tmp_path, task("1.0"), config=config)
    assert not survey([tmp_path]).runs  # the summary may be of other scores than the records
    assert run(tmp_path, task("0.0"), config=config)["metrics"] == first["metrics"]
    assert scored(tmp_path) == [0.0] * 6
    assert len(survey([tmp_path]).runs) == 1


def test_a_rule_that_fails_on_an_empty_answer_stops_before_anything_is_made(
    tmp_path: Path, task: Write
) -> None:
    method = plain()
    with pytest.raises(ValueError, match=r"the answer '', failed: IndexError"):
        run(tmp_path, task('float(text[0] == "a")'), method=method)
    assert "weights" not in vars(method.model)
    assert not (tmp_path / "run").exists()


@dataclass(frozen=True, kw_only=True)
class Odd(Task):
    """A task that gives whatever it is told to."""

    rows: Any = ("a", "b")
    made: Any = None
    given: Any = None
    metric = "worth"
    bounds = {"worth": (1.0, 5.0)}  # noqa: RUF012
    source = "two rows"

    def load(self) -> Sequence[Any]:
        return self.rows

    def sample(self, row: Any, index: int) -> Any:
        question = Conversation(question="Well?")
        return self.made or Sample(id=str(index), conversation=question, target=None)

    def score(self, text: str, sample: Sample) -> Any:
        return self.given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0.5, r"returned 0\.5, of type float\. Accepted is a Score"),
        (Score(prediction=None, values={"worth": 5.5}), r"value 5\.5\. Accepted is 1 to 5"),
        (Score(prediction=3, values={"worth": 2.0}), r"prediction 3\. Accepted is text"),
        (Score(prediction=None, values=2.0), r"values 2\.0\. Accepted is a dict"),
        (Score(prediction=None, values={2: 1.0}), r"gave 2 the value 1\.0"),
    ],
)
def test_a_score_is_checked_against_what_the_task_says(given: Any, message: str) -> None:
    task = Odd(given=given)
    with pytest.raises(ValueError, match=message):
        Rule(task).score("text", task.samples()[0])


def test_whole_numbers_and_truth_values_are_scores() -> None:
    task = Odd(given=Score(prediction="x", values={"worth": True, "other": 7}))
    values = Rule(task).score("text", task.samples()[0]).values
    assert values == {"worth": 1.0, "other": 7.0}
    assert {type(value) for value in values.values()} == {float}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": (n for n in "ab")}, r"Odd .*\.load\(\) returned a generator.*list\(\.\.\.\)"),
        ({"rows": {"test": ["a"]}}, r"load\(\) returned a dict"),
        ({"rows": "ab"}, r"load\(\) returned a str"),
        ({"rows": None}, r"load\(\) returned a NoneType"),
        ({"rows": []}, "holds no rows"),
        ({"made": {"id": "1"}}, r"sample\(\), of row 1, returned .*of type dict.*a Sample"),
        (
            {"made": Sample(id=1, conversation=Conversation(question="?"), target=None)},
            "gave the id 1, of type int. Accepted is text",
        ),
        (
            {"made": Sample(id="1", conversation="Well?", target=None)},
            "gave the conversation 'Well.', of type str. Accepted is a Conversation",
        ),
        (
            {"made": Sample(id="1", conversation=Conversation(question="?"), target=5)},
            "gave the target 5, of type int. Accepted is text, or None",
        ),
    ],
)
def test_rows_and_samples_that_are_none_are_named(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Odd(**settings).samples()


@pytest.mark.parametrize(
    ("task", "message"),
    [({"n": 3}, "of type builtins.dict"), (Odd(), "Odd .*has no metric")],
)
def test_what_is_no_task_is_refused(tmp_path: Path, task: Any, message: str) -> None:
    if isinstance(task, Odd):
        object.__setattr__(task, "metric", None)
    with pytest.raises(ValueError, match=message):
        run(tmp_path, task)
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ one run, two scorings


def test_another_scoring_is_another_metric_of_the_same_answers(tmp_path: Path) -> None:
    rows = tmp_path / "gsm8k" / "test.jsonl"
    rows.parent.mkdir()
    rows.write_text('{"question": "Ana has 2 pens. She buys 3. How many?", "answer": "#### 5"}\n')
    strict, published = (GSM8K(data_dir=str(rows), scoring=s) for s in ("strict", "published"))
    first = run(tmp_path, strict)
    method = plain()
    second = run(tmp_path, published, method=method)
    assert "weights" not in vars(method.model)
    assert (first["task"]["metric"], second["task"]["metric"]) == ("accuracy", "published")
    assert first["metrics"] == second["metrics"]
    assert reader.read_summary(tmp_path / "run") == second
    assert run(tmp_path, strict)["task"]["metric"] == "accuracy"


# ------------------------------------------------------------------ errors in a user's code


def test_an_error_is_described_by_the_last_line_in_the_users_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("import json\n\n\ndef f(x):\n    return json.loads(x)\n")
    namespace: dict[str, Any] = {}
    code = compile((tmp_path / "mine.py").read_text(), str(tmp_path / "mine.py"), "exec")
    exec(code, namespace)
    with pytest.raises(json.JSONDecodeError) as caught:
        namespace["f"]("{")
    said = described(caught.value)
    assert said.startswith("JSONDecodeError: Expecting")
    assert said.endswith("(mine.py, line 5, in f: return json.loads(x))")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "line 5" not in described(caught.value)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert f"({tmp_path / 'mine.py'}, line 5, in f" in described(caught.value)

"""Files of rows that others wrote: each layout read rightly, or refused by row and column."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from trimtab import Conversation, Generation, LanguageModel
from trimtab.methods import Plain
from trimtab.runs.preconditions import content
from trimtab.tasks import (
    GSM8K,
    MMLU,
    ARCChallenge,
    QuestionAnswer,
    Sample,
    StoredResponses,
    Task,
)
from trimtab.tasks.rows import read_rows

ROWS = [{"question": "2 + 3?", "answer": "5"}, {"question": "4 + 4?", "answer": "8"}]
FRAME = pd.DataFrame(ROWS)
LAYOUTS = {
    **{orient: FRAME.to_json(orient=orient) for orient in ("columns", "index", "split", "records")},
    "table": FRAME.to_json(orient="table"),
    "filtered": FRAME.set_axis([3, 17]).to_json(),
    "lines": FRAME.to_json(orient="records", lines=True),
    "blank lines": FRAME.to_json(orient="records", lines=True).replace("\n", "\r\n\r\n"),
    "lists": json.dumps(FRAME.to_dict(orient="list")),
    "data": json.dumps({"version": "1.1", "data": ROWS}),
    "indented": json.dumps(ROWS, indent=1),
    "byte-order mark": "\ufeff" + json.dumps(ROWS),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_json_of_each_layout_holds_the_same_questions(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(LAYOUTS[name], "utf-8")
    samples = QuestionAnswer(path=str(file)).samples()
    assert [(s.conversation.question, s.target) for s in samples] == [
        ("2 + 3?", "5"),
        ("4 + 4?", "8"),
    ]
    assert [sample.id for sample in samples] == ["0", "1"]


def arrow(file: Path, **columns: list[Any]) -> None:
    pyarrow.parquet.write_table(pa.table(columns), file)


REFUSED = [
    ("a.json", '{"question": ["q", "r"], "answer": ["a"]}', "different lengths: {'question': 2"),
    ("a.json", '{"train": [{"question": "q"}], "test": [{}]}', "lists named 'train', 'test'"),
    ("a.json", '{"one": {"question": "q"}, "two": {}}', "objects named 'one', 'two'"),
    ("a.json", '{"question": "q", "examples": [{"question": "r"}]}', "it may be one row"),
    ("a.json", '{"columns": ["a", "a"], "data": []}', "the column 'a' twice"),
    ("a.json", '{"columns": ["a", "b"], "data": [[1, 2], [3]]}', "row 2 is no list of 2 cells"),
    ("a.json", '[{"a": 1}, {"a": 1, "b": {"c": 1, "c": 2}}]', "row 2 has the column 'c' twice"),
    ("a.json", '{"a": [1], "a": [2]}', "the column 'a' twice"),
    ("a.jsonl", '{"a": 1}\n\n{"a": 1, "a": 2}', "row 2 has the column 'a' twice"),
    ("a.json", "[" * 100_000, "nested too deeply"),
    ("a.csv", "a,b,a\n1,2,3\n", "the column 'a' twice"),
    ("a.csv", "a,b\n1,2\n3\n", r"row 2 has fewer cells than .* columns: 1, not 2 \(a, b\)"),
    ("a.csv", "question\tanswer\nq\ta\n", "has tabs, and no commas"),
    ("a.csv", "question;answer\nq;a\n", "has semicolons, and no commas"),
    ("a.csv", "question,answer\nq,a\n".encode("utf-16"), "in line 1. Save it as UTF-8"),
    ("a.csv", "question,answer\nq,a\n".encode("utf-16-le"), "line 1 has a zero byte"),
    ("a.csv", "question,answer\nq,café\n".encode("latin-1"), "in line 2. Save it as UTF-8"),
]


@pytest.mark.parametrize(("name", "text", "problem"), REFUSED)
def test_what_leaves_open_what_a_row_is(
    name: str, text: str | bytes, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=problem):
        read_rows(file)


def test_other_files_that_are_no_rows(tmp_path: Path) -> None:
    twice = tmp_path / "twice.parquet"
    pyarrow.parquet.write_table(pa.table([[1], [2]], names=["a", "a"]), twice)
    with pytest.raises(ValueError, match="the column 'a' twice"):
        read_rows(twice)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        QuestionAnswer(path=str(tmp_path / "pipe.json")).samples()
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(b"")
    for door in (lambda: QuestionAnswer(path=str(packed)), lambda: GSM8K(data_dir=str(packed))):
        with pytest.raises(ValueError, match="Unpack it first: gunzip"):
            door()


CELLS: list[tuple[str, Any, str]] = [
    ("question", ["q"], "a list of 1 in 'question', where text is read"),
    (
        "question",
        [{"role": "tool", "content": "q"}],
        "no chat in 'question'. Messages of",
    ),
    ("question", [{"role": "user", "content": None}], "no chat in 'question'. Message 1"),
    (
        "question",
        {"stem": "q", "note": ""},
        "an object of stem, note in 'question'.*'question.stem'",
    ),
    ("question", 7, "7 of type int in 'question'"),
    ("question", True, "true in 'question'"),
    ("question", " ", "has no 'question'"),
    ("question", "half \ud83d", r"has \\ud83d in 'question', half of a surrogate pair"),
    ("answer", {"text": ["5"], "answer_start": [0]}, "an object of text, .*'answer.text'"),
    ("answer", [["5"]], "a list of 1 in 'answer'"),
    ("answer", [], "has no 'answer'"),
    ("answer", ["5", None], "in 'answer'"),
    ("answer", float("nan"), "has no 'answer'"),
    ("answer", float("inf"), "inf of type float in 'answer'"),
    ("answer", {}, "an empty object in 'answer'"),
    ("answer", None, "has no 'answer'"),
    ("answer", "\udc00", "half of a surrogate pair"),
    ("id", None, "has no text or number in 'id'"),
    ("id", ["1"], "has no text or number in 'id'"),
    ("id", "\ud83d", "has no text or number in 'id'"),
]


@pytest.mark.parametrize(("column", "cell", "problem"), CELLS)
def test_a_cell_that_is_no_text_is_refused_by_row_and_column(
    column: str, cell: Any, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    good = {"id": "a", "question": "q", "answer": "5"}
    rows = [good, {**good, "id": "b", column: cell}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=rf"^Row 2 of .*{problem}"):
        QuestionAnswer(path=str(file)).samples()


def test_cells_of_arrow_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    for cell in (b"5", pd.Timestamp("2020-01-01"), {"a": 1}, [{"a": 1}]):
        arrow(file, question=["q"], answer=[cell])
        with pytest.raises(ValueError, match=r"^Row 1 of .* in 'answer', where text, or a number"):
            QuestionAnswer(path=str(file)).samples()
    arrow(file, question=["q", "r"], answer=[5.0, None])
    with pytest.raises(ValueError, match=r"^Row 2 of .* has no 'answer'"):
        QuestionAnswer(path=str(file)).samples()


@pytest.mark.parametrize(
    ("number", "right"), [(5, "5"), (5.0, "5"), (-0.25, "-0.25"), (1e22, "1" + 22 * "0")]
)
def test_an_answer_may_be_a_number(number: float, right: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"question": "q", "answer": number}]))
    task = QuestionAnswer(path=str(file))
    (sample,) = task.samples()
    assert task.score(f"The answer is {right}.", sample).values["accuracy"] == 1
    assert task.score("The answer is 6.", sample).values["accuracy"] == 0


@pytest.mark.parametrize(("answer", "other"), [(True, "no"), (False, "yes")])
def test_an_answer_may_be_true_or_false(answer: bool, other: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"question": "q", "answer": answer}]))
    task = QuestionAnswer(path=str(file))
    (sample,) = task.samples()
    for text in (str(answer), str(answer).lower(), "yes" if answer else "no"):
        assert task.score(f"The answer is {text}.", sample).values["accuracy"] == 1
    assert task.score(f"The answer is {other}.", sample).values["accuracy"] == 0


def test_of_several_answers_each_is_right(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [
        {"question": "2 + 3?", "answer": ["5", "five", "a handful"]},
        {"question": {"stem": "Who?"}, "answer": {"text": ["Ada", "Lovelace"]}},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=r"^Row 2"):
        QuestionAnswer(path=str(file)).samples()
    task = QuestionAnswer(path=str(file))
    (sample,) = task.samples(1)
    assert (sample.target, sample.also_right) == ("5", ("five", "a handful"))
    for text in ("5", "The answer is 5.", "five", "The answer is a handful."):
        assert task.score(text, sample).values["accuracy"] == 1, text
    for text in ("6", "six", "The answer is two handfuls."):
        assert task.score(text, sample).values["accuracy"] == 0, text

    file.write_text(json.dumps([rows[1], rows[1]]))
    task = QuestionAnswer(path=str(file), question="question.stem", answer="answer.text")
    sample = task.samples(1)[0]
    assert sample.conversation.question == "Who?"
    assert task.score("Lovelace", sample).values["accuracy"] == 1
    assert task.score("Turing", sample).values["accuracy"] == 0


def test_further_answers_are_part_of_what_rows_are() -> None:
    method = Plain(model=LanguageModel(path="zoo:a-small-base", prompt="plain"))

    def data(*also: str) -> str:
        asked = Conversation(question="q")
        sample = Sample(id="0", conversation=asked, target="5", also_right=also)
        return str(content(method, [sample], Generation(), {})["data"])

    assert len({data(), data("6"), data("6", "7"), data("67")}) == 4


def test_stored_responses_are_texts(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"question": "q", "plain": "a", "expert": ["b"]}]))
    task = StoredResponses(path=str(file), levels=["plain", "expert"])
    with pytest.raises(ValueError, match=r"^Row 1 of .* has a list of 1 in 'expert'"):
        task.samples()


@pytest.mark.parametrize(
    ("task", "row", "problem"),
    [
        (GSM8K, {"question": ["q"], "answer": "#### 5"}, "a list of 1 in 'question'"),
        (GSM8K, {"question": "q", "answer": ["#### 5"]}, "a list of 1 in 'answer'"),
        (GSM8K, {"question": "q", "answer": float("nan")}, "no right answer in 'answer'"),
        (
            MMLU,
            {"question": "q", "subject": "s", "choices": [["x"], "y"], "answer": 0},
            "a list of",
        ),
        (MMLU, {"question": "q", "subject": "s", "choices": [True, "y"], "answer": 0}, "true in"),
        (
            ARCChallenge,
            {"question": "q", "choices": {"label": "AB", "text": "xy"}, "answerKey": "A"},
            "options that cannot be told apart",
        ),
    ],
)
def test_cells_of_benchmarks_are_read_by_kind(
    task: type[GSM8K], row: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text(json.dumps(row))
    with pytest.raises(ValueError, match=rf"^Row 1 .* has .*{problem}"):
        task(data_dir=str(file)).samples()


# ---------------------------------------------------------------------------- MMLU's own files

ALGEBRA = 'What is 2+2?,3,4,5,6,B\n"In ""x, y""\nwhich is last?",x,y,a,b,B\n'
ANATOMY = "Which is a bone?,femur,iris,cornea,liver,A\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The publishers' archive: a file for each subject, without a line of names."""
    files = {
        "test/abstract_algebra_test.csv": ALGEBRA,
        "test/anatomy_test.csv": ANATOMY,
        "val/anatomy_val.csv": ANATOMY,
        "dev/anatomy_dev.csv": ANATOMY,
        "auxiliary_train/mc_test.csv": ANATOMY,
        "auxiliary_train/race.csv": ANATOMY,
    }
    for name, text in files.items():
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "data"


def asked(task: Task) -> list[tuple[str, str | None]]:
    return [(sample.conversation.user, sample.target) for sample in task.samples()]


BONE = ("Subject: anatomy\nQuestion: Which is a bone?\nA. femur\nB. iris\nC. cornea\nD. liver", "A")


def test_the_publishers_files_of_mmlu(archive: Path) -> None:
    everything = asked(MMLU(data_dir=str(archive)))
    assert everything == [
        ("Subject: abstract_algebra\nQuestion: What is 2+2?\nA. 3\nB. 4\nC. 5\nD. 6", "B"),
        (
            'Subject: abstract_algebra\nQuestion: In "x, y"\nwhich is last?\n'
            "A. x\nB. y\nC. a\nD. b",
            "B",
        ),
        BONE,
    ]
    assert asked(MMLU(data_dir=str(archive / "test"))) == everything
    assert asked(MMLU(data_dir=str(archive / "test" / "anatomy_test.csv"))) == [BONE]
    assert asked(MMLU(data_dir=str(archive), split="validation")) == [BONE]
    assert asked(MMLU(data_dir=str(archive), split="dev")) == [BONE]


def test_files_of_mmlu_with_a_line_of_names_or_without_a_subject(archive: Path) -> None:
    file = archive / "test" / "anatomy_test.csv"
    file.write_text("question,A,B,C,D,answer\n" + ANATOMY)
    assert asked(MMLU(data_dir=str(file))) == [BONE]
    with pytest.raises(ValueError, match=r"^Row 1 .*race.csv has no text in 'subject'"):
        MMLU(data_dir=str(archive / "auxiliary_train" / "race.csv")).samples()
    file.write_text("0,1,2,3,4,5\n" + ANATOMY)  # as pandas numbers columns
    with pytest.raises(ValueError, match=r"^Row 1 .* the answer '5', which is none of A, B, C, D"):
        MMLU(data_dir=str(file)).samples()
    file.write_text("Which is a bone?,femur,iris,A\n")
    with pytest.raises(ValueError, match=r"row 1 has fewer cells .* 4, not 6 \(question, A, B"):
        MMLU(data_dir=str(file)).samples()

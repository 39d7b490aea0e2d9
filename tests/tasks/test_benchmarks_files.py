"""Where a benchmark's rows come from: files of a folder, and the hub."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from huggingface_hub import constants

from trimtab import tasks
from trimtab.tasks import hub_data as hub_rows
from trimtab.tasks.rows import find_rows, read_rows


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("[]")
    return folder


def found(folder: Path, split: str = "test", **options: Any) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in find_rows(folder, split, **options)]


@pytest.mark.parametrize(
    ("there", "options", "expected"),
    [
        (["test.json", "train.json"], {}, ["test.json"]),
        (["x_test.json", "x_train.json"], {"split": "train"}, ["x_train.json"]),
        (["latest.json", "test.json"], {}, ["test.json"]),
        (["rows.json"], {}, ["rows.json"]),
        (["rows.json", "notes.txt", ".test.json", "dataset_infos.json"], {}, ["rows.json"]),
        (["a.json", "All.json"], {"names": ["all.json"]}, ["All.json"]),
        (["all.json", "test.json"], {"names": ["all.json"]}, ["all.json"]),
        (["x_dev.json", "x_test.json"], {"split": "validation", "alias": "dev"}, ["x_dev.json"]),
        (["test/train.json", "test/test.json"], {}, ["test/test.json"]),
        (["data/test/rows.json", "data/train/rows.json"], {}, ["data/test/rows.json"]),
        (
            ["main/test-00000-of-00001.json", "other/test-00000-of-00001.json"],
            {"config": "main"},
            ["main/test-00000-of-00001.json"],
        ),
        (
            ["test-00001-of-00002.json", "test-00000-of-00002.json", "train-00000-of-00001.json"],
            {},
            ["test-00000-of-00002.json", "test-00001-of-00002.json"],
        ),
    ],
)
def test_the_file_of_a_folder(
    there: list[str], options: dict[str, Any], expected: list[str], tmp_path: Path
) -> None:
    assert found(files(tmp_path, *there), **options) == expected


@pytest.mark.parametrize(
    ("there", "options", "message"),
    [
        ([], {}, "no file fits split 'test' .* There: no .json"),
        (["train.json"], {}, "no file fits split 'test' .* There: train.json"),
        (["a.json", "b.json"], {"names": ["c.json"]}, "looked for 'c.json', a name with 'test'"),
        (["a/test.json", "b/test.json"], {"config": "c"}, "more than one file fits split 'test'"),
        (["1/2/3/4/5/test.json"], {}, "no file fits"),
    ],
)
def test_a_folder_in_which_no_file_is_the_one(
    there: list[str], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        found(files(tmp_path, *there), **options)


def test_files_and_saved_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    file = files(tmp_path, "train.json") / "train.json"
    assert find_rows(file, "test") == (file,)
    saved = tmp_path / "saved"
    Dataset.from_list([{"a": 1}]).save_to_disk(saved)
    assert find_rows(saved, "test") == (saved,)
    odd = tmp_path / "rows.xlsx"
    odd.write_text("")
    with pytest.raises(ValueError, match=r"rows.xlsx' is of no kind that is read: .json, .jsonl"):
        find_rows(odd, "test")


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    for shard in (1, 0):
        rows = [{"question": f"{shard}?", "answer": f"#### {shard}"}]
        Dataset.from_list(rows).to_parquet(tmp_path / f"test-0000{shard}-of-00002.parquet")
    task = tasks.GSM8K(data_dir=str(tmp_path))
    assert [one.conversation.question for one in task.samples()] == ["0?", "1?"]
    assert [one.id for one in task.samples()] == ["0", "1"]
    assert task.source.endswith("test-00000-of-00002.parquet and 1 more")


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.json", '[{"a": "\u2028x"}]', [{"a": "\u2028x"}]),
        ("a.jsonl", '{"a": "\u2028x"}\r\n\n{"a": 2}', [{"a": "\u2028x"}, {"a": 2}]),
        ("a.jsonl", '{"a": 1}', [{"a": 1}]),
        ("a.json", '{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ("a.json", '{"canary": "x", "examples": [{"a": 1}]}', [{"a": 1}]),
        ("a.csv", 'a,b\n"x, ""y""\nz",007\n', [{"a": 'x, "y"\nz', "b": "007"}]),
        ("a.csv", "", []),
        ("a.jsonl", "\n", []),
    ],
)
def test_text_files(name: str, text: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(text.encode())
    assert read_rows(file) == rows
    file.write_bytes(text.encode("utf-8-sig"))
    assert read_rows(file) == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": ', "cannot be read as .jsonl: line 2: "),
        ("a.json", b"[1, 2]", "Row 1 of .* is 1. Each row is an object"),
        ("a.json", b'"text"', "cannot be read as .json: it holds no list"),
        ("a.json", "[{}]".encode("utf-16"), "cannot be read as .json: 'utf-8' codec"),
        ("a.csv", b"a,b\n1,2\n3,4,5\n", "row 2 has more cells than the first line has columns"),
        ("a.csv", b'a,b\n"1,2\n', "cannot be read as .csv: unexpected end of data"),
        ("a.parquet", b"PAR", "cannot be read as .parquet"),
    ],
)
def test_files_that_are_not_what_they_say(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_rows(file)


def test_a_saved_folder_of_several_splits_is_no_table(tmp_path: Path) -> None:
    DatasetDict({"test": Dataset.from_list([{"a": 1}])}).save_to_disk(tmp_path)
    with pytest.raises(ValueError, match="several splits; give the folder of one of: test"):
        read_rows(tmp_path)


# ------------------------------------------------------------------ the hub

MMLU_ROWS = [
    {"question": " 2 + 2? ", "subject": "mathematics", "choices": ["3", "4"], "answer": 1},
    {"question": "Which is wet?", "subject": "nature", "choices": ["water", "fire"], "answer": 0},
]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out as MMLU's repository on the hub, in its place."""
    names = ClassLabel(names=["A", "B", "C", "D"])
    features = Features(
        question=Value("string"),
        subject=Value("string"),
        choices=List(Value("string")),
        answer=names,
    )
    repository = tmp_path / "repository"
    for split, rows in (("test", MMLU_ROWS), ("validation", MMLU_ROWS[:1])):
        file = repository / "all" / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_list(rows, features=features).to_parquet(file)
    configs = (
        "---\nconfigs:\n"
        "- config_name: all\n  data_files:\n"
        "  - {split: test, path: all/test-*}\n  - {split: validation, path: all/validation-*}\n"
        "- config_name: nature\n  data_files:\n  - {split: test, path: all/validation-*}\n---\n"
    )
    (repository / "README.md").write_text(configs)
    monkeypatch.setattr(tasks.MMLU, "hub_id", str(repository))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    return repository


def test_rows_of_the_hub(hub: Path) -> None:
    task = tasks.MMLU()
    first, second = task.samples()
    assert first.conversation.user == "Subject: mathematics\nQuestion: 2 + 2?\nA. 3\nB. 4"
    assert (first.target, second.target) == ("B", "A")
    assert (first.id, second.id) == ("0", "1")
    assert task.source == f"{hub} all, split test"
    assert task.revision_in_use is None  # these files are not the hub's
    assert len(tasks.MMLU(split="validation").samples()) == 1
    with pytest.raises(ValueError, match=r'Unknown split "tset".*\[\'test\', \'validation\'\]'):
        tasks.MMLU(split="tset").samples()


def test_a_clone_of_the_hubs_repository_is_a_data_dir(hub: Path) -> None:
    assert len(tasks.MMLU(data_dir=str(hub)).samples()) == 2
    assert len(tasks.MMLU(data_dir=str(hub), split="validation").samples()) == 1


def test_what_the_hub_is_asked_for_and_the_commit_that_it_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def load_dataset(*arguments: Any, **options: Any) -> Dataset:
        asked.append((arguments, options))
        rows = Dataset.from_list([{"question": "2 + 2?", "answer": "#### 4"}])
        commit = "cc7b047b6e5bb11b4f1af84efc572db110a51b3c"
        file = f"hf://datasets/openai/gsm8k@{commit}/main/test-00000-of-00001.parquet"
        rows.info.download_checksums = {file: {"num_bytes": 1, "checksum": None}}
        return rows

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    task = tasks.GSM8K(revision="v1")
    assert task.samples()[0].target == "#### 4"
    assert task.revision_in_use == "cc7b047b6e5bb11b4f1af84efc572db110a51b3c"
    assert asked == [(("openai/gsm8k", "main"), {"split": "test", "revision": "v1"})]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Couldn't reach 'tau/commonsense_qa' on the Hub"),
        RuntimeError("Dataset scripts are no longer supported"),
    ],
)
def test_a_hub_that_gives_no_rows(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*arguments: Any, **options: Any) -> Dataset:
        raise error

    monkeypatch.setattr(hub_rows, "answers_soon", lambda endpoint: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ValueError, match=rf"tau/commonsense_qa.*{error}.*task.data_dir=FOLDER"):
        tasks.CommonsenseQA().samples()


def test_a_hub_that_is_not_found_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")  # RFC 2606: never a host
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    offline = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    with pytest.raises(
        ValueError, match=r"gives no rows: the hub \(https://hub\.invalid\) does not answer.*"
    ):
        tasks.GSM8K().samples()
    assert "Retry" not in "".join(capfd.readouterr())
    assert offline == (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)


def test_a_host_behind_a_proxy_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://localhost:1")
    assert hub_rows.answers_soon("https://hub.invalid")


def test_a_local_file_has_no_revision(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"question": "2 + 2?", "answer": "#### 4"}]))
    assert tasks.GSM8K(data_dir=str(file)).revision_in_use is None
    assert tasks.WordProblems().revision_in_use is None


def test_a_folder_here_does_not_stand_in_for_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path / "openai" / "gsm8k", "main/test.json")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"openai/gsm8k would be read in its place\. Move it away"):
        tasks.GSM8K().samples()

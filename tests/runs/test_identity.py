"""What a run is made of: nothing that a user changed between two runs gives an old number."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from trimtab import Completion, DeRa, Generation, LanguageModel, Plain
from trimtab.config.user_files import behind, hashes
from trimtab.methods import Method
from trimtab.runs import environment, reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.scorers import FunctionReward
from trimtab.tasks import WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
MODULES = {
    "mine/__init__.py": "",
    "mine/methods.py": """
from dataclasses import dataclass, field
from pathlib import Path

from trimtab import Plain
from mine.base import Base


@dataclass(frozen=True, kw_only=True)
class Mine(Base):
    words: str | None = None
    function: str | None = None
    piece: object = None

    def answer(self, *given):
        from . import lazily
        tail = lazily.tail() + Path(__file__).with_name("tail.txt").read_text()
        tail += (Path(__file__).parent / "data" / "more.txt").read_text()
        with open("written.txt", "w") as stream:
            stream.write(tail)
        return (yield from self.told(super().answer(*given), tail))


def made(**settings):
    return Plain(**settings)
""",
    "mine/base.py": """
import dataclasses
from trimtab import Plain


class Base(Plain):
    def told(self, answer, tail):
        completion = yield from answer
        return dataclasses.replace(completion, text=completion.text + tail)
""",
    "mine/lazily.py": """
import importlib


def tail():
    return importlib.import_module('beside').x
""",
    "mine/unused.py": "x = 1\n",
    "mine/tail.txt": "!",
    "mine/data/more.txt": "?",
    "beside.py": "x = '.'\n",
    "pieces.py": "class Piece:\n    pass\n\ndef f(x):\n    return x\n",
    "rewards.py": """
import shared


def brevity(completion, question, target):
    return shared.x
""",
    "shared.py": "x = 1.0\n",
}
Import = Callable[[str], Any]


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Import]:
    """A folder of a user's code; gives a module of it as it is now, as a new process would."""
    folder = tmp_path / "code"
    for name, text in MODULES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(folder)
    before = set(sys.modules)

    def imported(name: str) -> Any:
        forget()
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def forget() -> None:
        for module in set(sys.modules) - before:
            if module.partition(".")[0] in {"mine", "beside", "pieces", "rewards", "shared"}:
                del sys.modules[module]

    yield imported
    forget()


def chat() -> LanguageModel:
    return LanguageModel(path="zoo:a-small-chat", prompt="chat")


def run(folder: Path, method: Method, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "task": WordProblems(),
        "method": method,
        "generation": Generation(max_new_tokens=4, batch_size=4),
        "limit": 3,
        "folder": folder,
        "config": {"method": {}},
        "start_tracker": lambda: NO_TRACKER,
    }
    return evaluate(Job(**(settings | changes)))


# ------------------------------------------------------------------ a user's code


@pytest.mark.parametrize("finished", [True, False])
def test_answers_of_a_method_that_has_changed_are_not_given_again(
    stranger: Import, tmp_path: Path, finished: bool
) -> None:
    folder = tmp_path / "run"
    first = run(folder, stranger("mine.methods").Mine(model=chat()))
    assert run(folder, stranger("mine.methods").Mine(model=chat())) == first
    if not finished:
        (folder / "summary.json").unlink()
    (tmp_path / "code/mine/lazily.py").write_text("def tail():\n    return 'new'\n")
    before = (folder / "samples.jsonl").read_text()
    with pytest.raises(ValueError, match=r"begun with other code: .*lazily\.py.*Move the folder"):
        run(folder, stranger("mine.methods").Mine(model=chat()))
    assert (folder / "samples.jsonl").read_text() == before
    run(tmp_path / "new", stranger("mine.methods").Mine(model=chat()))
    assert all(
        line["completion"].endswith("new!?") for line in reader.read_samples(tmp_path / "new")
    )


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("mine/methods.py", True),
        ("mine/__init__.py", True),
        ("mine/base.py", True),
        ("mine/lazily.py", True),  # imported in a function
        ("beside.py", True),  # imported by name
        ("mine/tail.txt", True),
        ("mine/data/more.txt", True),
        ("pieces.py", True),  # an object that it holds
        ("mine/unused.py", False),
        ("written.txt", False),  # by the method itself
    ],
)
def test_what_a_method_is_made_of(
    stranger: Import, tmp_path: Path, name: str, counts: bool
) -> None:
    file = tmp_path / "code" / name
    if not file.exists():
        file.write_text("")

    def made_of() -> dict[str, str]:
        kind = stranger("mine.methods").Mine
        piece = importlib.import_module("pieces").Piece()
        return hashes(behind(kind(model=chat(), piece={"a": [piece]})))

    before = made_of()
    assert made_of() == before
    file.write_text(file.read_text() + "\n")
    assert (made_of() != before) == counts


def test_files_and_functions_that_settings_name_count(stranger: Import, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one")
    kind = stranger("mine.methods").Mine
    importlib.import_module("pieces")
    method = kind(model=chat(), words=str(tmp_path / "words.txt"), function="pieces.f")
    before = hashes(behind(method))
    assert {"words.txt", "pieces.py"} <= before.keys()
    (tmp_path / "words.txt").write_text("two")
    assert hashes(behind(method)) != before
    assert "pieces.py" not in hashes(behind(kind(model=chat())))


@pytest.mark.parametrize(
    ("code", "file"),
    [
        ('(HERE.parent / "data" / "x.txt").read_text()', "mine/data/x.txt"),  # above the code
        ('(HERE.parents[1] / "x.txt").read_text()', "x.txt"),  # beside its package
        ('(HERE / "data" / "en" / "x.txt").read_text()', "mine/deep/data/en/x.txt"),
        ('(HERE / "data" / f"{self.name}.txt").read_text()', "mine/deep/data/x.txt"),
        ('[p.read_text() for p in (HERE / "data").rglob("*.txt")]', "mine/deep/data/en/x.txt"),
        ('open(ROOT + "/x.txt")', "elsewhere/x.txt"),
    ],
)
def test_files_that_code_names_by_their_folders_count(
    stranger: Import, tmp_path: Path, code: str, file: str
) -> None:
    deep = tmp_path / "code/mine/deep"
    deep.mkdir()
    (deep / "__init__.py").write_text("")
    root = tmp_path / "code/elsewhere"
    (deep / "reads.py").write_text(f"ROOT = {str(root)!r}\nclass Reads:\n  def f(self): {code}\n")
    named = tmp_path / "code" / file
    named.parent.mkdir(parents=True, exist_ok=True)
    named.write_text("one")
    reads = stranger("mine.deep.reads").Reads
    before = hashes(behind(reads()))
    named.write_text("two")
    assert hashes(behind(reads())) != before


def test_a_folder_that_a_setting_names_counts_with_all_in_it_but_runs(
    stranger: Import, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = tmp_path / "words"
    (words / "run").mkdir(parents=True)
    (words / "run/run.json").write_text("{}")
    (words / "a.txt").write_text("one")
    method = stranger("mine.methods").Mine(model=chat(), words=str(words))
    before = hashes(behind(method))
    (words / "run/samples.jsonl").write_text("{}")
    assert hashes(behind(method)) == before
    (words / "a.txt").write_text("two")
    assert hashes(behind(method)) != before
    for number in range(1000):
        (words / f"{number}.txt").touch()
    behind(method)
    assert "more than 1000 files" in caplog.text


def test_what_lies_in_folders_that_code_makes_is_no_source(
    stranger: Import, tmp_path: Path
) -> None:
    code = "import os\nclass Keeps:\n  def f(self): os.makedirs('kept', exist_ok=True)\n"
    (tmp_path / "code/keeps.py").write_text(code)
    keeps = stranger("keeps").Keeps
    before = hashes(behind(keeps()))
    (tmp_path / "code/kept").mkdir()
    (tmp_path / "code/kept/answer.txt").write_text("one")
    assert hashes(behind(keeps())) == before


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_text(folder)
    assert [*hashes(tmp_path / folder / "x.py" for folder in "ab")] == ["a/x.py", "b/x.py"]


def test_a_function_that_makes_a_method_counts(stranger: Import, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = {"method": {"_target_": "mine.methods.made"}}
    stranger("mine.methods")
    run(folder, Plain(model=chat()), config=config)
    facts = reader.read_facts(folder)
    assert facts and "methods.py" in facts["content"]["code"]
    (tmp_path / "code/mine/base.py").write_text(MODULES["mine/base.py"] + "\n")
    with pytest.raises(ValueError, match=r"other code: base\.py"):
        run(folder, Plain(model=chat()), config=config)


def test_a_folder_of_before_code_was_recorded_goes_on_with_a_warning(
    stranger: Import, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    first = run(folder, stranger("mine.methods").Mine(model=chat()))
    facts = json.loads((folder / "run.json").read_text())
    del facts["content"]["code"]
    (folder / "run.json").write_text(json.dumps(facts))
    assert run(folder, stranger("mine.methods").Mine(model=chat())) == first
    assert "methods.py" in caplog.text and "not known" in caplog.text


def test_answers_of_a_class_that_no_file_holds_are_given_again_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that is written in a notebook."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    mine = type("Mine", (Plain,), {"__module__": "__main__"})
    run(tmp_path / "run", mine(model=chat()))
    assert "not known" not in caplog.text
    run(tmp_path / "run", mine(model=chat()))
    assert "Whether Mine changed since is not known" in caplog.text


def test_the_users_commit_is_recorded(stranger: Import, tmp_path: Path) -> None:
    code = tmp_path / "code"
    git = ["git", "-C", str(code), "-c", "user.name=u", "-c", "user.email=u@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "mine"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    mine = behind(stranger("mine.methods").Mine(model=chat()))
    commit = {"folder": "code", "commit": head.stdout.strip()}
    assert environment.now(mine)["own_git"] == [{**commit, "dirty": False}]
    (code / "beside.py").write_text("x = ','\n")
    assert environment.now(mine)["own_git"] == [{**commit, "dirty": True}]
    assert environment.now()["own_git"] == []


def test_a_reward_whose_module_beside_it_has_changed_scores_again(
    stranger: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rewarded() -> float:
        stranger("rewards")
        reward = FunctionReward(function="rewards.brevity")
        return float(
            run(tmp_path / "run", Plain(model=chat()), scorers=[reward])["metrics"]["reward"][
                "value"
            ]
        )

    assert rewarded() == 1.0
    (tmp_path / "code/shared.py").write_text("x = 2.0\n")
    assert rewarded() == 2.0


def test_the_recorded_warning_is_no_noise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="trimtab")
    run(tmp_path, Plain(model=chat()))
    run(tmp_path, Plain(model=chat()))
    assert "not known" not in caplog.text


# ------------------------------------------------------------------ models


def in_memory(name: str, *, prompt: str = "chat") -> LanguageModel:
    loaded = LanguageModel(path=f"zoo:{name}", prompt="chat")
    return LanguageModel.of(loaded.weights, loaded.tokenizer, prompt=prompt)


def test_models_in_memory_are_equal_where_they_are_the_same() -> None:
    sft, dpo = in_memory("a-small-sft"), in_memory("a-small-dpo")
    assert sft != dpo
    again = LanguageModel.of(sft.weights, sft.tokenizer, prompt="chat")
    assert sft == again and hash(sft) == hash(again) and sft.identity == again.identity
    others = [
        LanguageModel.of(sft.weights, dpo.tokenizer, prompt="chat"),
        LanguageModel.of(sft.weights, sft.tokenizer, prompt="plain"),
        LanguageModel(path="in-memory", prompt="chat"),
    ]
    assert all(sft != other for other in others)
    assert sft.identity != dpo.identity


def test_methods_of_different_models_in_memory_do_not_decode_together() -> None:
    sft, dpo = in_memory("a-small-sft"), in_memory("a-small-dpo")
    one, other = (DeRa(reference=dpo, aligned=aligned, strength=1.0) for aligned in (sft, dpo))
    assert not one.goes_with(other)
    with pytest.raises(ValueError, match="decode apart"):
        next(one.stream_together([one, other], [{}, {}], Generation()))
    assert one.goes_with(replace(one, strength=0.5))


def test_weights_in_memory_that_were_changed_are_other_weights(tmp_path: Path) -> None:
    import torch

    model = in_memory("a-small-sft")
    run(tmp_path, Plain(model=model))
    with torch.no_grad():
        next(model.weights.parameters()).add_(0.01)
    with pytest.raises(ValueError, match=r"other models \(model\)"):
        run(tmp_path, Plain(model=model))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A part of a user's method."""

    first: LanguageModel
    others: Sequence[LanguageModel] = ()


@dataclass(frozen=True, kw_only=True)
class Panel(Method):
    """A user's method that holds its models wherever it likes."""

    named: Mapping[str, LanguageModel] = field(default_factory=dict)
    listed: Sequence[LanguageModel] = ()
    pair: Pair | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if self.path:
            object.__setattr__(self, "_judge", LanguageModel(path=self.path, prompt="chat"))

    @property
    def models(self) -> dict[str, LanguageModel]:
        return {"speaker": next(m for m in self.all_held)}

    @property
    def all_held(self) -> list[LanguageModel]:
        pair = [self.pair.first, *self.pair.others] if self.pair else []
        own = [self._judge] if self.path else []
        return [*self.named.values(), *self.listed, *pair, *own]

    def speakers(self) -> Any:
        return {}

    def answer(self, cursors: Any, prompts: Any, generation: Generation) -> Any:
        yield from ()
        return Completion(text="", trace=(), stop_reason="end", tokens={})


class Undecorated(Panel):
    """One that is built by hand."""

    def __init__(self, model: LanguageModel) -> None:
        self.__dict__["listed"] = [model]
        self.__dict__["named"], self.__dict__["pair"], self.__dict__["path"] = {}, None, None


HOLDERS: dict[str, Callable[[LanguageModel], Panel]] = {
    "named.large": lambda model: Panel(named={"large": model}),
    "named['a.b']": lambda model: Panel(named={"a.b": model}),
    "listed[1]": lambda model: Panel(listed=(chat(), model)),
    "pair.first": lambda model: Panel(pair=Pair(first=model)),
    "pair.others[0]": lambda model: Panel(pair=Pair(first=chat(), others=[model])),
    "_judge": lambda model: Panel(path=model.path),
    "listed[0]": Undecorated,
}


@pytest.mark.parametrize("name", HOLDERS)
def test_a_model_is_found_wherever_a_method_holds_it(tmp_path: Path, name: str) -> None:
    import shutil

    from trimtab import zoo

    folder = tmp_path / "model"
    shutil.copytree(zoo.path("a-small-chat"), folder)

    def method() -> Panel:
        return HOLDERS[name](LanguageModel(path=str(folder), prompt="chat"))

    assert method().all_models[name].path == str(folder)
    assert name in method().identity and name in method().provenance()
    run(tmp_path / "run", method())
    shutil.copy(zoo.path("a-small-sft") / "model.safetensors", folder)
    with pytest.raises(ValueError, match="was begun with other models"):
        run(tmp_path / "run", method())

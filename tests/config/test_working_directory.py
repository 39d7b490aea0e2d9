"""A working directory that somebody else made: nothing of it is run that no setting names."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trimtab.config import composition, user_files, working_directory
from trimtab.tracking.trackers import WandbTracker

EVIL = "import pathlib\npathlib.Path({!r}).open('a').write(__name__ + ' ')\n"
# What libraries look for, and take where they find it.
LOOKED_FOR = (
    "numexpr",
    "bottleneck",
    "cupy",
    "tensorflow",
    "flax",
    "sitecustomize",
    "hydra_plugins/evil",
    "zstandard",
    "xformers",
    "flash_attn",
    "bitsandbytes",
    "apex",
    "sklearn/__init__",
)
RUN = "run -m experiment=nudging-word-problems method.threshold=0.2,0.4 task.split=validation"
COMMANDS = [
    f"{RUN} limit=1 generation.max_new_tokens=2",
    "run --help",
    "ls",
    "table",
    "choose",
    "report",
    "vector show zoo:law --picture picture.png",
    "vector extract base=zoo:a-small-base aligned=zoo:a-small-chat out=vector rank=2",
    "search --help",
    "lm-eval --help",
]
DRIVER = """
import json, sys
from trimtab.cli import main as cli

codes = []
for command in json.loads(sys.argv[1]):
    sys.argv = ["trimtab", *command.split()]
    try:
        cli.main()
    except SystemExit as end:
        codes.append(end.code)
import matplotlib
print(json.dumps([codes, matplotlib.rcParams["lines.linewidth"], sys.path]), file=sys.stderr)
"""


@pytest.mark.process
def test_no_command_runs_or_obeys_what_lies_here(tmp_path: Path) -> None:
    here, marker = tmp_path / "here", tmp_path / "marker"
    for name in LOOKED_FOR:
        file = here / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(EVIL.format(str(marker)))
    (here / "matplotlibrc").write_text("lines.linewidth: 77\nbackend: module://numexpr\n")
    driver = tmp_path / "driver" / "driver.py"
    driver.parent.mkdir()
    driver.write_text(DRIVER)
    done = subprocess.run(
        [sys.executable, str(driver), json.dumps(COMMANDS)],
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    )
    codes, width, path = json.loads(done.stderr.strip().splitlines()[-1])
    assert codes == [0] * len(COMMANDS), done.stderr
    assert not marker.exists(), marker.read_text()
    assert width != 77
    assert str(here) not in path
    assert "" not in path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != ""])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    return tmp_path


def test_what_a_setting_names_is_found_with_all_that_it_imports(here: Path) -> None:
    (here / "stranger_task.py").write_text(
        "import importlib\nimport stranger_beside\n"
        "def late():\n"
        "    import stranger_late\n"
        "    return importlib.import_module('stranger_later').VALUE + stranger_late.VALUE\n"
        "class Thing:\n"
        "    value = stranger_beside.VALUE\n"
    )
    for number, name in enumerate(("beside", "late", "later", "unnamed")):
        (here / f"stranger_{name}.py").write_text(f"VALUE = {number + 1}\n")
    thing = composition.build({"_target_": "stranger_task.Thing"})
    assert thing.value == 1
    found = {file.name for file in user_files.sources(type(thing))}
    assert found == {f"stranger_{name}.py" for name in ("task", "beside", "late", "later")}
    assert sys.modules["stranger_task"].late() == 5
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("stranger_unnamed")


def test_a_fingerprint_asks_a_class_that_nothing_has_named_before(here: Path) -> None:
    (here / "stranger_silent.py").write_text(
        "class Thing:\n"
        "    without_effect = frozenset({'speed'})\n"
        "    def __init__(self, speed): ...\n"
    )
    slow, fast = ({"task": {"_target_": "stranger_silent.Thing", "speed": s}} for s in (1, 2))
    assert composition.digest(slow, users=True) == composition.digest(fast, users=True)


def test_a_text_that_is_too_long_for_a_file_names_none(here: Path) -> None:
    (here / "stranger_long.py").write_text(f"PROMPT = '{'問' * 150}'\nclass Thing:\n    pass\n")
    thing = composition.build({"_target_": "stranger_long.Thing"})
    assert [file.name for file in user_files.sources(type(thing))] == ["stranger_long.py"]


def test_what_hydra_is_to_get_is_named(here: Path) -> None:
    (here / "stranger_function.py").write_text("def f():\n    return 7\n")
    node: dict[str, Any] = {"_target_": "hydra.utils.get_method", "path": "stranger_function.f"}
    assert composition.build(node)() == 7
    nested = {"_target_": "builtins.dict", "of": [{"_target_": "one.A"}], "path": "two.B"}
    assert list(working_directory.named(nested)) == ["builtins.dict", "one.A"]


def test_settings_of_wandb_that_lie_here_are_not_obeyed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    obeyed: list[str] = []

    def setup(settings: object) -> None:
        obeyed.append(wandb.Settings().settings_workspace)
        raise OSError("enough")

    (here / "wandb").mkdir()
    (here / "wandb" / "settings").write_text("[default]\nbase_url = https://another.invalid\n")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    monkeypatch.setattr(wandb, "setup", setup)
    WandbTracker(mode="offline").start(
        run_id="a", name="a", job_type="a", config={}, folder=here / "run"
    )
    assert len(obeyed) == 1
    assert not Path(obeyed[0]).is_relative_to(here)
    assert Path.cwd() == here
    assert os.listdir(here / "wandb") == ["settings"]

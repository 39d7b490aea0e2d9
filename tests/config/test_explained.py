"""Whoever asks for help is told what each setting means, and what there is to choose."""

import pytest
import yaml
from hydra.utils import get_object

from trimtab.cli import run_command
from trimtab.config import composition
from trimtab.config.explained import arguments, explained

SETTINGS = [
    (file.relative_to(composition.DIRECTORY), node["_target_"], name)
    for file in sorted(composition.DIRECTORY.rglob("*.yaml"))
    for node in [yaml.safe_load(file.read_text("utf-8"))]
    if isinstance(node, dict) and "_target_" in node
    for name in node
    if name not in ("_target_", "defaults")
]


def test_every_setting_of_every_choice_is_explained_where_it_is_taken() -> None:
    assert len(SETTINGS) > 100
    silent = [
        (str(file), name)
        for file, target, name in SETTINGS
        if not arguments(get_object(target)).get(name)
    ]
    assert silent == []


def test_help_says_what_a_setting_means_below_it_within_80_columns() -> None:
    listed = "method:\n  _target_: trimtab.methods.DeRa\n  strength: 1.0\nlimit: null\n"
    lines = explained(listed).splitlines()
    after = lines.index("  strength: 1.0") + 1
    assert lines[after].startswith("      # 0 is the reference, 1 the aligned model")
    assert lines[lines.index("limit: null") + 1].startswith("    # evaluate so many samples")
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "#" not in line] == listed.splitlines()


def test_the_commands_help_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command.main(["--help", "method=dera"]) == 0
    said = capsys.readouterr().out
    assert "== The experiment" in said and "== Options" in said
    assert "the KL weight that the aligned model was trained with" in said

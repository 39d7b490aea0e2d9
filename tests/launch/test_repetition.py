"""A run again from its folder: the same answers, elsewhere too; what has changed is said."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from scorers.small_classifiers import causal

from trimtab import LanguageModel, zoo
from trimtab.activations import PromptSet, extract
from trimtab.cli import main, rerun_command
from trimtab.config import composition
from trimtab.datastore.building import Example, build
from trimtab.launch import job, repetition
from trimtab.runs import reader

Command = Callable[..., tuple[int, str, str]]
RUN = ("run", "base=a-large-base", "guide=a-small-chat", "limit=3", "generation.max_new_tokens=8")


@pytest.fixture
def trimtab(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command, run in this process; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trimtab", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return command


def only(root: Path) -> Path:
    """The one run folder below a root."""
    (folder,) = reader.run_folders([root])
    return folder


def answers(folder: Path) -> list[object]:
    return [
        [line[name] for name in ("id", "prompts", "completion", "tokens", "scores")]
        for line in reader.read_samples(folder)
    ]


@pytest.fixture
def moved(trimtab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder as somebody else has it: under another name, without its results folder."""
    code, _, err = trimtab(*RUN, "generation=sampling")
    assert code == 0, err
    shutil.copytree(only(tmp_path / "results"), tmp_path / "from afar")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return tmp_path / "from afar"


def test_a_copied_folder_gives_the_same_answers(
    trimtab: Command, moved: Path, tmp_path: Path
) -> None:
    code, out, err = trimtab("rerun", str(moved))
    assert code == 0, err
    assert "All is as it was" in out and "All 3 answers are the same" in out
    again = only(Path("reruns"))
    assert again.parts[:-1] == ("reruns", "word-problems", "nudging")
    assert answers(again) == answers(moved)
    facts = reader.read_facts(moved)
    assert facts and facts["launch"]["command"] == f"trimtab {' '.join(RUN)} generation=sampling"
    assert facts["launch"]["directory"] == str(tmp_path)


def test_what_came_later_is_as_it_was_then(moved: Path) -> None:
    """Nudging's rules had no name once, and were those of blocks."""
    config = reader.read_config(moved)
    assert config["method"].pop("rules") == "api"
    (moved / "config.yaml").write_text(yaml.safe_dump(config))
    cfg = repetition.read(moved)
    assert cfg.method.rules == "blocks"
    assert composition.fingerprint(cfg) == composition.digest(config) != moved.name


def test_what_came_later_to_the_class_of_a_users_own_is_as_it_was_then(
    trimtab: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n\nfrom trimtab import Nudging\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(Nudging):\n    pass\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Paper(Nudging):\n"
        "    agreement: bool = False\n    boundary: str = 'token'\n    stop: str = 'speaker'\n"
        "    lookahead: int = 0\n    repetition_guard: bool = False\n    rules: str = 'paper'\n"
    )
    for name, rules, before in (("Mine", "api", "blocks"), ("Paper", "paper", "paper")):
        node = {"_target_": f"mine.{name}", "base": "${base}", "guide": "${guide}"}
        (tmp_path / "conf" / "method").mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / "method" / "own.yaml").write_text(yaml.safe_dump(node))
        code, _, err = trimtab(*RUN, "method=own", f"results={name}", "--config-dir=conf")
        assert code == 0, err
        folder = only(tmp_path / name)
        assert repetition.read(folder).method.rules == rules
        config = reader.read_config(folder)
        del config["method"]["rules"]  # as it was recorded before there was one
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        cfg = repetition.read(folder)
        assert cfg.method.rules == before
        said = repetition.differences(folder, repetition.job(folder, cfg))
        assert not any(line.startswith("config.yaml") for line in said)


def test_answers_that_are_others_are_counted(trimtab: Command, moved: Path) -> None:
    lines = reader.read_samples(moved)
    lines[1]["completion"] += "!"
    (moved / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, out, _ = trimtab("rerun", str(moved), "results=again")
    assert code == 1
    assert f"1 of 3 answers are others, the first of them {lines[1]['id']!r}" in out


def test_what_is_not_as_it_was_is_said(trimtab: Command, moved: Path, tmp_path: Path) -> None:
    facts = reader.read_facts(moved)
    assert facts
    facts["packages"]["torch"] = "0.1"
    facts["packages"]["transformers"] = "\x1b[2J4"  # as somebody could write who shares a run
    facts["git"] = {"commit": "0" * 40, "dirty": False}
    del facts["own_git"]  # which earlier versions did not record
    (moved / "run.json").write_text(json.dumps(facts))
    weights = tmp_path / "weights"
    shutil.copytree(zoo.path("a-small-sft"), weights)
    code, out, err = trimtab("rerun", str(moved), f"method.guide.path={weights}")
    assert code in (0, 1), err
    assert "packages.torch: 0.1, now" in out
    assert "packages.transformers: \\x1b[2J4, now" in out and "\x1b[2J" not in out
    assert "git.commit: 000000000000, now" in out
    assert "content.models.guide.content_sha256" in out
    assert "content.models.base" not in out and "own_git" not in out


def test_the_old_folder_is_not_taken_for_the_new(
    trimtab: Command, moved: Path, tmp_path: Path
) -> None:
    original = only(tmp_path / "results")
    for folder in (moved, original):
        code, _, err = trimtab("rerun", str(folder), f"results={tmp_path / 'results'}")
        assert code == 1
        assert "holds answers already" in err and "results=DIR" in err


def test_what_is_missing_here_is_listed(trimtab: Command, moved: Path) -> None:
    config = reader.read_config(moved)
    config["method"]["guide"]["path"] = "/gone/guide"
    config["task"] = {"_target_": "trimtab.tasks.QuestionAnswer", "path": "gone.jsonl"}
    (moved / "config.yaml").write_text(yaml.safe_dump(config))
    code, _, err = trimtab("rerun", str(moved))
    assert code == 2
    assert "'/gone/guide' does not exist" in err and "gone.jsonl" in err
    code, _, err = trimtab("rerun", str(moved), "method.gide.path=x")
    assert code == 2 and "Did you mean method.guide.path?" in err


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("method", {"_target_": "os.system", "command": "touch ran"}),
        ("task", {"_target_": "trimtab.runs.environment.subprocess.run", "args": ["touch", "ran"]}),
        ("generation", {"_target_": "builtins.exec", "source": "open('ran', 'w')"}),
    ],
)
def test_a_folder_runs_no_code_of_others(
    trimtab: Command, moved: Path, part: str, change: dict[str, object]
) -> None:
    config = reader.read_config(moved)
    config[part] = change
    (moved / "config.yaml").write_text(yaml.safe_dump(config))
    code, _, err = trimtab("rerun", str(moved))
    assert code == 1 and str(change["_target_"]) in err and "--trust" in err
    assert not Path("ran").exists()


@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_runs_no_code_that_it_comes_with(
    trimtab: Command, moved: Path, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where the command is given in it, nor beside it, where its name is a package's."""
    folder = Path.cwd() / "from_afar" / "run"
    shutil.copytree(moved, folder)
    ran = folder.parent / "ran"
    for place in (folder, folder.parent):
        (place / "other_task.py").write_text(f"open({str(ran)!r}, 'w')")
    config = reader.read_config(folder)
    config["task"] = {"_target_": f"{'' if inside else 'from_afar.'}other_task.Task"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if inside:
        monkeypatch.chdir(folder)
    code, _, err = trimtab("rerun", "." if inside else str(folder))
    assert code == 1 and "other_task.Task" in err and "--trust" in err
    assert not ran.exists()


def test_code_that_a_setting_takes_the_place_of_is_not_run_either(
    trimtab: Command, moved: Path
) -> None:
    folder = Path.cwd() / "from_afar" / "run"
    shutil.copytree(moved, folder)
    ran = folder.parent / "ran"
    (folder.parent / "other_task.py").write_text(f"open({str(ran)!r}, 'w')")
    config = reader.read_config(folder)
    config["task"] = {"_target_": "from_afar.other_task.Task"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    code, out, err = trimtab("rerun", str(folder), "task._target_=trimtab.tasks.Stories")
    assert code == 1 and "the fingerprint is another" in out, err
    assert not ran.exists()


def test_a_folder_does_not_say_where_its_run_again_goes(trimtab: Command, moved: Path) -> None:
    facts = reader.read_facts(moved)
    assert facts
    for odd in ("../../elsewhere", "..", "/tmp/elsewhere", ""):
        facts["launch"]["choices"] = {"task": odd, "method": odd}
        (moved / "run.json").write_text(json.dumps(facts))
        placed = repetition.place(moved, repetition.read(moved))
        assert placed.parents[2] == Path.cwd() / "reruns"
    facts["launch"]["scorers"] = [1]
    (moved / "run.json").write_text(json.dumps(facts))
    code, _, err = trimtab("rerun", str(moved))
    assert code == 1 and "launch.scorers" in err


def test_scorers_are_those_of_the_run_however_it_named_them(moved: Path) -> None:
    """A run once had one judge and one reward; they are scorers by these names."""
    facts = reader.read_facts(moved)
    assert facts
    facts["launch"]["scorers"] = {
        "judge": {"_target_": "trimtab.scorers.Judge", "model": "gpt-4o", "rubric": "quality"},
        "reward": {
            "_target_": "trimtab.scorers.FunctionReward",
            "function": "builtins.max",
            "name": "a",
        },
    }
    (moved / "run.json").write_text(json.dumps(facts))
    cfg = repetition.read(moved, ["scorers.reward.name=most"], trust=True)
    assert [one.name for one in job.scorers(cfg)] == ["quality by gpt-4o", "most"]
    again = repetition.job(moved, cfg)
    assert [one.name for one in again.scorers] == ["quality by gpt-4o", "most"]
    assert [*again.launch["scorers"]] == ["judge", "reward"]


def test_code_that_comes_with_a_model_is_asked_for_by_name(trimtab: Command, moved: Path) -> None:
    config = reader.read_config(moved)
    config["method"]["base"]["trust_remote_code"] = True
    (moved / "config.yaml").write_text(yaml.safe_dump(config))
    code, _, err = trimtab("rerun", str(moved))
    assert code == 1 and "trust_remote_code=True" in err and "--trust" in err


def test_a_config_that_reads_the_environment_is_refused(trimtab: Command, moved: Path) -> None:
    config = reader.read_config(moved)
    config["task"]["split"] = "${oc.env:HOME}"
    (moved / "config.yaml").write_text(yaml.safe_dump(config))
    code, _, err = trimtab("rerun", str(moved))
    assert code == 1 and "refers to" in err


def test_a_runs_record_is_no_root_of_a_configuration(trimtab: Command, moved: Path) -> None:
    for options in (("-cd", str(moved)), ("-cd", str(moved), "-cn", "config")):
        code, _, err = trimtab("run", *options, "limit=1")
        assert code == 2 and f"`trimtab rerun {moved}`" in err
    mine = Path("mine")
    mine.mkdir()
    (mine / "config.yaml").write_text("defaults: [{method: base}]\n")
    code, _, err = trimtab("run", "-cd", "mine", "-cn", "config", "limit=1")
    assert code == 2 and "would not be read" in err
    assert not Path("results").exists()


ALIKE = (  # that take the models of every role as they are
    *("mixture", "proxy_tuning", "emulated_fine_tuning", "ensemble", "blendin", "cmc", "genarm"),
    *("multi_objective", "contrastive_decoding", "classifier_free_guidance", "pad", "ric"),
    *("safedecoding", "handover", "nudging_notebook", "nudging_paper"),
)


@pytest.mark.slow
def test_every_method_gives_its_answers_again(trimtab: Command, tmp_path: Path) -> None:
    model = LanguageModel(path="zoo:a-small-sft", prompt="chat")
    sets = [PromptSet(name, [question]) for name, question in (("a", "Why?"), ("b", "Tell me."))]
    extract(model=model, toward=sets[0], away=sets[1], out=tmp_path / "why.safetensors")
    build(model, [Example("1", "Why?", " So.")], tmp_path / "store", source="by hand")
    causal(tmp_path / "worth", padding=None)
    (tmp_path / "my_rewards.py").write_text(
        "def brevity(completion, question, target):\n    return -len(completion)\n"
    )
    further = {
        "activation_addition": "method.directions=why.safetensors",
        "inferaligner": "method.directions=why.safetensors method.own=why.safetensors",
        "linear_alignment": "method.principle=Briefly.",
        "rtd": "method.store=store",
        "args": "+scorer@method.reward=reward_model method.reward.path=worth",
        "best_of_n": "+scorer@method.reward=function_reward "
        "method.reward.function=my_rewards.brevity method.n=2",
    }
    roles = "base=a-small-sft guide=a-small-dpo untuned=a-small-base task=stories limit=1"
    common = [*roles.split(), "generation=sampling", "generation.max_new_tokens=3"]
    runs = [["-m", f"method={','.join(ALIKE)}"]]
    runs += [[f"method={name}", *shlex.split(more)] for name, more in further.items()]
    for arguments in runs:
        code, _, err = trimtab("run", *arguments, *common)
        assert code == 0, err
    folders = reader.run_folders([tmp_path / "results"])
    assert {folder.parent.name for folder in folders} == {*ALIKE, *further}
    for folder in folders:
        assert rerun_command.main([str(folder)]) == 0, folder
        assert answers(folder) != []

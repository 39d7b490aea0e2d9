"""A run has any number of scorers, chosen as a list; each has a name and settings of its own."""

import pytest
from hydra import compose, initialize_config_dir

from trimtab.config import former
from trimtab.config.composition import ConfigError, fingerprint
from trimtab.config.overrides import Source, check_command
from trimtab.launch.job import scorers


def mistakes(*overrides, source=None, **options):
    with pytest.raises(ConfigError) as caught:
        check_command(overrides, source or Source(), **options)
    return caught.value.mistakes


@pytest.fixture
def mine(tmp_path):
    """A user's folder, as `--config-dir` names it."""

    def written(**files):
        for name, text in files.items():
            group, _, stem = name.partition("_")
            (tmp_path / group).mkdir(exist_ok=True)
            (tmp_path / group / f"{stem}.yaml").write_text(text)
        source = Source(further=(tmp_path,))
        source.offer()
        return source

    yield written
    Source().offer()


def test_scorers_are_a_list_each_with_its_settings():
    cfg = check_command(
        [
            "scorers=[quality,safety,function_reward]",
            "scorers.quality.model=one",
            "scorers.safety.model=two",
            "scorers.function_reward.function=builtins.max",
        ],
        Source(),
    )
    assert [one.name for one in scorers(cfg)] == ["quality by one", "safety by two", "reward"]
    assert scorers(check_command([], Source())) == []
    assert scorers(check_command(["scorers=[]"], Source())) == []


def test_two_judges_of_one_rubric_differ_in_their_model():
    both = ["scorers=quality", "+scorer@scorers.strict=quality", "scorers.strict.model=o3"]
    one, other = scorers(check_command([*both, "scorers.strict.prefix=strict"], Source()))
    assert (one.model, other.model) == ("gpt-4o", "o3")
    assert not one.shares(other)
    assert {*one.bounds} == {name.removeprefix("strict_") for name in other.bounds}
    (found,) = mistakes(*both)
    assert found.startswith("scorers.strict: 'clarity' is what scorers.quality gives, too.")
    assert "scorers.strict.prefix=NAME" in found


def test_two_rewards_of_one_name_are_told_apart_by_another():
    both = ["scorers=function_reward", "+scorer@scorers.short=function_reward"]
    both += [f"scorers.{name}.function=builtins.max" for name in ("function_reward", "short")]
    (found,) = mistakes(*both)
    assert "'reward'" in found and "scorers.short.name=NAME" in found
    one, other = scorers(check_command([*both, "scorers.short.name=short"], Source()))
    assert (one.name, other.name) == ("reward", "short")


def test_scorers_do_not_change_which_run_it_is():
    one = check_command(["scorers=[quality,safety]"], Source())
    assert fingerprint(one) == fingerprint(check_command([], Source()))


def test_all_mistakes_of_all_scorers_are_told():
    found = mistakes("scorers=[quality,reward_model]", "scorers.quality.rubric=qualty")
    places = sorted(line.split(":")[0] for line in found)
    assert places == ["scorers.quality", "scorers.reward_model.path"]


def test_a_scorer_of_ones_own_is_one_file(mine):
    text = "# Mine\ndefaults:\n  - safety\n  - _self_\nmodel: local\n"
    source = mine(scorer_mine=text)
    (one,) = scorers(check_command(["scorers=mine", "scorers.mine.timeout=5"], source))
    assert (one.name, one.timeout) == ("safety by local", 5)
    assert "Did you mean mine?" in mistakes("scorers=mne", source=source)[0]


def test_a_file_in_the_wrong_folder_is_told_its_place(mine):
    source = mine(scorers_mine="_target_: trimtab.scorers.Judge\nmodel: local\n")
    (found,) = mistakes("scorers=mine", source=source)
    assert "DIR/scorer, not DIR/scorers" in found


def test_an_experiment_chooses_scorers(mine):
    head = "# @package _global_\ndefaults:\n"
    source = mine(experiment_judged=f"{head}  - override /scorers: [quality, correctness]\n")
    cfg = check_command(["experiment=judged", "scorers.quality.model=x"], source)
    assert [one.name for one in scorers(cfg)] == ["quality by x", "correctness by gpt-4o-mini"]
    cfg = check_command(["experiment=judged", "scorers=safety"], source)
    assert [one.rubric for one in scorers(cfg)] == ["safety"]


@pytest.mark.parametrize(
    ("command", "now"),
    [
        ("judge=quality", ["scorers=quality"]),
        ("judge=none", ["'scorers=[]'"]),
        ("judge=quality judge.model=gpt-4o", ["scorers=quality", "scorers.quality.model=gpt-4o"]),
        (
            "judge=quality reward=model reward.path=mine",
            ["'scorers=[quality,reward_model]'"] * 2 + ["scorers.reward_model.path=mine"],
        ),
        ("judge.model=x", ["scorers.NAME.model=x"]),
        (
            "reward=function reward.function=m.f",
            ["scorers=function_reward", "scorers.function_reward.function=m.f"],
        ),
        ("+reward.name=brevity", ["+scorers.NAME.name=brevity"]),
    ],
)
def test_the_former_words_for_a_judge_and_a_reward_are_refused_with_todays(command, now):
    found = mistakes(*command.split())
    assert [line.partition(" Write ")[2] for line in found] == [f"{said} instead." for said in now]
    for choice in {said.strip("'") for said in now if said.startswith(("scorers=", "'scorers="))}:
        with initialize_config_dir(str(Source().directory), version_base="1.3"):
            compose("config", [choice])


@pytest.mark.parametrize(
    ("command", "now"),
    [
        ("judge=quality", ["scorers=quality"]),
        ("task=gsm8k judge=none", ["task=gsm8k", "scorers=[]"]),
        ("judge=quality --cfg job", ["scorers=quality", "--cfg", "job"]),
        ("judge.model=x judge=quality", ["scorers=quality", "scorers.quality.model=x"]),
        (
            "judge=quality task=gsm8k reward=model reward.path=mine",
            ["scorers=[quality,reward_model]", "scorers.reward_model.path=mine", "task=gsm8k"],
        ),
        *((text, text.split()) for text in ("judge.model=x", "judge=quality,safety", "limit=2")),
        ("judge=none judge.model=x", ["judge=none", "judge.model=x"]),
        ("judge=quality scorers=safety", ["judge=quality", "scorers=safety"]),
    ],
)
def test_a_command_in_the_former_words_is_read_in_todays_or_left_to_be_refused(
    command, now, caplog
):
    assert former.as_now(command.split()) == now
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (now != command.split())
    if now != command.split():
        with initialize_config_dir(str(Source().directory), version_base="1.3"):
            compose("config", [part for part in now if "=" in part])


@pytest.mark.parametrize(
    "text",
    [
        "# @package _global_\ndefaults:\n  - override /judge: quality\n",
        "# @package _global_\njudge:\n  model: mine\n",
    ],
)
def test_a_file_with_the_former_words_is_refused_with_todays(mine, text):
    (found,) = mistakes("experiment=old", source=mine(experiment_old=text))
    assert "`override /scorers: [NAME]` chooses them" in found


def test_a_judge_of_ones_own_is_told_its_new_place(mine, tmp_path):
    source = mine(judge_strict="_target_: trimtab.scorers.Judge\nmodel: one\nrubric: safety\n")
    (found,) = mistakes("scorers=strict", source=source)
    old, new = tmp_path / "judge" / "strict.yaml", tmp_path / "scorer" / "strict.yaml"
    assert f"Move {old} to {new}." in found
    new.parent.mkdir()
    old.rename(new)
    (scorer,) = scorers(check_command(["scorers=strict"], source))
    assert scorer.name == "safety by one"

"""A model is one file: every role offers it, from wherever configurations come."""

import pickle
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.errors import MissingConfigException

from trimtab.config import composition
from trimtab.config.composition import ConfigError
from trimtab.config.overrides import Source, check_command
from trimtab.config.shared_choices import ROLES


@pytest.fixture
def mine(tmp_path):
    """A user's folder with a model, a role's own file, and an experiment."""
    files = {
        "model/mine.yaml": "# Mine\ndefaults:\n  - hf\n  - _self_\npath: zoo:a-small-sft\n"
        "prompt: chat\n",
        "base/other.yaml": "defaults:\n  - /model/mine@_here_\nprompt: plain\n",
        "experiment/trial.yaml": "# @package _global_\ndefaults:\n  - override /base: mine\n"
        "  - override /guide: mine\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    source = Source(further=(tmp_path,))
    source.offer()
    yield source
    Source().offer()


def composed(source, *overrides):
    with initialize_config_dir(str(source.directory), version_base="1.3"):
        words = [*source.search_path, *overrides]
        return compose(source.name, words, return_hydra_config=True)


def test_one_file_is_a_model_for_every_role(mine):
    check_command([f"{role}=mine" for role in ROLES], mine)
    cfg = composed(mine, *(f"{role}=mine" for role in ROLES))
    assert {cfg[role].path for role in ROLES} == {"zoo:a-small-sft"}
    assert {cfg.hydra.runtime.choices[role] for role in ROLES} == {"mine"}
    several = check_command(["base=mine,a-small-dpo", "guide.dtype=bfloat16"], mine, multirun=True)
    assert several.base.path == "zoo:a-small-sft"


def test_a_role_is_filled_in_an_experiment_and_changed_on_the_command_line(mine):
    cfg = composed(mine, "experiment=trial", "guide=a-small-chat", "base.prompt=plain")
    assert (cfg.base.path, cfg.base.prompt) == ("zoo:a-small-sft", "plain")
    assert cfg.guide.path == "zoo:a-small-chat"
    assert cfg.hydra.runtime.choices.base == "mine"


def test_a_role_has_files_of_its_own_beside_the_models(mine):
    cfg = composed(mine, "base=other")
    assert (cfg.base.path, cfg.base.prompt) == ("zoo:a-small-sft", "plain")
    check_command(["base=other"], mine)
    with pytest.raises(ConfigError, match="guide=other: no such option"):
        check_command(["guide=other"], mine)


def test_a_file_of_a_role_is_read_where_a_model_has_its_name(mine):
    file = mine.further[0] / "base" / "mine.yaml"
    file.write_text("defaults:\n  - /model/hf@_here_\npath: zoo:a-large-base\nprompt: plain\n")
    check_command(["base=mine", "guide=mine"], mine)
    assert composed(mine, "base=mine").base.path == "zoo:a-large-base"


def test_a_model_is_offered_as_long_as_its_folder_is_given(mine):
    with pytest.raises(ConfigError, match="Did you mean mine"):
        check_command(["base=mne"], mine)
    with pytest.raises(ConfigError, match="base=mine: no such option"):
        check_command(["base=mine"], Source())


def test_the_folder_that_a_choice_of_ones_own_needs_is_that_of_models(mine, monkeypatch):
    (folder,) = mine.further
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ConfigError) as caught:
        check_command(["untuned=mine"], Source())
    assert f"{folder.name}/model/mine.yaml, needs --config-dir {folder.name}" in str(caught.value)


def test_a_folder_with_its_own_root_offers_its_own_models(tmp_path):
    for part in ("model/one.yaml", "method/none.yaml", "mine.yaml"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).write_text("a: 1\n")
    (tmp_path / "mine.yaml").write_text("defaults:\n  - base: one\n  - method: none\n")
    source = Source(directory=tmp_path, name="mine")
    try:
        assert check_command([], source, values=False).base.a == 1
        with pytest.raises(ConfigError, match="base is one of: one"):
            check_command(["base=a-large-base"], source, values=False)
    finally:
        Source().offer()


def test_what_is_offered_goes_to_a_launchers_processes(mine):
    """They unpickle Hydra's singletons and compose their job anew, as Hydra's launchers do."""
    store = ConfigStore.instance()
    sent = pickle.dumps(Singleton.get_state()["instances"][ConfigStore])
    Source().offer()
    with pytest.raises(MissingConfigException):
        composed(mine, "guide=mine")
    Singleton._instances[ConfigStore] = pickle.loads(sent)
    try:
        assert composed(mine, "guide=mine").guide.path == "zoo:a-small-sft"
    finally:
        Singleton._instances[ConfigStore] = store


def test_the_roles_are_those_of_an_experiment():
    choices = composed(Source()).hydra.runtime.choices
    assert {*ROLES} <= choices.keys() and not {*ROLES} & {p.name for p in folders()}
    assert {*ROLES} <= composition.Experiment.__dataclass_fields__.keys()


def folders() -> list[Path]:
    return [path for path in composition.DIRECTORY.iterdir() if path.is_dir()]

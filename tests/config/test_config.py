import abc
import dataclasses
import hashlib
import inspect
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from activations.steered_models import hand_made
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_class
from omegaconf import OmegaConf

from trimtab.config import composition, later_settings
from trimtab.config.check import check
from trimtab.config.composition import ConfigError, build, digest, fingerprint, settings
from trimtab.config.overrides import Source, check_command
from trimtab.config.shared_choices import FOLDERS
from trimtab.datastore import store_file
from trimtab.models import packaged


def composed(*overrides):
    with initialize_config_dir(str(composition.DIRECTORY), version_base="1.3"):
        return compose("config", list(overrides))


def mistakes(*overrides, multirun=False, source=None):
    with pytest.raises(ConfigError) as caught:
        check_command(overrides, source or Source(), multirun=multirun)
    return caught.value.mistakes


def offered(group):
    with initialize_config_dir(str(composition.DIRECTORY), version_base="1.3"):
        return GlobalHydra.instance().config_loader().get_group_options(group)


def options(group):
    return sorted(file.stem for file in (composition.DIRECTORY / group).glob("*.yaml"))


# ---------------------------------------------------------------------------- the tree


def write_store(folder):
    facts = {"path": "x", "model": {}, "positions": "all"}
    facts["examples"] = {"source": "x", "answers": "x", "samples": 1, "sha256": "x"}
    store_file.write(folder, torch.zeros(1, 64), torch.zeros(1, dtype=torch.long), facts)


GROUPS = ["method", "task", "generation", "tracker", "scorers", "experiment"]
DIRECTIONS = "directions.safetensors"
NEEDED = {
    "method=activation_addition": [f"method.directions={DIRECTIONS}"],
    "method=inferaligner": [f"method.directions={DIRECTIONS}", f"method.own={DIRECTIONS}"],
    "method=linear_alignment": ["method.principle=Brevity"],
    "task=local": ["task.path=rows.jsonl"],
    "method=rtd": ["method.store=store"],
    "method=args": ["+scorer@method.reward=reward_model", "method.reward.path=rows.jsonl"],
    "method=vectors": ["method.vectors={mine:.}"],
    "method=best_of_n": [
        "+scorer@method.reward=function_reward",
        "method.reward.function=builtins.max",
    ],
    "task=stored-responses": [
        "task.path=rows.jsonl",
        "task.levels=[question,answer]",
        "method=guide",
    ],
    "scorers=reward_model": ["scorers.reward_model.path=rows.jsonl"],
    "scorers=function_reward": ["scorers.function_reward.function=builtins.max"],
}


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_every_option_composes_and_builds(group, tmp_path, monkeypatch):
    write_store(tmp_path / "store")
    (tmp_path / "rows.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    hand_made(tmp_path / DIRECTIONS)
    monkeypatch.chdir(tmp_path)
    for option in options(FOLDERS.get(group, group)):
        choice = f"{group}={option}"
        check(composed(choice, *NEEDED.get(choice, ())))


def test_a_choice_is_called_as_its_class():
    """All but those that are called for who answers, and what was called otherwise from the first.

    The names of methods and tasks are those of folders.
    """
    others = {"base": "Plain", "guide": "Plain", "vectors": "AlignmentVectors"}
    others |= {"local": "QuestionAnswer"}
    others |= {"mixture": "Formula"}  # where Mixture is what all of them are
    others |= {"emulated_fine_tuning": "ProxyTuning"}  # two names of one distribution
    others |= dict.fromkeys(("correctness", "quality", "safety"), "Judge")  # a rubric each
    for group in ("method", "task", "scorer"):
        for option in options(group):
            raw = (composition.DIRECTORY / group / f"{option}.yaml").read_text("utf-8")
            if target := re.search(r"^_target_: \S+\.(\w+)$", raw, re.MULTILINE):
                plain = re.sub(r"[-_]", "", option)
                assert others.get(option, target[1]) == target[1]
                assert option in others or plain == target[1].lower()


@pytest.mark.parametrize("role", ["base", "guide", "untuned"])
@pytest.mark.slow
def test_every_model_can_take_every_role(role):
    assert offered(role) == options("model")
    for name in options("model"):
        node = composed(f"{role}={name}")[role]
        if name == "hf":
            missing = OmegaConf.missing_keys(composed(f"{role}=hf"))
            assert missing == {f"{role}.path", f"{role}.prompt"}
        elif name in packaged.names():  # which need not be installed
            assert node.path == f"pip:{name}"
        else:
            assert build(node).path == f"zoo:{name}"


@pytest.mark.slow
def test_an_option_spells_out_every_parameter_with_its_default():
    nodes = [composed(f"method={name}").method for name in options("method")]
    nodes += [composed(f"task={name}").task for name in options("task")]
    nodes += [composed(f"tracker={name}").tracker for name in options("tracker")]
    nodes += [composed().generation, composed("base=hf").base]
    for node in nodes:
        parameters = inspect.signature(get_class(node._target_)).parameters
        raw = OmegaConf.to_container(node, resolve=False)
        given = {name: value for name, value in raw.items() if name != "_target_"}
        assert given.keys() == parameters.keys()
        for name, value in given.items():
            default = parameters[name].default
            if default is not inspect.Parameter.empty:
                assert value == (list(default) if isinstance(default, tuple) else default)


def test_a_method_holds_the_models_of_its_roles():
    method = build(composed("base=a-small-sft", "guide=a-small-dpo", "method=dera").method)
    assert method.reference.path == "zoo:a-small-sft"
    assert method.aligned.path == "zoo:a-small-dpo"


def test_experiments_can_be_changed_from_the_command_line():
    cfg = composed("experiment=dera-stories", "method.strength=0.5", "guide=a-small-chat")
    assert (cfg.method.strength, cfg.guide.path) == (0.5, "zoo:a-small-chat")
    assert (cfg.base.path, cfg.generation.temperature) == ("zoo:a-small-sft", 1)


# ---------------------------------------------------------------------------- mistakes


def test_all_mistakes_of_a_command_are_listed_at_once():
    found = mistakes(
        "base=a-large-bse",
        "method.treshold=0.4",
        "gide=a-small-chat",
        "nudging",
        "limit=many",
        "generation.max_new_tokens=0",
        "generation.top_p=2",
        "method.threshold=-1",
        "method.stop=gude",
        "guide.dtype=flot32",
        "method.agreement=perhaps",
        "task=word-problem",
    )
    expected = [
        ("nudging", "method=nudging"),
        ("base=a-large-bse", "a-large-base"),
        ("task=word-problem", "word-problems"),
        ("method.treshold", "method.threshold"),
        ("gide", "guide"),
        ("limit=many", "Integer"),
        ("guide", "float32"),
        ("method.agreement=perhaps", "true or false"),
        ("method", "threshold=-1"),
        ("method", "guide"),
        ("generation", "max_new_tokens=0"),
        ("generation", "top_p=2"),
    ]
    assert len(found) == len(expected)
    for key, hint in expected:
        assert any(line.startswith(key) and hint in line for line in found), (key, hint, found)


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("treshold=0.4", "method.threshold"),
        ("method.base.path=x", "base.path"),
        ("method.threshold=abc", "a number"),
        ("generation.seed=1.5", "a whole number"),
        ("base.revision=123", "\"'123'\""),
        ("limit=0", "from 1 up"),
        ("+method.shiny=1", "no such parameter"),
        ("+method.threshold=1", "without the +"),
        ("~method.shiny", "no such setting"),
        ("method=null", "method is one of"),
        ("base=[a-large-base,x]", "base=x"),
        ("hydra/launcher=ray", "pip install 'trimtab[ray]'"),
        ("method.threshold=interval(0,1)", "an interval is searched, by `trimtab search`"),
        ("task.path=a,b.jsonl", """quoted twice: 'task.path="a,b.jsonl"'"""),
        ("limit=[1", "cannot be read"),
        ("method=nudging,dera", "--multirun"),
        ("tracker.mode=offline", "no such setting"),
        ("base=hf", "base.path"),
        ("model=a-large-base", "no such setting"),
        ("scorers.mine.path=x", "no scorer is chosen. Choose one: scorers=correctness, scorers="),
        ("scorers.safety.model=x", "Choose it: scorers=safety."),
        ("scorers=quality,safety", "'scorers=[quality,safety]'"),
        ("scorers=qualty", "Did you mean quality?"),
        ("scorer=quality", "Did you mean scorers?"),
        ("+scorer@scorers.quality=safety", "+scorer@scorers.second=safety"),
    ],
)
def test_a_mistake_is_explained(override, hint):
    found = mistakes(override)
    assert any(hint in line for line in found), found


@pytest.mark.parametrize("path", ["/data/lr=1e-5,b/[x].jsonl", 'say "a{b}"', "a(b", "it's(1,2)"])
def test_the_way_to_quote_a_value_that_is_told_gives_that_value(path):
    line = f"task.path={path}"
    (told,) = (m for m in mistakes("task=local", line) if "quoted twice: " in m)
    (argument,) = shlex.split(told.split("quoted twice: ")[1].removesuffix("."))
    assert composed("task=local", argument).task.path == path


def test_an_interval_is_not_run_by_a_multirun_either():
    (found,) = mistakes("method.threshold=interval(0,1)", multirun=True)
    assert "trimtab search" in found and "method.threshold=0.2,0.4" in found


def test_a_choice_of_ones_own_needs_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "DIR/task/shout.yaml, needs --config-dir DIR" in mistakes("task=shout")[0]
    (tmp_path / "mine" / "task").mkdir(parents=True)
    (tmp_path / "mine" / "task" / "shout.yaml").touch()
    assert "mine/task/shout.yaml, needs --config-dir mine" in mistakes("task=shout")[0]
    assert "--config-dir" not in mistakes("task=word-problem")[0]
    (tmp_path / "other").mkdir()
    found = mistakes("task=shout", source=Source(further=(tmp_path / "other",)))
    assert "--config-dir" not in found[0]


def test_likelihoods_need_a_method_that_has_them():
    overrides = ["task=mmlu", "task.likelihood=sum"]
    (found,) = mistakes(*overrides, "method=nudging")
    assert found.startswith("task.likelihood=sum: Nudging has no probability of a given text")
    for method in ("base", "dera", "ensemble"):
        check_command([*overrides, f"method={method}", "guide=a-large-chat"], Source())
    # A method that cannot be built is no reason to stop.
    both = mistakes(*overrides, "method=nudging", "base.dtype=x")
    assert len(both) == 1 and "dtype" in both[0]


def test_a_reward_function_is_called_with_three_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "few.py").write_text("def few(text, target): return 1.0\n")
    (found,) = mistakes("scorers=function_reward", "scorers.function_reward.function=few.few")
    assert "few.few" in found and "(text, target)" in found and "question" in found


def test_what_the_run_does_not_use_is_not_required():
    check_command(["base=hf", "method=guide"], Source())


def test_names_alone_can_be_checked_of_an_unfinished_configuration():
    check_command(["base=hf", "task=local"], Source(), values=False)
    with pytest.raises(ConfigError, match="no such option"):
        check_command(["base=hg"], Source(), values=False)


def test_every_job_of_a_multirun_is_checked():
    found = mistakes(
        "method=nudging,dera", "method.threshold=0.2,-1", "guide=a-small-chat,x", multirun=True
    )
    assert len(found) == 4
    assert any(line.startswith("guide=x") for line in found)
    assert any("threshold=-1" in line and line.startswith("method:") for line in found)
    assert sum("no such setting" in line for line in found) == 2  # DeRa has no threshold
    check_command(["method.threshold=range(0,1,0.25)", "method=nudging"], Source(), multirun=True)


def test_a_missing_config_folder_is_a_mistake():
    with pytest.raises(ConfigError, match="no such folder"):
        Source(further=(Path("nowhere"),))


def test_options_from_a_further_folder(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "mine.yaml").write_text(
        "defaults:\n  - /model/a-small-base@_here_\ndtype: bfloat16\n"
    )
    source = Source(further=(tmp_path,))
    check_command(["base=mine"], source)
    assert any("Did you mean mine" in line for line in mistakes("base=mne", source=source))


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Stands for a class of a user's own."""

    part: object = None
    low: int = 0
    high: int = 1
    names: tuple[str, ...] = ()

    def __post_init__(self):
        if self.low < 0:
            raise ValueError(f"low={self.low}")
        if self.low >= self.high:
            raise ValueError(f"low={self.low} is not below high={self.high}")


def thing(**settings):
    return {"_target_": f"{__name__}.Thing", **settings}


def configuration(**nodes):
    return OmegaConf.create({**OmegaConf.to_container(composed()), **nodes})


def test_mistakes_in_nested_objects_do_not_hide_those_of_their_owner():
    node = thing(low=-1, part=thing(low=-2, part=thing(lwo=3)))
    with pytest.raises(ConfigError) as caught:
        check(configuration(method=node, task=thing(low=5, high=4)))
    assert caught.value.mistakes == [
        "method.part.part.lwo: no such parameter. Did you mean method.part.part.low? "
        "method.part.part takes: part, low, high, names.",
        "method.part: low=-2",
        "method: low=-1",
        "task: low=5 is not below high=4",
    ]


def test_a_target_that_does_not_exist_is_named():
    cfg = configuration()
    cfg.task._target_ = "trimtab.tasks.WordPuzzles"
    with pytest.raises(ConfigError, match=r"task: trimtab.tasks.WordPuzzles cannot be imported"):
        check(cfg)


class Undecorated:
    """Stands for a class whose @dataclass was forgotten."""

    word: str


class Unfinished(abc.ABC):
    @abc.abstractmethod
    def score(self): ...


@dataclass(frozen=True, kw_only=True)
class Breaking:
    size: int = 1

    def __post_init__(self):
        {}["size"]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            {"_target_": f"{__name__}.Undecorated", "word": "a"},
            r"task\.word: .*Undecorated .*declares 'word'.*@dataclass\(frozen=True, kw_only=True\)",
        ),
        ({"_target_": f"{__name__}.Undecorated", "wrd": "a"}, "takes no parameters"),
        ({"_target_": f"{__name__}.Unfinished"}, "abstract class Unfinished.*score"),
        ({"_target_": f"{__name__}.Breaking"}, r"task: KeyError: 'size'"),
        ({"_target_": f"{__name__}.__name__"}, "is a str; `_target_` names a class"),
        ({"word": "a"}, "task: it names no class.*`_target_: my_module.MyClass`"),
        ("shout", "task: it names no class"),
    ],
)
def test_a_users_own_class_is_explained(node, message):
    with pytest.raises(ConfigError) as caught:
        check(configuration(task=node))
    (found,) = caught.value.mistakes
    assert re.search(message, found), found


def test_a_users_module_that_cannot_be_imported_is_named_by_file_and_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "torn.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "early.py").write_text("x = {}\nx['y']\n")
    for module, message in (
        ("torn", r"SyntaxError: .*\(torn\.py, line 2\)$"),
        ("early", r"KeyError: 'y' \(early\.py, line 2, in <module>: x\['y'\]\)$"),
        ("gone", "No module named 'gone'"),
    ):
        with pytest.raises(ConfigError) as caught:
            check(configuration(task={"_target_": f"{module}.Task"}))
        (found,) = caught.value.mistakes
        assert found.startswith(f"task: {module}.Task cannot be imported: ")
        assert re.search(message, found), found


def test_built_objects_hold_plain_values():
    built = build(OmegaConf.create({"thing": thing(names=["a", "b"])}).thing)
    assert type(built.names) is list
    assert dataclasses.replace(built, low=0) == built


# ---------------------------------------------------------------------------- fingerprint


@pytest.mark.parametrize(
    "same",
    [
        ["generation.batch_size=1"],
        ["base.device=cpu", "guide.device=cpu"],
        ["tracker=wandb"],
        ["results=elsewhere"],
        ["untuned=a-large-base"],  # nudging has no untuned model
        ["method.lookahead=16", "generation.temperature=0"],
        ["experiment=nudging-word-problems"],
    ],
)
def test_what_does_not_change_results_keeps_the_fingerprint(same):
    assert fingerprint(composed(*same)) == fingerprint(composed())


@pytest.mark.parametrize(
    "other",
    [
        "limit=10",
        "limit_seed=609",
        "generation.seed=1",
        "method.threshold=0.5",
        "guide=b-small-chat",
        "task.split=x",
    ],
)
def test_what_changes_results_changes_the_fingerprint(other):
    assert fingerprint(composed(other)) != fingerprint(composed())


def test_nudging_of_before_is_another_run():
    """Runs of before say no `method.rules`; a configuration that says none now means today's."""
    now = composed()
    recorded = composition.relevant(composed("method.rules=blocks"))
    del recorded["method"]["rules"]  # as it was written then
    assert digest(recorded) == fingerprint(composed("method.rules=blocks")) != fingerprint(now)
    assert fingerprint(composed("~method.rules")) == fingerprint(now)
    assert composition.relevant(composed("~method.rules"))["method"]["rules"] == "api"
    then = later_settings.written_out(recorded, recorded=True)
    assert build(then["method"]).rules == "blocks"


def test_a_benchmarks_scoring_keeps_the_fingerprint_and_that_of_a_users_own_task_does_not():
    benchmark = [composed("task=gsm8k", f"task.scoring={s}") for s in ("strict", "published")]
    assert fingerprint(benchmark[0]) == fingerprint(benchmark[1])
    own = [configuration(task={"_target_": "my.Task", "scoring": s}) for s in ("one", "other")]
    assert fingerprint(own[0]) != fingerprint(own[1])


@pytest.fixture
def users_method(tmp_path, monkeypatch):
    """A module of a user's, with a method that uses what DeRa keeps for the record."""
    (tmp_path / "own_methods.py").write_text(
        """
from dataclasses import dataclass
from trimtab.methods import DeRa

@dataclass(frozen=True, kw_only=True)
class Mine(DeRa):
    colour: str = "red"

@dataclass(frozen=True, kw_only=True)
class Told(DeRa):
    colour: str = "red"
    shape: str = "round"
    without_effect = frozenset({"colour"})
    since = {"shape": "round"}
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name, **fields: digest(
        {"method": {"_target_": f"own_methods.{name}", **fields}}, users=True
    )
    sys.modules.pop("own_methods", None)


@pytest.mark.parametrize("field, one, other", [("beta", 0, 4), ("draft", None, "prompt-lookup")])
def test_what_has_no_effect_in_our_method_may_have_one_in_a_users(users_method, field, one, other):
    assert users_method("Mine", **{field: one}) != users_method("Mine", **{field: other})


def test_a_class_says_which_settings_do_not_count_and_which_came_later(users_method):
    assert users_method("Told", colour="red") == users_method("Told", colour="blue")
    assert users_method("Told") == users_method("Told", shape="round")
    assert users_method("Told") != users_method("Told", shape="square")
    assert users_method("Mine", colour="red") != users_method("Mine", colour="blue")


def test_who_only_reads_a_configuration_imports_no_users_code(tmp_path, monkeypatch):
    (tmp_path / "unread_methods.py").write_text("raise SystemExit('was run')")
    monkeypatch.syspath_prepend(tmp_path)
    assert digest({"method": {"_target_": "unread_methods.Mine", "beta": 1}})


def test_a_run_is_known_by_what_it_uses():
    one = composed("method=base", "guide=a-small-chat")
    other = composed("method=base", "guide=b-small-chat")
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one) == fingerprint(composed("method=guide", "guide=a-large-base"))


def test_the_fingerprint_depends_on_nothing_but_the_content():
    nodes = {
        "limit": None,
        "limit_seed": None,
        "generation": {"_target_": "trimtab.decoding.Generation", "seed": 0, "batch_size": 4},
        "task": {"_target_": "t", "split": "test"},
        "method": {"_target_": "m", "strength": 1.0},
    }
    text = (
        '{"generation": {"_target_": "trimtab.decoding.Generation", "seed": 0}, "limit": null, '
        '"method": {"_target_": "m", "strength": 1}, "task": {"_target_": "t", "split": "test"}}'
    )
    expected = hashlib.sha256(text.encode()).hexdigest()[:12]
    assert fingerprint(OmegaConf.create(nodes)) == expected


def test_settings_are_named_as_on_the_command_line():
    choices = {
        "base": "a-large-base",
        "guide": "a-small-chat",
        "untuned": "a-small-base",
        "method": "nudging",
        "task": "word-problems",
        "generation": "greedy",
        "tracker": "wandb",
    }
    flat = settings(composed("method.threshold=0.3", "limit=5"), choices)
    assert flat["method"] == "nudging"
    assert flat["guide"] == "a-small-chat"
    assert flat["method.threshold"] == 0.3
    assert flat["guide.path"] == "zoo:a-small-chat"
    assert flat["limit"] == 5
    assert not any(key.startswith(("untuned", "tracker", "results")) for key in flat)
    assert not any(isinstance(value, dict) for value in flat.values())
    # Each of them is an override that leads to the same run.
    again = [
        f"{k}={v}" for k, v in flat.items() if isinstance(v, (int, float)) or ("." not in k and v)
    ]
    assert fingerprint(composed(*again)) == fingerprint(composed("method.threshold=0.3", "limit=5"))

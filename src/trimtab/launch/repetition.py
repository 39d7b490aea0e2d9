"""A run again, from its folder alone: what is not as it was is said, and what comes of it."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trimtab.config import composition, later_settings, user_files
from trimtab.config.check import check
from trimtab.config.user_code import is_users
from trimtab.config.wording import first_line, nearest
from trimtab.config.working_directory import named
from trimtab.launch.job import job_of
from trimtab.runs import dated, environment, preconditions, reader
from trimtab.runs.record_types import LaunchRecord

if TYPE_CHECKING:
    from trimtab.runs.evaluate import Job

_OF_AN_ANSWER = ("prompts", "completion", "stop_reason", "tokens")
_BY_NAME = ("trust_remote_code", "allow_pickle")
_SHOWN = 12  # digits of a hash


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """What came of a run again.

    Attributes:
        folder: of the new run.
        same: how many answers are the same: prompts, text, tokens and why they ended.
        other: ids of samples whose answers are not.
        missing: how many answers only one of the runs has.
    """

    folder: Path
    same: int
    other: Sequence[str]
    missing: int

    @property
    def identical(self) -> bool:
        """Whether all answers are the same."""
        return self.same > 0 and not self.other and not self.missing

    def __str__(self) -> str:
        """Say it in a line."""
        if self.identical:
            return f"All {self.same} answers are the same: {self.folder}"
        first = f", the first of them {self.other[0]!r}" if self.other else ""
        missing = f" {self.missing} are in one of the two runs alone." if self.missing else ""
        return (
            f"{len(self.other)} of {self.same + len(self.other)} answers are others{first}."
            f"{missing} {self.folder}"
        )


def read(folder: Path, overrides: Sequence[str] = (), *, trust: bool = False) -> DictConfig:
    """Return the configuration of a run folder, with some settings changed.

    Args:
        folder: of the run.
        overrides: as in `trimtab run`, such as `method.base.path=models/here`.
        trust: run whatever code it names; otherwise this package's and a user's own alone, which
            does not lie with the run.

    Raises:
        ValueError: for a folder that holds no run, or one that names code of others; for all
            mistakes in the configuration as it is here, such as files that are missing.
    """
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is no folder. Give that of a run, as `table` reads it.")
    reader.require_run(folder)
    launch = _launch(folder)
    known = {
        **dict.fromkeys(composition.PARTS),
        **later_settings.written_out(reader.read_config(folder), recorded=True),
        "scorers": launch.get("scorers") or {},
    }
    fixed = {"tracker": {"_target_": "trimtab.tracking.trackers.NoTracker"}, "results": "reruns"}
    if "${" in str(known):  # as it was resolved, it refers to nothing
        raise ValueError(f"{folder} refers to what is elsewhere (${{...}}), as no run records it.")
    cfg = OmegaConf.create(known | fixed)
    OmegaConf.set_struct(cfg, True)
    for line in overrides:
        _apply(line, cfg)
    if not trust:
        content = composition.container(cfg, resolve=True)
        if others := sorted({*_code_of_others(content, _root(folder))}):
            raise ValueError(
                f"{folder} names what a downloaded folder could use to run code of others: "
                f"{', '.join(others)}. Where you trust it, add --trust."
            )
    # What is left to be named is the user's own, which may inherit settings that came later.
    for part, node in composition.container(cfg, resolve=True).items():
        if part in composition.PARTS:
            cfg[part] = later_settings.written_out(node, recorded=True, users=True)
    check(cfg)
    return cfg


def place(folder: Path, cfg: DictConfig) -> Path:
    """Return the folder of a run again; one that was interrupted goes on.

    Raises:
        ValueError: where that holds other answers than those of such a run.
    """
    choices, above = _launch(folder).get("choices") or {}, folder.absolute().parent
    task = _name(choices.get("task")) or above.parent.name or "task"
    method = _name(choices.get("method")) or above.name or "method"
    found = Path(os.path.abspath(os.path.expanduser(cfg.results)))
    found = found / task / method / composition.fingerprint(cfg)
    if reader.read_facts(found) and _launch(found).get("again_of") != str(folder.resolve()):
        raise ValueError(
            f"{found} holds answers already that are not of {folder} again: nothing would be "
            "answered anew. Give another results=DIR."
        )
    return found


def job(folder: Path, cfg: DictConfig) -> Job:
    """Return the job of a run again, on the day of the first."""
    found = place(folder, cfg)
    choices = {"task": found.parent.parent.name, "method": found.parent.name}
    day = dated.recorded(reader.read_facts(folder))
    one = job_of(cfg, folder=found, choices=choices, day=day)
    return dataclasses.replace(one, launch={**one.launch, "again_of": str(folder.resolve())})


def differences(folder: Path, job: Job) -> list[str]:
    """Return what is not as it was when the run was begun, a line each."""
    facts = reader.read_facts(folder) or {}
    samples = job.task.samples(job.limit, job.limit_seed)
    is_recorded = "day" in facts.get("content", {})  # earlier versions wrote none
    day = dated.day_of(job.method, facts or None, job.day) if is_recorded else None
    content = preconditions.content(job.method, samples, job.generation, job.config, day)
    now = environment.now(preconditions.code(job.method, job.generation, job.config))
    now["content"] = content
    then = {name: facts.get(name) for name in now}
    found = list(_differing("", then, now))
    if _digest(reader.read_config(folder), {*named(job.config)}) != job.folder.name:
        found.append("config.yaml or the settings given: the fingerprint is another")
    return found


def _digest(recorded: Mapping[str, Any], known: Set[str]) -> str | None:
    """Return the fingerprint of what a run recorded; None where it names other code than is known.

    What a setting has taken the place of is not run.
    """
    if not {*named(recorded)} <= known:
        return None
    as_it_was = later_settings.written_out(recorded, recorded=True, users=True)
    return composition.digest(as_it_was, users=True)


def compared(folder: Path, again: Path) -> Repeated:
    """Compare the answers of two runs, by sample."""
    one, other = ({line["id"]: line for line in reader.read_samples(f)} for f in (folder, again))
    both = [i for i in one if i in other]
    same = [i for i in both if all(one[i].get(k) == other[i].get(k) for k in _OF_AN_ANSWER)]
    return Repeated(
        folder=again,
        same=len(same),
        other=[i for i in both if i not in {*same}],
        missing=len(one.keys() ^ other.keys()),
    )


def _launch(folder: Path) -> LaunchRecord:
    facts = reader.read_facts(folder)
    return facts.get("launch", {}) if facts else {}


def _name(choice: str | None) -> str | None:
    """Return a choice that can name a folder; one of a downloaded run could lead elsewhere."""
    return choice if choice and choice == Path(choice).name != ".." else None


def _root(folder: Path) -> Path:
    """Return the folder that a run came with: of those above it the last below this one."""
    whole, here = folder.resolve(), Path.cwd()
    above = [place for place in whole.parents if here in place.parents]
    return above[-1] if above else whole


def _apply(line: str, cfg: DictConfig) -> None:
    try:
        override = OverridesParser.create().parse_override(line)
        OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=override.is_add())
    except HydraException as error:
        raise composition.ConfigError([f"{line}: cannot be read: {first_line(error)}"]) from error
    except OmegaConfBaseException as error:
        known = composition.container(cfg, resolve=False)
        hint = nearest(line.partition("=")[0], _dotted(known))
        raise composition.ConfigError([f"{line}: {first_line(error)}.{hint}"]) from error


def _dotted(node: Any, above: str = "") -> Iterator[str]:
    if isinstance(node, Mapping):
        for name, below in node.items():
            yield f"{above}{name}"
            yield from _dotted(below, f"{above}{name}.")


def _code_of_others(node: Any, root: Path) -> Iterator[str]:
    """Yield what a configuration names to be run that is neither this package's nor a user's.

    Nothing below `root` is a user's, and none of it is imported.
    """
    if isinstance(node, list):
        for child in node:
            yield from _code_of_others(child, root)
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        yield from _code_of_others(value, root)
        if name in _BY_NAME and value:
            yield f"{name}={value}"
        is_named = name in ("_target_", "function") and isinstance(value, str)
        if is_named and (_comes_with(value, root) or not _is_known(value)):
            yield value


def _comes_with(target: str, root: Path) -> bool:
    modules = itertools.accumulate(target.split("."), "{}.{}".format)
    files = map(user_files.located, modules)
    return any(file is not None and file.resolve().is_relative_to(root) for file in files)


def _is_known(target: str) -> bool:
    try:
        found = get_object(target)
    except Exception:  # said where the configuration is checked
        return True
    kinds = inspect.getmro(found) if inspect.isclass(found) else ()
    ours = "trimtab."
    if any(kind.__module__.startswith(ours) for kind in kinds):
        return True
    return is_users(found)


def _differing(name: str, then: Any, now: Any) -> Iterator[str]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*then, *now]):
            below = f"{name}.{key}" if name else str(key)
            yield from _differing(below, then.get(key), now.get(key))
    elif then != now and not (_is_none(then) and _is_none(now)):
        yield f"{name}: {_short(then)}, now {_short(now)}"


def _short(value: Any) -> str:
    if _is_none(value):
        return "none"
    text = str(value)
    return text[:_SHOWN] if len(text) in (40, 64) and text.isalnum() else text


def _is_none(value: Any) -> bool:
    return value is None or value == [] or value == {}

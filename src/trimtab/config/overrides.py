"""Finds every mistake in the overrides of a command before Hydra stops at the first.

Hydra composes the groups that exist; keys and values are then tried one by one, and each job of
a multirun is checked as it will run.
"""

import itertools
import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trimtab.config import former, shared_choices
from trimtab.config.check import check
from trimtab.config.composition import DIRECTORY, ConfigError
from trimtab.config.launchers import installed_by
from trimtab.config.wording import first_line, nearest


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where configurations come from: the main folder, its root file, and further folders."""

    directory: Path = DIRECTORY
    name: str = "config"
    further: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Refuse folders that do not exist."""
        for folder in (self.directory, *self.further):
            if not folder.is_dir():
                raise ConfigError([f"--config-dir {folder}: no such folder."])

    @property
    def search_path(self) -> list[str]:
        """The override that adds the further folders, where there are any."""
        folders = ", ".join(f"'file://{folder.absolute()}'" for folder in self.further)
        return [f"hydra.searchpath=[{folders}]"] if folders else []

    def offer(self) -> None:
        """Let what Hydra composes from now on have the choices that these folders make."""
        shared_choices.offer(self.directory, *self.further)


def require_parts(arguments: Sequence[str], accepted: Collection[str], what: str) -> None:
    """Raise one `ConfigError` for settings of a run that have no part in something else."""
    odd = [each for each in arguments if re.split(r"[.=@]", each.lstrip("+~"))[0] not in accepted]
    if odd:
        ending = f"Accepted are settings of {', '.join(accepted)}; leave it out."
        raise ConfigError([f"{each}: it has no part in {what}. {ending}" for each in odd])


def check_command(
    arguments: Sequence[str], source: Source, *, multirun: bool = False, values: bool = True
) -> DictConfig | None:
    """Raise one `ConfigError` that lists all mistakes in a command's overrides.

    With `values` false only the names are checked, for looking at an unfinished configuration.

    Returns:
        The configuration of the first job, without Hydra's own part.
    """
    source.offer()
    first: DictConfig | None = None
    with initialize_config_dir(str(source.directory.absolute()), version_base="1.3"):
        reader = _Reader(source)
        overrides = reader.parse(arguments)
        known: dict[str, list[str]] = {}
        for job in reader.jobs(overrides, multirun=multirun):
            config = reader.compose(job)
            first = config if first is None else first
            if values and config is not None:
                try:
                    check(config, known=known)
                except ConfigError as error:
                    reader.mistakes += error.mistakes
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    return first


@dataclass
class _Reader:
    """Reads overrides against one source, and notes the mistakes that it meets."""

    source: Source
    mistakes: list[str] = field(default_factory=list)
    composed: dict[tuple[str, ...], DictConfig] = field(default_factory=dict)
    listed: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.search = self.source.search_path
        instance = GlobalHydra.instance()
        self.loader: ConfigLoader = instance.config_loader()
        default = self._compose(self.search, hydra=True)
        # Hydra counts no group among the choices of which several are chosen, or none.
        self.groups = [*default.hydra.runtime.choices, shared_choices.SCORERS]
        self.parser = OverridesParser.create(config_loader=self.loader)

    def parse(self, arguments: Sequence[str]) -> list[Override]:
        overrides = []
        for argument in arguments:
            try:
                overrides.append(self.parser.parse_override(argument))
            except HydraException as error:
                self.mistakes.append(self._unreadable(argument, error))
        moved = former.said_now(overrides)
        self.mistakes += moved.values()
        return [override for override in overrides if override.input_line not in moved]

    def _unreadable(self, argument: str, error: HydraException) -> str:
        if "=" in argument:
            return f"{argument}: cannot be read: {first_line(error)}. {_quoted(argument)}"
        choices = [f"{g}={option}" for g in self._own_groups() for option in self.options(g)]
        hint = next((c for c in choices if c.endswith(f"={argument}")), "")
        hint = f" Did you mean {hint}?" if hint else nearest(argument, choices)
        return f"{argument}: settings are given as NAME=VALUE.{hint}"

    def jobs(self, overrides: list[Override], *, multirun: bool) -> Iterator[list[Override]]:
        """Yield the overrides of each job."""
        alternatives = []
        own_sweeper = any(override.key_or_group == "hydra/sweeper" for override in overrides)
        for override in overrides:
            if not override.is_sweep_override():
                alternatives.append([override])
            elif override.is_interval_sweep() and not own_sweeper:
                key = override.get_key_element()
                self.mistakes.append(
                    f"{override.input_line}: an interval is searched, by `trimtab search` in place "
                    f"of `trimtab run`. Some of its values, as in {key}=0.2,0.4, need --multirun."
                )
            elif not multirun:
                line = str(override.input_line)
                self.mistakes.append(f"{line}: several values need --multirun. {single(override)}")
            elif override.is_discrete_sweep():
                key = override.get_key_element()
                values = override.sweep_string_iterator()
                alternatives.append(self.parser.parse_overrides([f"{key}={v}" for v in values]))
        yield from map(list, itertools.product(*alternatives))

    def compose(self, overrides: list[Override]) -> DictConfig | None:
        """Return one job's configuration without what is mistaken, or None where there is none."""
        groups, settings = list(self.search), []
        for override in overrides:
            name = override.key_or_group
            if name in self.groups or override.package is not None:
                if self._is_option(override):
                    groups.append(override.input_line or "")
            elif name.startswith("hydra."):
                groups.append(override.input_line or "")
            else:
                settings.append(override)
        key = tuple(groups)
        try:
            if key not in self.composed:
                self.composed[key] = self._compose(groups)
        except (HydraException, OmegaConfBaseException) as error:
            text = " ".join(str(error).split())
            self.mistakes.append(text + former.hint(text))
            return None
        config = self.composed[key].copy()
        for override in settings:
            self._apply(override, config)
        return config

    def _compose(self, overrides: list[str], *, hydra: bool = False) -> DictConfig:
        return compose(self.source.name, overrides, return_hydra_config=hydra)

    def options(self, group: str) -> list[str]:
        if group not in self.listed:
            self.listed[group] = self.loader.get_group_options(
                group, ObjectType.CONFIG, config_name=self.source.name, overrides=self.search
            )
        return self.listed[group]

    def _own_groups(self) -> list[str]:
        return [group for group in self.groups if not group.startswith("hydra/")]

    def _is_option(self, override: Override) -> bool:
        if override.is_delete():
            return True
        group, value = override.key_or_group, override.value()
        options = self.options(group)
        chosen = value if isinstance(value, list) else [value]
        unknown = [name for name in chosen if name not in options]
        _, _, own = (override.package or "").partition(f"{shared_choices.SCORERS}.")
        if own and own != value and own in self.options(shared_choices.SCORERS):
            self.mistakes.append(
                f"{override.input_line}: {own} is another scorer's name. Give this one a name of "
                f"its own, as in +{group}@{shared_choices.SCORERS}.second={value}."
            )
        for name in unknown:
            hint = self._extra(group, str(name)) or nearest(str(name), options)
            hint = hint or self._own_choice(group, str(name))
            self.mistakes.append(
                f"{group}={'null' if name is None else name}: no such option.{hint} "
                f"{group} is one of: {', '.join(options)}."
            )
        return not unknown

    def _extra(self, group: str, name: str) -> str:
        """Say what a launcher needs that is not installed."""
        command = installed_by(name) if group == "hydra/launcher" else None
        return f" It needs: {command}." if command else ""

    def _own_choice(self, group: str, name: str) -> str:
        """Say where a user's own choice would be found."""
        if group == shared_choices.SCORERS:
            moved = filter(None, (former.moved(own, name) for own in self.source.further))
            if place := next(moved, ""):
                return f" {place}"
        if self.source.further or group not in self._own_groups():
            return ""
        group = shared_choices.FOLDERS.get(group, group)
        found = next(Path.cwd().glob(f"*/{group}/{name}.yaml"), None)
        folder = found.parents[1].name if found else "DIR"
        return f" One of your own, {folder}/{group}/{name}.yaml, needs --config-dir {folder}."

    def _apply(self, override: Override, config: DictConfig) -> None:
        """Set one value in `config`, or note why that cannot be."""
        raw = OmegaConf.to_container(config, resolve=False)
        key, line = override.key_or_group, override.input_line
        adds = override.is_add() or override.is_force_add()
        mistake = self._unknown(key, raw)
        if adds and "." not in key:
            mistake = mistake or "the setting exists; write it without the +."
        elif adds:
            known = mistake is None and not override.is_force_add()
            mistake = "the setting exists; write it without the +." if known else None
        if mistake:
            self.mistakes.append(f"{line}: {mistake}")
            return
        try:
            if override.is_delete():
                OmegaConf.set_struct(config, False)
                parent = OmegaConf.select(config, key.rpartition(".")[0]) if "." in key else config
                del parent[key.rpartition(".")[2]]
            else:
                OmegaConf.update(config, key, override.value(), force_add=adds)
        except OmegaConfBaseException as error:
            self.mistakes.append(f"{line}: {first_line(error)}.")

    def _unknown(self, key: str, raw: Any) -> str | None:
        """Say what is wrong with a dotted key, if anything."""
        node, path = raw, ""
        for part in key.split("."):
            if isinstance(node, str) and node.startswith("${"):
                role = node.strip("${}")
                return f"{path} is taken from {role}. Did you mean {role}{key[len(path) :]}?"
            known = list(node) if isinstance(node, dict) else []
            name = part.split("[")[0]
            if path == shared_choices.SCORERS and name not in known:
                return self._not_chosen(name, known)
            if name not in known:
                hint = nearest(key, [*_dotted(raw), *self._own_groups()])
                siblings = ", ".join(k for k in known if not k.startswith("_"))
                return f"no such setting.{hint}" + (
                    f" {path} has: {siblings}." if siblings and path else ""
                )
            node, path = node[name], f"{path}.{part}".lstrip(".")
        return None

    def _not_chosen(self, name: str, chosen: list[str]) -> str:
        """Say how a scorer is chosen that has settings in a command."""
        group, options = shared_choices.SCORERS, self.options(shared_choices.SCORERS)
        if name in options:
            return f"{name} is not chosen. Choose it: {_choice([*chosen, name])}."
        if chosen:
            return f"no such scorer.{nearest(name, chosen)} Chosen are: {', '.join(chosen)}."
        return f"no scorer is chosen. Choose one: {', '.join(f'{group}={o}' for o in options)}."


def single(override: Override) -> str:
    """Say how what looks like several values is written for a single run."""
    key, _, value = str(override.input_line).partition("=")
    if key == shared_choices.SCORERS:
        return f"Several scorers of one run are a list: {_choice(value.split(','))}."
    return _quoted(str(override.input_line))


def _choice(scorers: Sequence[str]) -> str:
    several = f"[{','.join(scorers)}]" if len(scorers) > 1 else scorers[0]
    return shlex.quote(f"{shared_choices.SCORERS}={several}")


def _quoted(line: str) -> str:
    """Say how a value is written that has signs of Hydra's own."""
    key, _, value = line.partition("=")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    value = value.replace('"', '\\"')
    quoted = shlex.quote(f'{key}="{value}"')
    return f"One value with such signs is quoted twice: {quoted}."


def _dotted(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, child in node.items():
        yield f"{prefix}{name}"
        if isinstance(child, dict):
            yield from _dotted(child, f"{prefix}{name}.")

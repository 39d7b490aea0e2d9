"""Finds everything wrong with a configuration before any weights load.

A node with a `_target_` is a call: the target's parameters are its keys. So the signature is the
schema, and building the objects, which is free because models and data load at their first use,
finds the values that they refuse.
"""

import inspect
import itertools
import json
import logging
from dataclasses import dataclass
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from trimtab.config.composition import REFERENCE, ConfigError, build, container
from trimtab.config.shared_choices import SCORERS
from trimtab.config.signature import Signature, fits, in_words
from trimtab.config.user_code import described, named
from trimtab.config.wording import first_line, nearest
from trimtab.config.working_directory import get_object

# Hydra says there, too, what cannot be imported.
logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)


def check(config: DictConfig, *, known: dict[str, list[str]] | None = None) -> None:
    """Raise one `ConfigError` that lists everything wrong with `config`.

    Unknown and missing parameters, values of a wrong type, and whatever the constructors refuse
    are each named by the key that mends them on the command line. The jobs of a multirun have
    most nodes in common: `known`, handed from one check to the next, keeps their mistakes.
    """
    try:
        resolved = container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError([first_line(error)]) from error
    raw = container(config, resolve=False)
    walk = _Check(raw, {} if known is None else known)
    found: dict[str, list[str]] = {}
    for part in ("method", "task", "generation", "tracker"):
        if resolved.get(part) is None:
            found[part] = [f"{part}: one must be chosen, as in {part}=NAME."]
        else:
            found[part] = walk.part(part, resolved[part], raw[part])
    if not found["method"]:
        found["method"] = walk.models(resolved["method"])
    found[SCORERS] = walk.scorers(resolved.get(SCORERS) or {}, raw.get(SCORERS) or {})
    if not found["method"] and not found["task"]:
        found["task"] = walk.likelihood(resolved["task"], resolved["method"])
    mistakes = [mistake for part in found.values() for mistake in part]
    limit = resolved.get("limit")
    if limit is not None and limit < 1:
        mistakes.append(f"limit={limit}: accepted are whole numbers from 1 up, or null for all.")
    seed = resolved.get("limit_seed")
    if seed is not None and not 0 <= seed < 2**32:
        mistakes.append(f"limit_seed={seed}: accepted are 0 to 2**32 - 1, or null for the first.")
    if mistakes:
        raise ConfigError(mistakes)


class _Check:
    """Walks the nodes of one configuration; a reference such as ${base} is walked as `base`."""

    def __init__(self, root: dict[str, Any], known: dict[str, list[str]]) -> None:
        self.root = root
        self.known = known

    def part(self, key: str, value: Any, raw: Any) -> list[str]:
        """Return the mistakes of a node that has to be an object."""
        if not isinstance(value, dict) or "_target_" not in value:
            return [
                f"{key}: it names no class. Its YAML file needs a line such as "
                "`_target_: my_module.MyClass`."
            ]
        return self.node(key, value, raw)

    def scorers(self, nodes: dict[str, Any], raw: dict[str, Any]) -> list[str]:
        """Return the mistakes of each scorer, and what two of them would share in the record."""
        if "_target_" in nodes:
            return [
                f"{SCORERS}: one has no name. Its file belongs in DIR/scorer, not DIR/{SCORERS}."
            ]
        found = {name: self.part(f"{SCORERS}.{name}", nodes[name], raw[name]) for name in nodes}
        built = {name: build(nodes[name]) for name in nodes if not found[name]}
        shared = _shared({n: one for n, one in built.items() if hasattr(one, "shares")})
        return [mistake for mistakes in found.values() for mistake in mistakes] + shared

    def models(self, method: Any) -> list[str]:
        """Return what a method refuses of its models' settings."""
        content = json.dumps(["models", method], default=str)
        if content not in self.known:
            self.known[content] = _unsuited(build(method))
        return self.known[content]

    def likelihood(self, task: Any, method: Any) -> list[str]:
        """Return what keeps a method from a task that compares likelihoods."""
        content = json.dumps(["likelihood", task, method], default=str)
        if content not in self.known:
            self.known[content] = _unweighable(build(task), method)
        return self.known[content]

    def node(self, key: str, value: Any, raw: Any) -> list[str]:
        """Return the mistakes of the node `value`, whose unresolved form is `raw`."""
        content = json.dumps([key, value, raw], default=str)
        if content not in self.known:
            self.known[content] = self._node(key, value, raw)
        return self.known[content]

    def _node(self, key: str, value: Any, raw: Any) -> list[str]:
        reference = isinstance(raw, str) and REFERENCE.fullmatch(raw)
        if reference:
            key = reference[1]
            raw = self.root[key]
        if value == "???":
            return [f"{key}: a value is needed, as in {key}=VALUE."]
        if isinstance(value, list):
            below = raw if isinstance(raw, list) else value
            pairs = enumerate(zip(value, below, strict=True))
            return [m for i, (v, r) in pairs for m in self.node(f"{key}[{i}]", v, r)]
        if not isinstance(value, dict):
            return []
        settings = {name: child for name, child in value.items() if str(name)[:1] != "_"}
        wrong = {
            name: self.node(f"{key}.{name}", child, raw[name] if isinstance(raw, dict) else child)
            for name, child in settings.items()
        }
        refusals: list[str] = []
        if "_target_" in value:
            try:
                target = get_object(value["_target_"])
            except Exception as error:  # whatever importing a user's module raises
                return [f"{key}: {value['_target_']} cannot be imported: {_import_error(error)}"]
            if not callable(target):
                kind = type(target).__name__
                return [f"{key}: {value['_target_']} is a {kind}; `_target_` names a class."]
            takes = Signature(target)
            for name, mistake in takes.mistakes(settings, _Keys(key, takes)).items():
                # Where a value is still to be given, that has been said.
                if settings.get(name) != "???" or name not in takes.parameters:
                    wrong.setdefault(name, []).append(mistake)
            refusals = _refusals(key, value, takes, {name for name in wrong if wrong[name]})
        return [mistake for mistakes in wrong.values() for mistake in mistakes] + refusals


@dataclass(frozen=True)
class _Keys:
    """Settings of a node as keys of the command line: `method.threshold`.

    Attributes:
        node: the node's own key.
        signature: what its class takes.
    """

    node: str
    signature: Signature

    def misfit(self, name: str, value: Any, hint: Any) -> str:
        path = f"{self.node}.{name}"
        as_text = f" As text: {path}=\"'{value}'\"." if fits("", hint) else ""
        return f"{path}={_shown(value)}: accepted is {in_words(hint)}.{as_text}"

    def unknown(self, name: str) -> str:
        path, target = f"{self.node}.{name}", self.signature.target
        if isinstance(target, type) and _declares(target, name):
            return (
                f"{path}: {named(target)} declares {name!r} without taking it. Put "
                "@dataclass(frozen=True, kw_only=True) on the line above the class."
            )
        names = self.signature.parameters
        did_you_mean = nearest(path, [f"{self.node}.{known}" for known in names])
        takes = f"takes: {', '.join(names)}" if names else "takes no parameters"
        return f"{path}: no such parameter.{did_you_mean} {self.node} {takes}."

    def missing(self, name: str) -> str:
        return f"{self.node}.{name}: a value is needed, as in +{self.node}.{name}=VALUE."


def _declares(kind: type, name: str) -> bool:
    """Whether a class has a field of this name, which a forgotten @dataclass leaves unused."""
    return any(name in inspect.get_annotations(one) for one in kind.__mro__)


def _import_error(error: BaseException) -> str:
    """Return what came in the way of an import, without what Hydra makes of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return described(error)


def _shared(scorers: dict[str, Any]) -> list[str]:
    return [
        f"{SCORERS}.{other}: {shared!r} is what {SCORERS}.{one} gives, too. Tell the two apart, as "
        f"in {SCORERS}.{other}.{scorers[other].told_apart_by}=NAME."
        for one, other in itertools.combinations(scorers, 2)
        if (shared := scorers[one].shares(scorers[other]))
    ]


def _unsuited(method: Any) -> list[str]:
    try:
        getattr(method, "require_models", lambda: None)()
    except ValueError as error:
        return [f"method: {error}"]
    return []


def _unweighable(task: Any, method: Any) -> list[str]:
    by = getattr(task, "likelihood", None)
    if by is None:
        return []
    try:
        build(method).weigh({}, {})  # nothing is asked, so nothing is loaded
    except ValueError as error:
        return [f"task.likelihood={by}: {error}"]
    return []


def _refusals(
    key: str,
    node: dict[str, Any],
    takes: Signature,
    wrong: set[str],
) -> list[str]:
    """Return what the constructor says, line by line, against settings not known to be wrong.

    It stops at its first objection. So the setting that it objects to is put back to its default,
    and the constructor asked again.
    """
    fixed = takes.required
    lost = [name for name in fixed if name in wrong]
    if any(not isinstance(node.get(name), dict) for name in lost):
        return []
    # An object that cannot be built does not hide what is wrong with its owner's own settings.
    settings = {n: v for n, v in node.items() if n not in wrong} | dict.fromkeys(lost)
    mistakes = []
    while refusal := _refusal(settings, stand_ins=bool(lost)):
        said = [f"{key}: {line}" for line in refusal.splitlines()]
        mistakes += [line for line in said if line not in mistakes]
        without = [
            {n: v for n, v in settings.items() if n != name}
            for name in settings
            if name not in [*fixed, "_target_"]
        ]
        after = [_refusal(others, stand_ins=bool(lost)) for others in without]
        # Best is the change that mends everything; two settings may contradict each other.
        ends = None if None in after else next((r for r in after if r != refusal), refusal)
        if ends == refusal:
            break
        settings = without[after.index(ends)]
    return mistakes


def _refusal(node: dict[str, Any], *, stand_ins: bool) -> str | None:
    try:
        build(node)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, ValueError):
            return str(cause)
        if not stand_ins:
            return described(cause)
    return None


def _shown(value: Any) -> str:
    plain = value if isinstance(value, str) else json.dumps(value, default=str)
    return plain or "''"

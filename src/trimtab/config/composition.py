"""What an experiment is made of: its root, its objects, its settings and its fingerprint."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf

from trimtab.config import canonical, later_settings, shared_choices, working_directory

# The parts that decide a run's results. The roles (base, guide, untuned) count only as far as
# the method refers to them.
PARTS = ("method", "task", "generation", "limit", "limit_seed")
# A method's models are references to the roles.
REFERENCE = re.compile(r"\$\{(\w+)\}")
_PACKAGE = Path(__file__).parents[1]
_PACKAGED = _PACKAGE / "conf"
# A checkout has conf/ at its root; a wheel carries it inside the package.
DIRECTORY = _PACKAGED if _PACKAGED.is_dir() else _PACKAGE.parents[1] / "conf"


@dataclass
class Experiment:
    """The root of the configuration; the nodes are checked against their targets' signatures.

    Args:
        base: a model: the one that is steered.
        guide: a model: the one that steers.
        untuned: a model: the guide before it was tuned, for proxy tuning.
        scorers: who scores the answers beside the task's rule, by name: judges, reward models and
            functions, as many as are given.
        limit: evaluate so many samples; null for all of them.
        limit_seed: draws which samples, where there is a limit; null for the first.
        results: root of the run folders.
    """

    base: Any = MISSING
    guide: Any = MISSING
    untuned: Any = MISSING
    method: Any = MISSING
    task: Any = MISSING
    generation: Any = MISSING
    tracker: Any = MISSING
    scorers: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    limit_seed: int | None = None
    results: str = "results"


class ConfigError(ValueError):
    """All the mistakes of a configuration, one line each."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        """Keep the distinct `mistakes`, in order."""
        self.mistakes = list(dict.fromkeys(mistakes))
        super().__init__("\n".join(self.mistakes))


def build(node: Any) -> Any:
    """Return the object that a configuration node describes."""
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    working_directory.allow(*working_directory.named(plain))
    return instantiate(node, _convert_="all")


def fingerprint(config: DictConfig) -> str:
    """Return 12 hex digits that are equal for two configurations of the same results.

    What changes no answer is left out, as the classes say that the configuration names:
    `without_effect` has the names of such settings (batch size, drafts, a model's device, what is
    for the record alone), and `since` those that came later, with the value that means "as before".
    """
    return digest(relevant(config), users=True)


def digest(parts: Mapping[str, Any], *, users: bool = False) -> str:
    """Return the fingerprint of the resolved parts of a configuration.

    Args:
        parts: by name.
        users: whether a user's classes are imported, to be asked what has no effect. Whoever only
            reads what a run has left does not run the code that its files name.
    """
    counted = {
        part: node
        for part, node in parts.items()
        if not (part == "limit_seed" and node is None)  # as before there was one
    }
    text = canonical.text(counted, users=users)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


def effective(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return resolved parts without the settings that change no answer; runs no user's code."""
    return {part: canonical.counted(node, users=False) for part, node in parts.items()}


def relevant(config: DictConfig) -> dict[str, Any]:
    """Return the resolved parts of `config` that decide the results."""
    resolved = container(config, resolve=True)
    return {part: later_settings.written_out(resolved[part], recorded=False) for part in PARTS}


def settings(config: DictConfig, choices: dict[str, str]) -> dict[str, Any]:
    """Return the run's settings by their command-line names, as in {"method.threshold": 0.4}.

    `choices` are the chosen options by group; of these and of the roles, only those that the
    method refers to are kept.
    """
    raw = container(config, resolve=False)
    flat: dict[str, Any] = {part: choices[part] for part in PARTS if part in choices}
    for part in PARTS:
        for key, value in _leaves(part, raw[part], raw):
            flat[key] = value
            group = key.split(".")[0]
            if group != key and group in choices:
                flat[group] = choices[group]
    return flat


def container(config: DictConfig, *, resolve: bool) -> dict[str, Any]:
    """Return the configuration as plain data, references resolved or as they are written."""
    # Hydra's own node refers to the fingerprint: resolving it here would go in circles.
    if "hydra" in config:
        config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=resolve))


def _leaves(key: str, raw: Any, root: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    reference = isinstance(raw, str) and REFERENCE.fullmatch(raw)
    if reference:
        yield from _leaves(reference[1], root[reference[1]], root)
    elif isinstance(raw, dict):
        for name, child in raw.items():
            if name != "_target_":
                yield from _leaves(f"{key}.{name}", child, root)
    else:
        yield key, json.dumps(raw, ensure_ascii=False) if isinstance(raw, list) else raw


ConfigStore.instance().store("schema", Experiment)
shared_choices.offer(DIRECTORY)
OmegaConf.register_new_resolver("fingerprint", lambda *, _root_: fingerprint(_root_), replace=True)

"""What `--model_args` takes: the names of `trimtab run`, flat, as the harness has them.

    method=nudging                  a file of conf/method
    base=zoo:a-large-base           a model of the method: zoo:<name>, a folder or a hub id
    guide_prompt=chat               a setting of one model, as in conf/model/hf.yaml
    dtype=bfloat16                  the same for all models
    threshold=0.4                   a setting of the method
    vectors.law=zoo:law             one of several by name, of method=vectors
    batch_size=16, seed=0           settings of generation that are no task's matter

An embedded model's `prompt` is that of its file in conf/model; any other model's must be stated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from omegaconf import MISSING

from trimtab import zoo
from trimtab.config import composition
from trimtab.config.signature import Signature, in_words
from trimtab.config.wording import not_a_choice
from trimtab.config.working_directory import get_object
from trimtab.decoding import Generation
from trimtab.methods import Method
from trimtab.methods.mixture import PROMPT_LOOKUP
from trimtab.models import LanguageModel, packaged

_GENERATION = ("batch_size", "draft_length", "seed")  # the others are the task's


@dataclass(frozen=True)
class _Flat:
    """What is said of the harness's arguments, which are flat.

    Attributes:
        of: what they are arguments of.
        accepted: all that there may be.
        needed: what is said where one is missing, by name.
        role: the model that they are about, whose name is put before theirs.
    """

    of: str
    accepted: Collection[str]
    needed: Mapping[str, str]
    role: str | None = None

    def misfit(self, name: str, value: Any, hint: Any) -> str:
        name = f"{self.role}_{name}" if self.role else name
        return f"{name}={value!r}: accepted is {in_words(hint)}."

    def unknown(self, name: str) -> str:
        return not_a_choice(self.of, name, self.accepted)

    def missing(self, name: str) -> str:
        return self.needed.get(name, f"{name}: a value is needed, as in {name}=VALUE.")


def read_arguments(arguments: Mapping[str, Any]) -> tuple[Method, Generation]:
    """Return the method and the settings of generation that arguments describe.

    Args:
        arguments: values by name, as the harness parses them. `batch_size=auto` is the usual
            size: it changes no answer.

    Raises:
        ConfigError: a ValueError that lists every mistake, with the nearest valid name.
    """
    given = dict(arguments)
    methods = sorted(file.stem for file in (composition.DIRECTORY / "method").glob("*.yaml"))
    name = given.pop("method", None)
    if name not in methods:
        raise composition.ConfigError([not_a_choice("method:", name, methods)])
    node = _load("method", name)
    target = get_object(node.pop("_target_"))
    fields = {key: match[1] for key, value in node.items() if (match := _reference(value))}
    settings = {k: default for k, default in node.items() if k not in fields and default != MISSING}
    if "draft" in settings and given.get("draft") not in (None, PROMPT_LOOKUP):
        fields["draft"] = "draft"  # a model of its own
        del settings["draft"]
    given = _gathered(given, settings)
    own = [f"{role}_{option}" for role in fields.values() for option in _options()]
    takes = Signature(target)
    known = [name for name in takes.parameters if name not in fields]
    names = {*fields.values(), *own, *_options(), *known, *_GENERATION, "method"}
    flat = _Flat(
        of=f"Model argument of method={name}:",
        accepted=names,
        needed={
            field: f"{role}: a model is needed, as in {role}=zoo:NAME, {role}=FOLDER or "
            f"{role}=HUB_ID."
            for field, role in fields.items()
        },
    )
    mistakes = [flat.unknown(key) for key in given if key not in names]
    settings |= {key: given[key] for key in known if key in given}
    paths = {field: str(given[role]) for field, role in fields.items() if role in given}
    mistakes += takes.mistakes(settings | paths, flat).values()
    models = {}
    for field, path in paths.items():
        try:
            models[field] = _model(fields[field], path, given, flat)
        except ValueError as error:
            mistakes += str(error).splitlines()
    try:
        generation = _generation(given, flat)
    except ValueError as error:
        mistakes += str(error).splitlines()
    if mistakes:
        raise composition.ConfigError(mistakes)
    return target(**models, **settings), generation


def _gathered(given: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments in which `vectors.law=PATH` has become an entry of the setting `vectors`."""
    gathered: dict[str, Any] = {}
    for key, value in given.items():
        setting, _, name = key.partition(".")
        if name and settings.get(setting, key) is None:
            gathered.setdefault(setting, {})[name] = value
        else:
            gathered[key] = value
    return gathered


def _generation(given: Mapping[str, Any], flat: _Flat) -> Generation:
    settings = {key: given[key] for key in _GENERATION if key in given}
    size = settings.get("batch_size")  # the command passes it on as text
    if size == "auto":
        del settings["batch_size"]
    elif isinstance(size, str) and size.isdecimal():
        settings["batch_size"] = int(size)
    _refuse(Signature(Generation).mistakes(settings, flat))
    return Generation(**settings)


def _load(group: str, name: str) -> dict[str, Any]:
    content = (composition.DIRECTORY / group / f"{name}.yaml").read_text("utf-8")
    node: dict[str, Any] = yaml.safe_load(content)
    return node


def _reference(value: Any) -> Any:
    return composition.REFERENCE.fullmatch(value) if isinstance(value, str) else None


def _model(role: str, path: str, given: Mapping[str, Any], flat: _Flat) -> LanguageModel:
    stated = {option: given[option] for option in _options() if option in given}
    stated |= {option: given[own] for option in _options() if (own := f"{role}_{option}") in given}
    named = zoo.name_in(path) or packaged.name_in(path)
    if "prompt" not in stated and named is not None:
        LanguageModel(path=path, prompt="plain")  # there is such a model
        stated["prompt"] = _load("model", named)["prompt"]
    how = (
        f"{role}_prompt: how {path!r} reads a conversation must be stated: "
        f"{role}_prompt=chat (its own template) or {role}_prompt=plain (text)."
    )
    about = dataclasses.replace(flat, role=role, needed={"prompt": how})
    _refuse(Signature(LanguageModel).mistakes({"path": path, **stated}, about))
    return LanguageModel(path=path, **stated)


def _options() -> list[str]:
    """Return the settings of a model beside its path."""
    return [name for name in Signature(LanguageModel).parameters if name != "path"]


def _refuse(mistakes: Mapping[str, str]) -> None:
    if mistakes:
        raise ValueError("\n".join(mistakes.values()))

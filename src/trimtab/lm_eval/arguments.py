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

from collections.abc import Mapping
from typing import Any

import yaml

from trimtab.config import composition
from trimtab.config.wording import not_a_choice
from trimtab.config.working_directory import get_object
from trimtab.decoding import Generation
from trimtab.methods import Method
from trimtab.methods.single_voice import PROMPT_LOOKUP
from trimtab.models import LanguageModel

_GENERATION = ("batch_size", "draft_length", "seed")  # the others are the task's
_EMBEDDED = "zoo:"


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
    settings = {key: default for key, default in node.items() if key not in fields}
    if "draft" in settings and given.get("draft") not in (None, PROMPT_LOOKUP):
        fields["draft"] = "draft"  # a model of its own
        del settings["draft"]
    given = _gathered(given, settings)
    roles = list(fields.values())
    options = {k: v for k, v in _load("model", "hf").items() if k not in ("_target_", "path")}

    own = {f"{role}_{option}" for role in roles for option in options}
    accepted = {*roles, *own, *options, *settings, *_GENERATION, "method"}
    mistakes = [
        not_a_choice(f"Model argument of method={name}:", key, accepted)
        for key in given
        if key not in accepted
    ]
    stated = {key: given[key] for key in settings if key in given}
    mistakes += _wrong_types(stated, settings)
    models = {}
    for field, role in fields.items():
        try:
            models[field] = _model(role, given, options)
        except ValueError as error:
            mistakes += str(error).splitlines()
    try:
        generation = _generation(given)
    except ValueError as error:
        mistakes.append(str(error))
    if mistakes:
        raise composition.ConfigError(mistakes)
    return target(**models, **settings | stated), generation


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


def _generation(given: Mapping[str, Any]) -> Generation:
    settings = {key: given[key] for key in _GENERATION if key in given}
    size = settings.get("batch_size")  # the command passes it on as text
    if size == "auto":
        del settings["batch_size"]
    elif isinstance(size, str) and size.isdecimal():
        settings["batch_size"] = int(size)
    return Generation(**settings)


def _load(group: str, name: str) -> dict[str, Any]:
    content = (composition.DIRECTORY / group / f"{name}.yaml").read_text("utf-8")
    node: dict[str, Any] = yaml.safe_load(content)
    return node


def _reference(value: Any) -> Any:
    return composition.REFERENCE.fullmatch(value) if isinstance(value, str) else None


def _model(role: str, given: Mapping[str, Any], options: Mapping[str, Any]) -> LanguageModel:
    if role not in given:
        raise ValueError(
            f"{role}: a model is needed, as in {role}=zoo:NAME, {role}=FOLDER or {role}=HUB_ID."
        )
    path = str(given[role])
    stated = {option: given[option] for option in options if option in given}
    stated |= {option: given[own] for option in options if (own := f"{role}_{option}") in given}
    if mistakes := _wrong_types(stated, options, f"{role}_"):
        raise ValueError("\n".join(mistakes))
    if "prompt" not in stated:
        if not path.startswith(_EMBEDDED):
            raise ValueError(
                f"{role}_prompt: how {path!r} reads a conversation must be stated: "
                f"{role}_prompt=chat (its own template) or {role}_prompt=plain (text)."
            )
        LanguageModel(path=path, prompt="plain")  # there is such a model
        stated["prompt"] = _load("model", path.removeprefix(_EMBEDDED))["prompt"]
    return LanguageModel(path=path, **stated)


def _wrong_types(
    stated: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str = ""
) -> list[str]:
    """Return what is wrong with the types of values, going by those of the defaults."""
    mistakes = []
    for name, value in stated.items():
        default = defaults[name]
        if isinstance(default, bool):
            fits, accepted = isinstance(value, bool), "true or false"
        elif isinstance(default, int | float):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fits, accepted = number, "a number"
        elif isinstance(default, str):
            fits, accepted = isinstance(value, str), "text"
        else:
            continue
        if not fits:
            mistakes.append(f"{prefix}{name}={value!r}: accepted is {accepted}.")
    return mistakes

"""A task's `generation_kwargs`: what they ask for, or why they cannot be honoured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trimtab.config.accepted import is_number
from trimtab.config.wording import not_a_choice
from trimtab.decoding import Generation

# The harness's names for one thing, the first that is given counts.
_MAX_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
# Values at which a setting asks for nothing.
_OFF = {
    "length_penalty": 1.0,
    "min_p": 0.0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
}
_HONOURED = (*_MAX_TOKENS, "until", "do_sample", "temperature", "top_k", "top_p")


def read_settings(
    given: Mapping[str, Any], generation: Generation
) -> tuple[Generation, tuple[str, ...]]:
    """Return how a task's answers are drawn, and the strings that end them.

    As with the harness's own models, `do_sample` left open means sampling at a temperature above
    0, `do_sample=False` is greedy whatever the temperature, and an answer has 256 tokens at most.

    Args:
        given: the task's settings.
        generation: what else to go by: batch size and seed.

    Raises:
        ValueError: for a setting that a method cannot honour, and for sampling at temperature 0.
    """
    off = {name for name, value in _OFF.items() if given.get(name) == value}
    for name in given:
        if name in _OFF and name not in off:
            raise ValueError(
                f"{name}={given[name]!r} in generation_kwargs: trimtab's methods have no such "
                f"setting; accepted is {_OFF[name]!r}."
            )
        if name not in _OFF and name not in _HONOURED:
            raise ValueError(not_a_choice("Setting in generation_kwargs:", name, _HONOURED))
    temperature = _number("temperature", given, 0.0)
    do_sample = given.get("do_sample")
    if do_sample not in (None, True, False):
        raise ValueError(f"do_sample={do_sample!r}: accepted are true and false.")
    if do_sample and not temperature:
        raise ValueError(
            "do_sample=True at temperature 0, or none: give temperature=1, or leave do_sample out."
        )
    counts = [given[name] for name in _MAX_TOKENS if given.get(name) is not None]
    drawn = dataclasses.replace(
        generation,
        max_new_tokens=counts[0] if counts else Generation().max_new_tokens,
        temperature=0.0 if do_sample is False else temperature,
        top_k=int(_number("top_k", given, 0)),
        top_p=_number("top_p", given, 1.0),
    )
    return drawn, _stop_strings(given.get("until"))


def cut(text: str, until: tuple[str, ...]) -> str:
    """Return an answer up to the strings that end it, as the harness cuts those of its models."""
    for stop in until:
        text = text.split(stop)[0]
    return text


def _stop_strings(until: Any) -> tuple[str, ...]:
    listed = [until] if isinstance(until, str) else until or []
    if not isinstance(listed, list | tuple) or not all(isinstance(stop, str) for stop in listed):
        raise ValueError(f"until={until!r}: accepted is a string, or a list of strings.")
    return tuple(stop for stop in listed if stop)


def _number(name: str, given: Mapping[str, Any], default: float) -> float:
    value = default if given.get(name) is None else given[name]
    if not is_number(value):
        raise ValueError(f"{name}={value!r}: accepted is a number.")
    return float(value)

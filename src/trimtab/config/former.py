"""What commands and files said when a run had one judge and one reward, and how it is said now."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override

from trimtab.config.shared_choices import FOLDERS, SCORERS

_SLOTS = ("judge", "reward")
_CHOICES = {"model": "reward_model", "function": "function_reward"}
_FORMER = re.compile(rf"({'|'.join(_SLOTS)})([=.])(.*)", re.S)
_log = logging.getLogger(__name__)
_WHY = "judges and rewards are scorers, of which a run can have any number"
_MISSED = re.compile(rf"'({'|'.join(_SLOTS)})'")


def as_now(arguments: Sequence[str]) -> list[str]:
    """Return a command's arguments with its one judge and one reward as scorers, which is said.

    Where that is not all there is to it (several in a sweep, scorers beside them), they stay, to be
    refused with what to write instead.
    """
    parts = [(argument, _FORMER.fullmatch(argument)) for argument in arguments]
    chosen = {m[1]: _CHOICES.get(m[3], m[3]) for _, m in parts if m and m[2] == "="}
    names = [name for name in chosen.values() if name not in ("none", "null")]
    settled = {m[1] for _, m in parts if m and m[2] == "."}
    if (
        not chosen
        or not all(name.isidentifier() for name in chosen.values())
        or not settled <= {slot for slot, name in chosen.items() if name in names}
        or any(argument.lstrip("+~").startswith(SCORERS) for argument in arguments)
    ):
        return list(arguments)
    now = [f"{SCORERS}=[{','.join(names)}]"] if len(names) != 1 else [f"{SCORERS}={names[0]}"]
    now += [f"{SCORERS}.{chosen[m[1]]}.{m[3]}" for _, m in parts if m and m[2] == "."]
    before = " ".join(argument for argument, m in parts if m)
    _log.warning("%s: read as %s, since %s.", before, shlex.join(now), _WHY)
    first = next(i for i, (_, m) in enumerate(parts) if m)  # options may follow settings
    after = [argument for argument, m in parts[first:] if not m]
    return [*arguments[:first], *now, *after]


def said_now(overrides: Sequence[Override]) -> dict[str, str]:
    """Return, by its line, what is to be said of each override in the former form."""
    former = [o for o in overrides if o.key_or_group.partition(".")[0] in _SLOTS]
    chosen = {o.key_or_group: str(o.input_line).partition("=")[2] for o in former}
    chosen = {slot: _CHOICES.get(name, name) for slot, name in chosen.items()}
    names = [chosen[slot] for slot in _SLOTS if chosen.get(slot, "none") != "none"]
    choice = f"{SCORERS}={names[0]}" if len(names) == 1 else f"{SCORERS}=[{','.join(names)}]"
    found = {}
    for override in former:
        line = str(override.input_line)
        slot, dot, _ = override.key_or_group.partition(".")
        name = chosen.get(slot, "")
        setting = f"{SCORERS}.{name if name.isidentifier() else 'NAME'}."
        now = line.replace(f"{slot}.", setting, 1) if dot else shlex.quote(choice)
        found[line] = f"{line}: {_WHY}. Write {now} instead."
    return found


def moved(folder: Path, name: str) -> str:
    """Say where a choice belongs whose file lies in a folder where it was looked for before."""
    found = next((f for s in _SLOTS if (f := folder / s / f"{name}.yaml").is_file()), None)
    return f"Move {found} to {folder / FOLDERS[SCORERS] / found.name}." if found else ""


def hint(error: str) -> str:
    """Return what to add to Hydra's error about a file that says so."""
    now = f"`override /{SCORERS}: [NAME]` chooses them, and {SCORERS}.NAME has their settings."
    return f" {_WHY[0].upper()}{_WHY[1:]}: {now}" if _MISSED.search(error) else ""

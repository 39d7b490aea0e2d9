"""What each setting of an experiment means, from the docstring of the class that takes it."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator

from trimtab.config.composition import Experiment
from trimtab.config.working_directory import get_object

_NODE = re.compile(r"(\w+):$")
_TARGET = re.compile(r"  _target_: (\S+)$")
_SETTING = re.compile(r"(  )?(\w+):(?: |$)")
_ARGUMENT = re.compile(r"    (\w+): (.*)")
_WIDTH = 80


def explained(listed: str) -> str:
    """Return a configuration, as YAML, with what each setting means below it.

    Models are explained once, and not again in the other roles.
    """
    return "\n".join(_lines(listed))


def _lines(listed: str) -> Iterator[str]:
    root = arguments(Experiment)
    met: dict[str, str] = {}
    node, known = "", dict[str, str]()
    for line in listed.splitlines():
        yield line
        if opens := _NODE.match(line):
            node, known = opens[1], {}
        elif target := _TARGET.match(line):
            if target[1] in met:
                yield f"  # Its settings are those of {met[target[1]]}."
            else:
                met[target[1]] = node
                known = _arguments_of(target[1])
        elif setting := _SETTING.match(line):
            indent, name = setting[1] or "", setting[2]
            text = (known if indent else root).get(name)
            if text:
                lead = f"{indent}    # "
                yield from textwrap.wrap(text, _WIDTH, initial_indent=lead, subsequent_indent=lead)


def arguments(kind: type) -> dict[str, str]:
    """Return what a class's docstring, and those of its bases, say of each argument."""
    found: dict[str, str] = {}
    for one in kind.__mro__:
        for name, text in _arguments(inspect.cleandoc(one.__doc__ or "")):
            found.setdefault(name, text)
    return found


def _arguments(doc: str) -> Iterator[tuple[str, str]]:
    _, _, section = doc.partition("\nArgs:\n")
    name, words = "", list[str]()
    for line in section.splitlines():
        if line and not line.startswith("    "):  # the next section
            break
        if begins := _ARGUMENT.fullmatch(line):
            if name:
                yield name, " ".join(words)
            name, words = begins[1], [begins[2]]
        else:
            words.append(line.strip())
    if name:
        yield name, " ".join(words).strip()


def _arguments_of(target: str) -> dict[str, str]:
    try:
        return arguments(get_object(target))
    except Exception:  # what cannot be imported is said when it is run
        return {}

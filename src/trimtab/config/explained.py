"""What each setting of an experiment means, from the docstring of the class that takes it."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator

from trimtab.config.composition import Experiment
from trimtab.config.working_directory import get_object

_NODE = re.compile(r"( *)([\w-]+):$")
_TARGET = re.compile(r"( *)_target_: (\S+)$")
_SETTING = re.compile(r"( *)(\w+):(?: |$)")
_INDENT = "  "  # of what is below a node
_ARGUMENT = re.compile(r"    (\w+): (.*)")
_WIDTH = 80


def explained(listed: str) -> str:
    """Return a configuration, as YAML, with what each setting means below it.

    Models are explained once, and not again in the other roles.
    """
    return "\n".join(_lines(listed))


def _lines(listed: str) -> Iterator[str]:
    met: dict[str, str] = {}
    nodes: dict[str, str] = {}  # names of the nodes that a line is in, by the indent of their lines
    known = {"": arguments(Experiment)}  # what is said of settings, by the indent of their lines
    for line in listed.splitlines():
        yield line
        if target := _TARGET.match(line):
            indent, name = target.groups()
            if name in met:
                yield f"{indent}# Its settings are those of {met[name]}."
            else:
                above = sorted(at for at in nodes if len(at) < len(indent))
                met[name] = ".".join(nodes[at] for at in above)
                known[indent] = _arguments_of(name)
            continue
        if opens := _NODE.match(line):
            indent, name = opens.groups()
            nodes[indent] = name
            known.pop(indent + _INDENT, None)
        if setting := _SETTING.match(line):
            indent, name = setting.groups()
            text = known.get(indent, {}).get(name)
            if text and not (opens and not indent):
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

"""The forms in which a judge's answer can be read: where it can mean but one thing, and no other.

Asked for is one JSON object. Models give it in a block, with a word before or after it, in a list,
with `4/5` or `"4"` for 4; or they write `Score: 4` instead. A score is never guessed: what could
mean two things is unreadable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

_THOUGHTS_END = re.compile(r".*</(?:think|thinking|thought|reasoning)>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHTS = re.compile(r"\s*<(think|thinking|thought|reasoning)>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*", re.MULTILINE)
_OBJECT = re.compile(r"\{\s*[\"}]")  # other braces are prose
_OF = re.compile(r"(\d+)\s*(?:/|out of)\s*(\d+)")
_WHOLE = re.compile(r"\d+(?:\.0+)?")
_MANY = 100  # objects in one answer
_SAID = "score"  # what a single score may be called instead of its name
_YES, _NO = ("true", "yes", "correct"), ("false", "no", "incorrect")


class Unreadable(ValueError):
    """An answer of the judge from which no score can be read."""


def read_marks(
    answer: str, names: Sequence[str], marks: range, *, whole: bool = True
) -> dict[str, tuple[float, Any]]:
    """Return the mark of each name in an answer, and the reason that stands beside it, if any.

    Args:
        answer: of a judge.
        names: what has a mark each.
        marks: what a mark may be; of 0 and 1 it may be said as yes and no.
        whole: whether the answer is all that the judge had to say. One that is cut is read only if
            it is the form asked for, from its beginning to its end.

    Raises:
        Unreadable: for an answer with a mark missing, out of range, or given twice.
    """
    text = _after_thoughts(answer).strip()
    found = _json(text)
    if found is None and whole:
        text = _FENCE.sub("", text).strip()
        found = _json(text)
        if found is None:
            found = _amid_prose(text, names, marks)
    if found is None:
        raise Unreadable("not JSON, or not all of it")
    if isinstance(found, list) and len(found) == 1:
        (found,) = found
    if not isinstance(found, dict):
        if not whole or len(names) > 1 or type(found) not in (int, float):
            raise Unreadable(f"a JSON {type(found).__name__}, not an object")
        found = {names[0]: found}
    fields = _folded(found)
    alone = names[0] if len(names) == 1 else None
    if alone and alone not in fields and _SAID in fields:
        fields[alone] = fields[_SAID]
    return {name: _marked(fields, name, marks) for name in names}


def _marked(fields: Mapping[str, Any], name: str, marks: range) -> tuple[float, Any]:
    """Return a mark, which stands for itself or in an object, and the reason beside it."""
    if name not in fields:
        raise Unreadable(f"{name!r} is missing")
    value, beside = fields[name], fields
    of = ""
    if isinstance(value, dict):
        beside, of = _folded(value), f" of {name!r}"
        if _SAID not in beside:
            raise Unreadable(f"'score'{of} is missing")
        value = beside[_SAID]
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    mark = _mark(value, marks)
    if mark is None:
        what = f"'score'{of}" if of else repr(name)
        raise Unreadable(
            f"{what} is {value!r:.80}, not a whole number from {marks[0]} to {marks[-1]}"
        )
    return mark, beside.get("reason")


def _mark(value: Any, marks: range) -> float | None:
    """Return a mark as a number, or None for what is none."""
    binary = marks[-1] == 1
    if isinstance(value, bool):
        return float(value) if binary else None
    if isinstance(value, int | float):
        return float(value) if value in marks else None
    if not isinstance(value, str) or not value.isascii():
        return None
    said = value.strip(" \t*_[]().").lower()
    if binary and said in (*_YES, *_NO):
        return float(said in _YES)
    if found := _OF.fullmatch(said):
        said = found[1] if found[2] == str(marks[-1]) else ""
    if not _WHOLE.fullmatch(said) or len(said) > 9:
        return None
    return float(said) if float(said) in marks else None


# ---------------------------------------------------------------------------- where it stands


def _after_thoughts(answer: str) -> str:
    rest = _THOUGHTS_END.sub("", answer, count=1) if _THOUGHTS_END.match(answer) else answer
    if _OPEN_THOUGHTS.match(rest):
        raise Unreadable("it ends amid the judge's thoughts")
    return rest


def _json(text: str) -> Any:
    """Return what a text is as JSON, or None if it is none."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        return None
    except RecursionError:
        raise Unreadable("not JSON that could be read: nested too deeply") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None


def _amid_prose(text: str, names: Sequence[str], marks: range) -> dict[str, Any] | None:
    """Return the one object in a text that tells of the names, or what its lines say of them."""
    spans = list(islice(_objects(text), _MANY))
    told = [one for one in spans if {*names, _SAID} & _folded(one[2]).keys()]
    lines = _lines(_without(text, spans), names, marks)
    if not told and len(spans) < _MANY:
        bare = len(names) == 1 and text[:1].isdigit() and _mark(text, marks) is not None
        return lines or ({names[0]: text} if bare else None)
    if len(told) > 1 or len(spans) == _MANY:
        raise Unreadable("more than one judgement")
    start, end, found = told[0]
    before, after = text[:start].rpartition("\n")[2], text[end:].partition("\n")[0]
    if before.strip(" \t[") and after.strip(" \t]"):
        raise Unreadable("a judgement amid a sentence")
    if any(_marked(_folded(found), n, marks)[0] != _mark(v, marks) for n, v in lines.items()):
        raise Unreadable("two judgements, which differ")
    return found


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the JSON objects of a text, and where they begin and end."""
    end = 0
    while start := _OBJECT.search(text, end):
        try:
            found, end = _DECODER.raw_decode(text, start.start())
        except json.JSONDecodeError as error:
            raise Unreadable(f"not JSON: {error}") from None
        except RecursionError:
            raise Unreadable("not JSON that could be read: nested too deeply") from None
        except ValueError as error:
            raise Unreadable(str(error)) from None
        yield start.start(), end, found


def _without(text: str, spans: Sequence[tuple[int, int, Any]]) -> str:
    ends = [0, *(end for _, end, _ in spans)]
    starts = [*(start for start, _, _ in spans), len(text)]
    return "".join(text[end:start] for end, start in zip(ends, starts, strict=True))


def _lines(text: str, names: Sequence[str], marks: range) -> dict[str, str]:
    """Return what lines such as `Score: 4/5` say of names, where all of a name say the same."""
    found: dict[str, str] = {}
    for name in names:
        called = f"(?:{name}|{_SAID})" if len(names) == 1 else name
        line = re.compile(rf"^[ \t>*_#+-]*{called}[ \t*_]*[:=](.*)$", re.IGNORECASE | re.MULTILINE)
        said = [value.strip() for value in line.findall(text)]
        # Of a word there may be prose; a number is a score, in range or not.
        given = [v for v in said if _mark(v, marks) is not None or v.strip("*_[( ")[:1].isdigit()]
        if len({_mark(value, marks) for value in given}) > 1:
            raise Unreadable(f"{name!r} is given more than once")
        if given:
            found[name] = given[0]
    return found


def _folded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the names of its fields in small letters."""
    folded = {name.strip().lower(): value for name, value in content.items()}
    if len(folded) < len(content):
        raise Unreadable("the same key more than once")
    return folded


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("the same key more than once")
    return content


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_no_number)

"""What every reader reads: the answer that a model speaks, in plain characters without markup."""

import json
import re

from trimtab.reading.characters import one_form
from trimtab.reading.markup import plain
from trimtab.reading.statements import own_answer
from trimtab.reading.thinking import without_thinking

_OBJECT = re.compile(r"(?:```(?:json)?)?\s*(\{.*\})\s*(?:```)?", re.S)
_ANSWER = re.compile(r"answer|result|choice|option|output|prediction|label", re.I)


def spoken(text: str) -> str:
    """Return what a text answers: no thinking, no further question, no markup; see the modules."""
    text = own_answer(one_form(without_thinking(text))).strip()
    return plain(_of_object(text) or text).strip()


def _of_object(text: str) -> str | None:
    """Return the answer of a text that is a JSON object: its only value, or the one named so."""
    found = _OBJECT.fullmatch(text)
    try:
        content = json.loads(found[1]) if found else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    named = [value for key, value in content.items() if len(content) == 1 or _ANSWER.search(key)]
    simple = len(named) == 1 and isinstance(named[0], str | int | float)
    return f"Answer: {str(named[0]).strip()}" if simple and str(named[0]).strip() else None

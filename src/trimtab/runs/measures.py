"""How an answer behaves, whatever its task: its length, its loops, a right answer lost again.

These are pure functions of an answer's text. What a method reports of its own working (the guide
ratio, the divergence, ends that were passed over) is in `Completion.measures`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from trimtab.reading.characters import one_form
from trimtab.reading.markup import plain
from trimtab.reading.statements import sentences, stated
from trimtab.reading.thinking import without_thinking

Rule = Callable[[str], bool]
"""Whether a text, read as a whole answer, is right."""

PROPORTIONS = frozenset({"buried"})
BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"words": (0.0, math.inf), "repetition": (0.0, 1.0)}
)

_GRAM = 4
# "the answer is not 5", "if the answer is 5", "the answer is 5?" state nothing.
_STATES_NOTHING = re.compile(
    r"\banswer\s+(?:is|was)\s+not\b|\b(?:if|whether|unless|suppose)\b|\?[\s\"')]*$", re.IGNORECASE
)


def measures(text: str, is_right: Rule | None = None) -> dict[str, float]:
    """Return the measures of an answer.

    Args:
        text: the answer.
        is_right: the task's own rule for this sample; None for a task without right and wrong,
            whose answers have no measure `buried`.

    Returns:
        `words`, `repetition`, and `buried` as 0 or 1; `PROPORTIONS` and `BOUNDS` are theirs.
    """
    found = {"words": float(words(text)), "repetition": repetition(text)}
    if is_right is not None:
        found["buried"] = float(buried(text, is_right))
    return found


def ended(stop_reason: str) -> dict[str, float]:
    """Return `ended`, 0 or 1: whether an answer came to its end; nothing for one that was chosen.

    That is where a speaker ended it, or a stop string did, and not the budget, the model's context
    or a guard against loops.

    Args:
        stop_reason: why the answer stops, as in its record.
    """
    if stop_reason == "choice":
        return {}
    return {"ended": float(stop_reason in {"end", "guide", "base", "stop_string"})}


def words(text: str) -> int:
    """Return how many words a text has; words are what white space separates."""
    return len(text.split())


def repetition(text: str) -> float:
    """Return the share of a text's word 4-grams that stood in it before.

    The measure seq-rep-n of Welleck et al., "Neural Text Generation with Unlikelihood Training",
    ICLR 2020, arXiv 1908.04319: 1 - unique n-grams / n-grams. They count a model's tokens; words
    make answers of different tokenizers comparable. 0 for fewer than five words.
    """
    said = text.split()
    grams = [tuple(said[i : i + _GRAM]) for i in range(len(said) - _GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def buried(text: str, is_right: Rule) -> bool:
    """Whether an answer states what is right, and is wrong as a whole for what it says after.

    As when a base model gives the answer and then makes up another question, or "corrects" itself.
    The whole is wrong, and some sentence or line that states an answer ("the answer is", "answer:",
    `####` or a box; see `reading.statements`) is right, both alone and as the end of the text up to
    there.

    A right value that is only mentioned on the way does not count, nor does one in a condition, a
    denial or a question. So an answer that is never stated in these words is never called buried:
    the measure is a lower bound. It is too high where an intermediate result, stated as "the
    answer", happens to equal the final one.

    Args:
        text: the answer.
        is_right: judges a text as if it were the whole answer; it is asked only about the whole,
            and about what states an answer.
    """
    statements = _statements(text)
    return (
        bool(statements)
        and not is_right(text)
        and not is_right(plain(text))  # else it is the markup that the rule cannot read
        and any(is_right(alone) and is_right(so_far) for alone, so_far in statements)
    )


def _statements(text: str) -> list[tuple[str, str]]:
    """Return each sentence that states an answer, without markup, and the text to its end."""
    text = plain(one_form(without_thinking(text)))
    every = sentences(text)
    found = {}
    for statement in stated(text):
        sentence = next(one for one in reversed(every) if one.start <= statement.start)
        if not _STATES_NOTHING.search(sentence.text):
            found[sentence.end] = (sentence.text, text[: sentence.end])
    return list(found.values())

"""How BIG-bench and its many copies write a row: wrapped questions, targets in several forms.

BIG-bench: Srivastava et al., arXiv 2206.04615. BIG-Bench Hard: Suzgun et al., arXiv 2210.09261.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from trimtab.tasks.row import Row, is_number

_WRAPPING = re.compile(r"Q:\s*(.*?)\s*(?:\bA:)?", re.DOTALL)
_OPTIONS = re.compile(r"\n\s*Options:\s*\n(.*)", re.DOTALL)
_OPTION = re.compile(r"^\s*\(([A-Z])\)\s*(.*\S)", re.MULTILINE)


def question_of(row: Row) -> str:
    """Return the row's question, without a "Q:" before it and an "A:" after it."""
    text = row.text("question", "inputs", "input")
    wrapped = _WRAPPING.fullmatch(text)
    return wrapped[1] if wrapped else text


def cut_options(question: str) -> tuple[str, dict[str, str]]:
    """Return a question without the options that it ends in, and these by label.

    They are written below a line "Options:", as in "(A) 12/11/1937".
    """
    found = _OPTIONS.search(question)
    options = dict(_OPTION.findall(found[1])) if found else {}
    return (question[: found.start()].strip(), options) if found and options else (question, {})


def answer_of(row: Row) -> str:
    """Return the row's right answer: an answer, the first target, or the one that scores best.

    Raises:
        ValueError: if there is none, or if several options score best.
    """
    column, label = row.label("answer", "targets", "target_scores", "target")
    if isinstance(label, list):
        label = label[0]
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, Mapping):
        # Files saved with one set of columns for all rows have the other rows' options as null.
        scores = {str(name): score for name, score in label.items() if score is not None}
        if not all(map(is_number, scores.values())):
            raise row.unusable("has scores in 'target_scores' that are no numbers")
        best = [name for name, score in scores.items() if score == max(scores.values())]
        if len(best) != 1:
            raise row.unusable(f"has {len(best)} options that score best in 'target_scores'")
        (label,) = best
    return row.written(label, column).strip()

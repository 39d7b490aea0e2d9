"""Reading which of some options an answer chooses."""

import re
from collections.abc import Mapping, Sequence

from trimtab.reading.options import Mention, mentions, option_pattern
from trimtab.reading.spoken import spoken
from trimtab.reading.statements import MARKS, STATES, Passage, before, sentences, stated, taken_back

_WHAT = r"(?:option|choice|label|response)"
_CUE = re.compile(
    rf"\b{_WHAT}{STATES}|{MARKS}"
    r"|\bi(?:'d|'m|\s+would|\s+will|\s+am)?\s+(?:choose|pick|select|go(?:ing)?\s+with|say)\b"
    r"|\bi\s+(?:think|believe|guess)\s+(?:that\s+)?(?:it\s+is|it's)\b"
    r"|\b(?:corresponds?\s+to|matches|which\s+is)(?=\s+(?:option|choice|answer|letter)\b)"
    r"|\bbut\s+(?:actually\s+|really\s+)?(?:it\s+is|it's)\b"
    r"|\bit(?:\s+must\s+be|\s+should\s+be|\s+has\s+to\s+be)\b|\bleaves(?:\s+us\s+with)?\b|\bleft\s+with\b",
    re.I | re.M,
)
_CONCLUSION = re.compile(r"\b(?:so|thus|therefore|hence|consequently)\b,?|=", re.I)
_NAMED_RIGHT = re.compile(
    r"[\"')\].,:]*\s*(?:\w+\s+)?[\"')\]]*\s*(?:[-\u2013\u2014:]\s*|\b(?:is|fits)\s+)(?:therefore\s+|clearly\s+|definitely\s+)?"
    r"(?:(?:the|an?)\s+)?(?:only\s+|most\s+|more\s+)?"
    r"(?:correct|right|best|better|suitable|appropriate|likely|plausible|logical)\b"
    r"|[).:]\s+(?:correct|right)[^\w\n]*$",
    re.I | re.M,
)
# Signs that stand behind an option, and say so of it.
_SIGNS = [
    (re.compile(r"(?<=\S)[ \t]*[✅✔☑✓]"), ": correct"),
    (re.compile(r"(?<=\S)[ \t]*[❌✗✘]"), ": wrong"),
]
_CONDITION = re.compile(r"[\"')\].]*\s+(?:if|when)\b", re.I)
_LOWER_LABEL = re.compile(r"\W*(?:option\s+|choice\s+)?[\"'(\[]*([a-z])(?=\W*$|[).:,\]\"'])")
_DIGIT_LABEL = re.compile(
    r"\W*(?:(?:option|choice|number)\s+)?[\"'(\[]*([0-9]+)(?![\w%/]|[.,][0-9])"
)
_OTHER = re.compile(
    r"[\"')\].]*\s*(?:,?\s*(?:or|and|/|&)|,)\s*(?:option\s+)?[\"'(\[]*(?:[0-9]|[a-z]\b)", re.I
)
_REASON = re.compile(r"[\"')\]]*,?\s+(?:since|because)\b", re.I)
_PREDICATE = re.compile(
    r"\b(?:is|are|was|were|called|known\s+as)\s+(?:the\s+|an?\s+)?[\"'(\[]*$", re.I
)
_JOINED = re.compile(
    r"[\"')\].]*\s*(?:,?\s*(?:or|and|/|&)|,)\s*(?:option\s+|an?\s+|the\s+)?[\"'(\[]*", re.I
)


def read_choice(text: str, choices: Mapping[str, str]) -> str | None:
    r"""Return the label of the option that a text chooses, or None where that is not clear.

    Read are, the first that there is: a text that is a label, an option or both; the last option
    that the text states as its answer ("the answer is B", "option B is correct", `\boxed{B}`),
    or with which it later corrects that; a first line that is an option; the option that the text
    concludes with ("so B"); the option that it begins with ("B. bank"); the only one that it names
    and does not rule out; the only one that it says something is ("known as the bank"). An option
    may be named by its label or by its whole text, whatever the case. The article "A" and the
    pronoun "I" are no labels.

    Args:
        text: the answer.
        choices: the texts of the options by their labels, such as `{"A": "bank", "B": "mall"}`.
    """
    text = spoken(text)
    for sign, said in _SIGNS:
        text = sign.sub(said, text)
    whole = _only_option(text, choices)
    if whole is not None:
        return whole
    for passage in reversed(_statements(text, choices)):
        found = _of_passage(passage, choices)
        if found is None:
            continue
        label, ends = found
        back = taken_back(text, ends)
        corrected = _only(mentions(text[back:], choices)) if back is not None else None
        return corrected if corrected is not None else label
    return _first_line(text, choices) or _unstated(text, choices)


def _only_option(text: str, choices: Mapping[str, str]) -> str | None:
    """Read a text that is nothing but an option."""
    bare = text.strip(" \t\n.!:;,*\"'()[]")
    matching = [label for label, option in choices.items() if _is_option(bare, label, option)]
    if len(matching) == 1:
        return matching[0]
    return next((label for label in choices if bare.lower() == label.lower()), None)


def _first_line(text: str, choices: Mapping[str, str]) -> str | None:
    """Read a text whose first line is nothing but an option, unless it goes through all of them."""
    lines = {line.strip(" .():*") for line in text.splitlines()}
    lists = len(lines & {*choices}) > 1 or _lists_all(mentions(text, choices), choices)
    return None if lists else _only_option(text.partition("\n")[0], choices)


def _is_option(text: str, label: str, option: str) -> bool:
    """Whether a text is an option's text, with or without its label before it."""
    named = rf"(?:(?:option|choice)\s+)?{re.escape(label)}(?:\s*[.):,-]+\s*|\s+)"
    pattern = rf"(?:{named})?(?:an?\s+|the\s+)?{option_pattern(option)}s?"
    return bool(re.fullmatch(pattern, text, re.I))


def _statements(text: str, choices: Mapping[str, str]) -> list[Passage]:
    """Return what is stated, "B is correct" included, in order."""
    found = stated(text, _CUE)
    for one in mentions(text, choices):
        if not one.denied and _NAMED_RIGHT.match(text, one.end):
            found.append(Passage(one.start, text[one.start : one.end]))
    return sorted(found, key=lambda passage: passage.start)


def _of_passage(passage: Passage, choices: Mapping[str, str]) -> tuple[str | None, int] | None:
    """Return what a statement chooses (None: it leaves that open) and where; None: nothing."""
    for pattern in (_LOWER_LABEL, _DIGIT_LABEL):
        match = pattern.match(passage.text)
        if match:
            label = match[1] if match[1] in choices else match[1].upper()
            if label in choices:
                ends = passage.start + match.end()
                return None if _OTHER.match(passage.text, match.end()) else label, ends
    named = [one for one in mentions(passage.text, choices) if not one.denied]
    if not named:
        return None
    first = named[0]
    for second in named[1:]:
        open_ = _joined(first, second, passage.text) or _CONDITION.match(passage.text, first.end)
        if second.label != first.label and open_:
            return None, passage.start + first.end
    return first.label, passage.start + first.end


def _joined(first: Mention, second: Mention, text: str) -> bool:
    return bool(_JOINED.fullmatch(text[first.end : second.start]))


def _unstated(text: str, choices: Mapping[str, str]) -> str | None:
    """Read a text that states no answer: what it concludes with, begins with, or names alone."""
    named = mentions(text, choices)
    for sentence in reversed(sentences(text)):
        conclusions = list(_CONCLUSION.finditer(sentence.text))
        if conclusions:
            found = _only(mentions(sentence.text[conclusions[-1].end() :], choices))
            if found is not None:
                return found
    if not named:
        return None
    first, lists_all = named[0], _lists_all(named, choices)
    marked = not lists_all and re.search(r"[).:\]]", text[first.start : first.end + 1])
    if first.start <= 1 and (marked or _REASON.match(text, first.end)):
        return None if first.denied else first.label
    if lists_all:
        return None
    predicates = [
        one
        for one in named
        if _PREDICATE.search(before(text, one.start)) and text[one.end : one.end + 1] != "?"
    ]
    return _only(named) or _only(predicates)


def _lists_all(named: Sequence[Mention], choices: Mapping[str, str]) -> bool:
    """Whether a text goes through every option without ruling any out."""
    return {one.label for one in named} == set(choices) and not any(one.denied for one in named)


def _only(named: Sequence[Mention]) -> str | None:
    """Return the one label that is named and never ruled out, if there is just one."""
    denied = {one.label for one in named if one.denied}
    labels = {one.label for one in named if not one.denied} - denied
    return labels.pop() if len(labels) == 1 else None

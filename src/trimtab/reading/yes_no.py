"""Reading yes or no."""

import re
from typing import NamedTuple

from trimtab.reading.spoken import spoken
from trimtab.reading.statements import affirmed, before, sentences, stated, taken_back

MEANINGS = {
    "yes": "yes",
    "true": "yes",
    "plausible": "yes",
    "no": "no",
    "false": "no",
    "implausible": "no",
}
"""What a target means, yes or no."""
# Questions put in the text, and both answers named in one breath: no answer.
_OPEN = re.compile(
    r"\b(?:yes|true|plausible)\b[\"']?\s*(?:/|or|and|nor)\s*[\"']?(?:no|false|implausible|not)\b"
    r"|\b(?:no|false|implausible)\b[\"']?\s*(?:/|or|and|nor)\s*[\"']?(?:yes|true|plausible)\b"
    r"|\b(?:may|might)\s+or\s+(?:may|might)\s+not\b[^.;:!?\n]*"
    r"|\b(?:whether|if)\b(?:(?!,\s*(?:but|so)\b)[^.;:!?\n])*"
    r"|\b(?:yes|no)\s+(?:only\s+)?if\b[^.;:!?\n]*|\b(?:cannot|can't)\s+(?:say|answer)\b[^.;:!?\n]*"
    r"|\b(?:hard|difficult|impossible|wrong|incorrect|premature|early)\s+to\s+(?:say|answer)\b[^.;:!?\n]*"
    r"|(?:(?<=[.!?\n])|^)[^.!?\n]*\?(?![\w])"
    # "Certainly! Let us see" is a courtesy.
    r"|^\W*(?:absolutely|certainly|of\s+course)\W+(?=(?:let|here|to|i|we|the\s+question)\b)",
    re.I,
)
# "no" as a word of its own, not as in "no way to know"; "yes", not as in "yes-men".
_REPLY = re.compile(
    r"(?<![\w-])(?:(?P<yes>yes|yeah|yep|yup|i\s+(?:believe|think)\s+so)\b(?!-)"
    r"|(?P<no>nope|nah|i\s+(?:don't|do\s+not)\s+(?:believe|think)\s+so|no)\b(?!\.\s?[0-9])(?=\W*$|\s*[,.!;:\u2013\u2014\n\"')\]]|\s+-|\s+way\s*[.!]*\s*$"
    r"|\s+(?:it|the|he|she|they|this|that|because|since|as|not)\b))",
    re.I,
)
_TO_TELL = r"(?!\s+to\s+(?:say|know|tell|determine|answer)\b)"
_JUDGEMENT = re.compile(
    r"(?:^\W*(?P<right>correct|incorrect)(?=\W*$|[.!,])|\b(?:(?P<yes>true|plausible|(?:is|'s|statement)\s+(?:not\s+)?correct|heads(?:\s+up)?|head-up"
    rf"|(?:(?<=is\s)|(?<=n't\s)|(?<=not\s))possible{_TO_TELL})"
    rf"|(?P<no>false|untrue|implausible|impossible{_TO_TELL}|(?:is|'s)\s+(?:not\s+)?incorrect|tails(?:\s+up)?))\b"
    r"(?!\s+(?:would|could|needs?)\b))",
    re.I,
)
_FLAT = re.compile(
    r"^\W{0,9}(?P<yes>y|(?:in\s+the\s+)?affirmative|definitely|certainly|absolutely|of\s+course|indeed)\W*$"
    r"|^\W{0,9}(?:n|(?:in\s+the\s+)?negative|not\s+(?:really|at\s+all|quite))\W*$"
    r"|^\W{0,9}(?:definitely|certainly|absolutely|probably|of\s+course"
    r"|(?:it|that|this|he|she|they)\s+(?:is|was|are|were|does|did|do|can|could|would))"
    r"(?:\s+not|n't)\W*$",
    re.I | re.M,
)
# What a text ends by denying, and not by leaving open: "Therefore, he could not have used one."
_DENIAL = re.compile(
    r"\W*(?:so|thus|therefore|hence|consequently)\b"
    r"(?!.*\b(?:say|tell|know|determined?|answer|sure|certain|clear|necessarily|not\s+only)\b)"
    r".*?(?:\bcannot|\b(?:did|do|does|can|could|would|will|was|were|is|are)(?:\s+not|n't))\b.*[.!]\W*",
    re.I,
)
_NEGATION = re.compile(r"\b(?:not|cannot|never|hardly|nor|no\s+longer|no\s+more)\b|n't\b", re.I)


class _Said(NamedTuple):
    end: int
    answer: str


def read_yes_no(text: str) -> str | None:
    """Return "yes" or "no" as a text finally says, or None.

    Read are, the first that there is: the last answer that the text states ("the answer is no"),
    or with which it later corrects that; the last yes or no that stands for itself ("No, it is
    not", "so yes"); what the last sentence that judges calls the matter: true or false, plausible
    or implausible, possible or impossible, heads up or tails up, each of which "not" turns around;
    "no" where the text ends by concluding that something is not so. Questions, and answers of both
    kinds in one breath ("yes or no"), are not read.
    """
    text = _OPEN.sub(lambda found: " " * len(found[0]), spoken(text))
    for statement in reversed(stated(text)):
        meant = affirmed(statement) or statement
        said = _first_said(meant.text)
        if said is None:
            continue
        return _corrected(text, meant.start + said.end) or said.answer
    return _corrected(text, 0) or _last_said(text)


def _corrected(text: str, start: int) -> str | None:
    """Return what a text says behind its last correction, if it has one from `start` on."""
    back = taken_back(text, start)
    return _last_said(text[back:]) if back is not None else None


def _first_said(text: str) -> _Said | None:
    """Read a statement: what it is as a whole, or what comes first in it."""
    flat = _flat(text)
    if flat is not None:
        return _Said(len(text), flat)
    said = sorted([*_replies(text), *_judgements(text)], key=lambda one: one.end)
    return said[0] if said else None


def _flat(text: str) -> str | None:
    found = _FLAT.search(text.strip())
    return None if found is None else "yes" if found["yes"] else "no"


def _last_said(text: str) -> str | None:
    """Read a text without a statement: its last reply, else its last judgement or denial."""
    replies = _replies(text)
    if replies:
        return replies[-1].answer
    said = sentences(text)
    if said and _DENIAL.fullmatch(said[-1].text) and not _judgements(said[-1].text):
        return "no"
    for sentence in reversed(said):
        flat = _flat(sentence.text)
        if flat is not None:
            return flat
        judgements = _judgements(sentence.text)
        if judgements:
            return judgements[-1].answer
    return None


def _replies(text: str) -> list[_Said]:
    return [
        _Said(
            found.end(),
            _turned("yes" if found["yes"] else "no", before(text, found.start()), reach=1),
        )
        for found in _REPLY.finditer(text)
    ]


def _judgements(text: str) -> list[_Said]:
    found = []
    for match in _JUDGEMENT.finditer(text):
        lead = before(text, match.start()) + (" not " if re.search(r"\snot\s", match[0]) else "")
        answer = "yes" if match["yes"] or (match["right"] or "").lower() == "correct" else "no"
        found.append(_Said(match.end(), _turned(answer, lead)))
    return found


def _turned(answer: str, lead: str, reach: int = 5) -> str:
    """Turn an answer around for each negation among the few words before it."""
    near = " ".join(re.split(r"[,.;:!?\n()]", lead)[-1].split()[-reach:])
    if len(_NEGATION.findall(near)) % 2:
        return "no" if answer == "yes" else "yes"
    return answer

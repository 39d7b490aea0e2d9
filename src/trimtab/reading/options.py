"""Where a text names an option of a multiple-choice question, and where it rules one out."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from trimtab.reading.statements import before

_NAMED = r"(?:option|choice|answer|letter|number)\s+"
_ARTICLE = re.compile(r"^(?:an?|the)\s+(?=\S)", re.I)
_DENIED_BEFORE = re.compile(
    r"(?:\bnot|n't|\bneither|\bnor|\brather\s+than|\binstead\s+of|\bunlike|\bexcept(?:\s+for)?|"
    r"\b(?:rul(?:e|es|ed|ing)\s+out|eliminat(?:e|es|ed|ing)|exclud(?:e|es|ed|ing)))"
    r"(?:\s+(?:be|necessarily|just|only|by|in|at|on|to))*(?:\s+(?:an?|the))?\s*[\"'(\[]*$",
    re.I,
)
_DENIED_AFTER = re.compile(
    r"[\"')\]]*\s*(?:[-\u2013\u2014:]+\s*|\b(?:is|are|was|were|can|seems?|would\s+be|looks?)\s+"
    r"(?:both\s+|also\s+|clearly\s+|definitely\s+|therefore\s+)?)*"
    r"(?:isn't|aren't|wasn't|can't|cannot|not\b|no\b(?!\s*wait)|wrong\b|incorrect\b|false\b|unlikely\b|"
    r"less\s+likely\b|(?:be\s+)?ruled\s+out\b|(?:be\s+)?eliminated\b|(?:be\s+)?excluded\b)",
    re.I,
)
_LIST = re.compile(
    r"\s*(?:,\s*(?:and|or|nor)?|and|or|nor)\s*(?:in\s+)?(?:an?\s+|the\s+)?[\"'(\[]*\s*", re.I
)

_CLOSES = re.compile(r"[\"')\]]*\s*(?:[.!,;]|$)", re.M)
_MARKER = re.compile(r"[.):]+[ \t]+(?:an?\s|the\s)?[\"']?", re.I)
_OTHER_LABEL = re.compile(r"(?:^|[\s(])([A-Z])[.):]+[ \t]+(?:(?:an?|the)\s)?[\"']?$")
_AND = re.compile(r"\s*,?\s*(?:and|or|nor)\s*(?:an?\s+|the\s+)?[\"'(\[]*", re.I)


class Mention(NamedTuple):
    """An option that a text names.

    Attributes:
        start: its first character in the text.
        end: the first character after it.
        label: which option.
        denied: whether the text says that it is not this one.
    """

    start: int
    end: int
    label: str
    denied: bool


def mentions(text: str, choices: Mapping[str, str]) -> list[Mention]:
    """Return the options that a plain text names, by label or by their text, in order.

    Where one is part of another, as "york" of "new york", the longer one counts; a label and its
    text beside it, "(B) bank", are one.
    """
    found = [*_by_label(text, choices), *_by_text(text, choices)]
    kept: list[Mention] = []
    for one in sorted(found, key=lambda mention: mention.start):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
        elif one.end - one.start > kept[-1].end - kept[-1].start:
            kept[-1] = one
    return _denials_spread(_agreeing(_joined_up(kept, text), text, choices), text)


def option_pattern(option: str) -> str:
    """Return a pattern of an option's whole text, its article and final full stop aside."""
    words = _ARTICLE.sub("", option.strip()).rstrip(".").split()
    return r"\s+".join(re.escape(word) for word in words)


def _by_label(text: str, choices: Mapping[str, str]) -> list[Mention]:
    labels = "|".join(re.escape(label) for label in choices)
    marked = re.compile(
        rf"(?i:\b{_NAMED})[\"'(\[]?(?P<named>{labels})\b|[(\[](?P<boxed>{labels}|(?i:{labels}))[)\]]"
        rf"|(?<!\w)'(?P<quoted>{labels})'"
        rf"|(?<![\w'-])(?P<bare>{labels})(?![\w'-]|\.\w)"
    )
    found = []
    for match in marked.finditer(text):
        bare = match["bare"]
        if bare and not _is_label(text, match, choices):
            continue
        label = bare or match["named"] or match["boxed"] or match["quoted"]
        label = label if label in choices else label.swapcase()
        found.append(_mention(text, match.start(), match.end(), label))
    return found


def _is_label(text: str, match: re.Match[str], choices: Mapping[str, str]) -> bool:
    """Whether a label that stands free is one, not an article, a pronoun or a number."""
    lead, after = before(text, match.start()), text[match.end() : match.end() + 200]
    if match["bare"].isdigit():
        marker = re.match(r"[).:]\s", after) and re.search(r"(?:^|\n)\s*$", lead)
        return bool(marker or re.match(r"\s+is\s+(?:the\s+)?(?:correct|right|best)\b", after))
    if match["bare"] not in ("A", "I") or not re.match(r"\s+\w", after):
        return True
    if re.match(r"\s+is\s+(?:the\s+)?(?:not|correct|right|wrong|incorrect|best|most)\b", after):
        return True
    if any(re.match(rf"\s+{option_pattern(other)}\b", after, re.I) for other in choices.values()):
        return False
    starts = bool(re.search(r"(?:^|[.!?:\n\"])\s*$", lead))
    return match["bare"] == "A" and (
        not starts or bool(re.match(r"\s+(?:and|or|because|if|when|since|not|but|rather)\b", after))
    )


def _by_text(text: str, choices: Mapping[str, str]) -> list[Mention]:
    """Find options' whole texts; one that two options share names neither."""
    patterns = [option_pattern(option).lower() for option in choices.values()]
    found = []
    for label, option in choices.items():
        if not option_pattern(option) or patterns.count(option_pattern(option).lower()) > 1:
            continue
        pattern = re.compile(rf"(?<![\w.,/-]){option_pattern(option)}(?![\w/]|[.,-]\w)", re.I)
        found += [
            _mention(text, match.start(), match.end(), label) for match in pattern.finditer(text)
        ]
    return found


def _mention(text: str, start: int, end: int, label: str) -> Mention:
    denied = bool(_DENIED_BEFORE.search(before(text, start)) or _DENIED_AFTER.match(text, end))
    return Mention(start, end, label, denied)


def _joined_up(found: list[Mention], text: str) -> list[Mention]:
    """Make one of what names the same option twice with no word between: "(B) bank"."""
    joined: list[Mention] = []
    for one in found:
        last = joined[-1] if joined else one
        if last.label == one.label and not re.search(r"[\w\n]", text[last.end : one.start]):
            one = _mention(text, last.start, one.end, one.label)
            joined = joined[:-1]
        joined.append(one)
    return joined


def _agreeing(found: list[Mention], text: str, choices: Mapping[str, str]) -> list[Mention]:
    """Leave out a label and a whole text beside it that are not one option's: "C. the moon"."""
    apart: set[int] = set()
    for here, one in enumerate(found):
        by_text = re.fullmatch(option_pattern(choices[one.label]), text[one.start : one.end], re.I)
        if not by_text or not _CLOSES.match(text, one.end):
            continue
        last = found[here - 1] if here else one
        if text[last.start : last.end].endswith(last.label):
            if last.label != one.label and _MARKER.fullmatch(text[last.end : one.start]):
                apart |= {here - 1, here}
        elif (other := _OTHER_LABEL.search(before(text, one.start))) and other[1] not in choices:
            apart.add(here)
    return [one for here, one in enumerate(found) if here not in apart]


def _denials_spread(found: list[Mention], text: str) -> list[Mention]:
    """Deny what is listed with a denied option: "not A, B or C", "A, B and C are wrong"."""
    spread, listed = list(found), False
    for here in range(len(spread) - 2, -1, -1):
        one, following = spread[here], spread[here + 1]
        gap = text[one.end : following.start]
        listed = following.denied and bool((_LIST if listed else _AND).fullmatch(gap))
        if listed:
            spread[here] = one._replace(denied=True)
    for here in range(1, len(spread)):
        last, one = spread[here - 1], spread[here]
        if last.denied and _LIST.fullmatch(text[last.end : one.start]):
            spread[here] = one._replace(denied=True)
    return spread

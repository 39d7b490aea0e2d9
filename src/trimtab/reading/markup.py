"""Markdown and LaTeX as plain text, so that readers meet one way of writing each thing."""

import re

BOX = re.compile(r"\\f?boxed\s*\{")
# How `\boxed{...}` reads in plain text: as GSM8K marks its answers, on a line of its own.
_BOXED = "\n#### {}\n"
_WRAPPERS = re.compile(
    r"\\(?:text(?:bf|it|tt|rm|sf|normal)?|math(?:rm|bf|it|tt|sf)|operatorname|underline|emph)\s*\{([^{}]*)\}"
)
_FRACTION = re.compile(r"(\d?)\s*\\[dt]?frac\s*\{\s*(-?[\d.,]+)\s*\}\s*\{\s*([\d.,]+)\s*\}")
_OTHER_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_SHORT_FRACTION = re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)")
# A program beside the answer; a block without a language may well be the answer.
_PROGRAM = re.compile(
    r"```(?:python|py|javascript|js|java|c|cpp|c\+\+|r|bash|sh|sql)[0-9]?\n.*?(?:```|\Z)",
    re.S | re.I,
)
# Between boxes that are one answer.
_BETWEEN_BOXES = re.compile(r"[\s,;&$]*(?:and|or)?[\s,;&$]*")
_REPLACED = [
    (re.compile(r"[<\[](?:\w+[_\s])?(?:answer|result)[>\]]", re.I), "\n<answer>"),
    (
        re.compile(
            r"[<\[]/(?:\w+[_\s])?(?:answer|result)[>\]]|</?(?:response|solution|output)>", re.I
        ),
        "\n",
    ),
    (re.compile(r"\\/"), "/"),
    (re.compile(r"\[([^\[\]\n]+)\]\(https?://[^)\s]*\)"), r"\1"),
    (re.compile(r"~~[^~\n]*~~"), ""),
    (re.compile(r"<sup>\s*([^<>]{1,9}?)\s*</sup>", re.I), r"^\1"),
    (re.compile(r"</?(?:b|i|u|em|strong|sub|code|p|span|center|mark)\s*/?>", re.I), ""),
    (re.compile(r"<br\s*/?>", re.I), "\n"),
    (re.compile(r"<<[^<>\n]*>>"), ""),  # GSM8K's calculator annotations
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,;:! ]"), " "),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\\([$%#&_])"), r"\1"),
    (re.compile(r"\\(?:times|cdot)\b"), "\u00d7"),
    (re.compile(r"\\div\b"), "÷"),
    (re.compile(r"\\approx\b"), "≈"),
    (re.compile(r"\\pm\b"), "±"),
    (re.compile(r"\\(?:geq?|leq?|gt|lt|neq?)(?:slant)?\b"), "≥"),  # one for all: no equation
    (re.compile(r"\\pi\b"), "π"),
    (re.compile(r"\\sqrt\b"), "√"),
    (re.compile(r"\^?\s*\\(?:degree|circ)\b"), "°"),
    (re.compile(r"\\(?:left|right|quad|qquad)\b"), " "),
    (re.compile(r"\^\{\s*(-?\w+)\s*\}"), r"^\1"),
    (re.compile(r"(?<=[\d)])\*\*(?=[\d(-])"), "^"),
    (re.compile(r"\*\*|`"), ""),
    (re.compile(r"(?<!\w)__(?=\S)|(?<=\S)__(?!\w)"), ""),
    # *emphasis*, never 2 * 3
    (re.compile(r"(?<![\w*)])\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w*(])"), r"\1"),
    (re.compile(r"(?<!\S)\*(?=[^\s*])|(?<=[^\s\d])\*(?!\S)"), ""),
]


def plain(text: str) -> str:
    r"""Return a text without markup: `**5**` as `5`, `\frac{3}{4}` as `3/4`.

    What is in `\boxed{...}` goes on a line of its own behind `####`; programs are left out, unless
    there is nothing else.
    """
    prose = _PROGRAM.sub("\n", text)
    text = prose if prose.strip() else text
    text = _WRAPPERS.sub(r"\1", text)
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _FRACTION.sub(lambda m: f"{m[1]} {m[2]}/{m[3]}" if m[1] else f"{m[2]}/{m[3]}", text)
    text = _OTHER_FRACTION.sub(r"\1/\2", text)
    text = _unboxed(text)
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    return text


def _unboxed(text: str) -> str:
    r"""Put what each `\boxed{...}` holds, nested braces included, behind the mark."""
    parts: list[str] = []
    position, held = 0, ""
    for found in BOX.finditer(text):
        if found.start() < position:
            continue
        end = _closing_brace(text, found.end())
        gap, content = text[position : found.start()], text[found.end() : end]
        if held and _BETWEEN_BOXES.fullmatch(gap) and gap.strip(" $"):
            held += gap.replace("\n", " ") + content
            parts[-1] = _BOXED.format(held)
        else:
            held = content
            parts += [gap, _BOXED.format(held)]
        position = end + 1
    return "".join(parts) + text[position:]


def _closing_brace(text: str, start: int) -> int:
    """Return where the brace that was opened before `start` closes, or the end of the text."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
    return len(text)

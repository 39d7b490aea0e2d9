"""Markdown and LaTeX as plain text, so that readers meet one way of writing each thing."""

import re

# How `\boxed{...}` reads in plain text: as GSM8K marks its answers, on a line of its own.
_BOXED = "\n#### {}\n"
_WRAPPERS = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|mathit|operatorname)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"(\d?)\s*\\[dt]?frac\s*\{\s*(-?[\d.,]+)\s*\}\s*\{\s*([\d.,]+)\s*\}")
# A program beside the answer; a block without a language may well be the answer.
_PROGRAM = re.compile(
    r"```(?:python|py|javascript|js|java|c|cpp|c\+\+|r|bash|sh|sql)[0-9]?\n.*?(?:```|\Z)",
    re.S | re.I,
)
_REPLACED = [
    (re.compile(r"<<[^<>\n]*>>"), ""),  # GSM8K's calculator annotations
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,;:! ]"), " "),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\\([$%#&_])"), r"\1"),
    (re.compile(r"\\(?:times|cdot)\b"), "\u00d7"),
    (re.compile(r"\\div\b"), "÷"),
    (re.compile(r"\\approx\b"), "≈"),
    (re.compile(r"\\(?:left|right|quad|qquad)\b"), " "),
    (re.compile(r"\^\{\s*(-?\w+)\s*\}"), r"^\1"),
    (re.compile(r"\*\*|__|`"), ""),
    (re.compile(r"(?<!\S)\*(?=\S)|(?<=[^\s\d])\*(?!\S)"), ""),  # *emphasis*, never 2 * 3
    (re.compile("[\u2212\ufe63\uff0d]"), "-"),  # minus signs
    (re.compile("[\u2018\u2019]"), "'"),
    (re.compile("[\u201c\u201d]"), '"'),
    (re.compile("\u2026"), "..."),
    (re.compile(r"\r\n?"), "\n"),
]


def plain(text: str) -> str:
    r"""Return a text without markup: `**5**` as `5`, `\frac{3}{4}` as `3/4`.

    What is in `\boxed{...}` goes on a line of its own behind `####`; programs are left out, unless
    there is nothing else.
    """
    prose = _PROGRAM.sub("\n", text)
    text = prose if prose.strip() else text
    text = _WRAPPERS.sub(r"\1", text)
    text = _FRACTION.sub(lambda m: f"{m[1]} {m[2]}/{m[3]}" if m[1] else f"{m[2]}/{m[3]}", text)
    text = _unboxed(text)
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    return text


def _unboxed(text: str) -> str:
    r"""Put what each `\boxed{...}` holds, nested braces included, behind the mark."""
    parts, position = [], 0
    for found in re.finditer(r"\\f?boxed\s*\{", text):
        if found.start() < position:
            continue
        end = _closing_brace(text, found.end())
        parts += [text[position : found.start()], _BOXED.format(text[found.end() : end])]
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

r"""The rule by which the nudging authors score arithmetic, to the letter.

Nudging (Fei, Razeghi, Singh, arXiv 2410.09300) scores GSM8K, SVAMP and MultiArith by the last
number of the answer and of the gold text. A number is what `\d+(?:,\d{3})*(?:\.\d*)?` matches:
there is no minus sign (-4 is read as 4), a fraction gives its denominator, and digits inside words
count. The two are compared as strings once commas and a full stop at the end are dropped: `3.0` is
not `3`, `05` is not `5`. An answer or a gold text without a number is wrong.
"""

import re

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d*)?")


def published_number(text: str) -> str | None:
    """Return the last number of a text, commas and a full stop at its end dropped, or None."""
    numbers = _NUMBER.findall(text)
    return numbers[-1].replace(",", "").removesuffix(".") if numbers else None


def published_correct(completion: str, gold: str) -> bool:
    """Whether the last numbers of an answer and of its gold text are the same string."""
    prediction = published_number(completion)
    return prediction is not None and prediction == published_number(gold)

"""Questions whose answer is a short text of a fixed form: a date, a string of letters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trimtab.reading.choices import read_choice
from trimtab.reading.dates import read_date
from trimtab.reading.letters import read_letters
from trimtab.tasks.benchmark import Graded, Item
from trimtab.tasks.big_bench import answer_of, cut_options, question_of
from trimtab.tasks.row import Row
from trimtab.tasks.task import Sample

_QUOTED = re.compile(r'["\u201c](.+?)["\u201d]')


@dataclass(frozen=True, kw_only=True)
class Date(Graded):
    """Dates to be worked out, as MM/DD/YYYY: date understanding of BIG-bench.

    Options are shown only where the question shows them, as BIG-Bench Hard's do; the target is then
    a label, elsewhere the date.

    Args:
        split: `default` (all 369 rows), `train` or `validation`.
        data_dir: a local file or folder, in place of the hub; BIG-Bench Hard has 250 rows.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
    """

    split: str = "default"
    hub_id = "hails/bigbench"
    config = "date_understanding_zero_shot"
    files = ("date_understanding.json", "task.json")

    def read(self, row: Row) -> Item:
        """Return the question, with the options that it shows."""
        question, choices = cut_options(question_of(row))
        target = answer_of(row)
        if choices:
            target = target.strip("()")
            if target not in choices:
                raise row.unusable(f"has the answer {target!r}, none of {', '.join(choices)}")
        elif read_date(target) is None:
            raise row.unusable(f"has the answer {target!r}, which is no date as MM/DD/YYYY")
        return Item(question=question, target=target, choices=choices)

    def answer(self, text: str, sample: Sample) -> str | None:
        """Return the date that the text states; among options, the label of its choice."""
        if not sample.choices:
            return read_date(text)
        stated = read_choice(text, sample.choices)
        if stated is None and (date := read_date(text)):
            fitting = [name for name, option in sample.choices.items() if read_date(option) == date]
            stated = fitting[0] if len(fitting) == 1 else None
        return stated

    def same(self, prediction: str, target: str) -> bool:
        """Whether two labels, or two dates, are the same."""
        return prediction == target or prediction == read_date(target)


@dataclass(frozen=True, kw_only=True)
class LastLetterConcat(Graded):
    """The last letters of four names, concatenated (Wei et al., arXiv 2201.11903).

    Args:
        split: `test` (150 rows on the hub) or `train`; last_letters.json of Kojima et al. (arXiv
            2205.11916) is all 500 rows, split `all`.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
    """

    hub_id = "ChilleD/LastLetterConcat"
    files = ("last_letters.json",)

    def read(self, row: Row) -> Item:
        """Return the question; the answer is letters that words quoted in it end in.

        Of a name of two words, such as "Jose Antonio", the first may have none in it.
        """
        question, target = row.text("question"), row.answer("answer")
        quoted = _QUOTED.search(question)
        ends = iter(word[-1].casefold() for word in quoted[1].split()) if quoted else iter(())
        if not all(letter in ends for letter in target.casefold()):  # in this order
            raise row.unusable(
                f"has the answer {target!r}, which is not the last letters of words in quotation "
                f"marks: {question[:80]!r}"
            )
        return Item(question=question, target=target)

    def answer(self, text: str, sample: Sample) -> str | None:
        """Return the letters that the text states."""
        return read_letters(text)

    def same(self, prediction: str, target: str) -> bool:
        """Whether two strings of letters are the same, letter case aside."""
        return prediction.casefold() == target.casefold()

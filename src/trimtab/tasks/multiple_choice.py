"""Questions with options to choose from: MMLU, ARC-Challenge and CommonsenseQA."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from types import MappingProxyType
from typing import Any

from trimtab.config.accepted import require_choice
from trimtab.reading.choices import read_choice
from trimtab.tasks.benchmark import Graded, Item
from trimtab.tasks.row import Row
from trimtab.tasks.rows import SHARD, read_rows
from trimtab.tasks.task import COMPARISONS, Sample

_LETTERS = ("A", "B", "C", "D")
_SUBJECT = re.compile(r"(\w+)_(?:test|val|dev)\.csv")


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Graded):
    """Questions with labelled options, one of which is right; the target is its label.

    Args:
        split: which part.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
        likelihood: instead of reading an answer, take the option that the method finds most likely
            after the question alone: by its log-probability (`sum`), by that per character
            (`length`) or per token (`tokens`), or less that without a question (`unconditional`).
            For methods with next-token probabilities.
    """

    likelihood: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.likelihood is None:
            return
        require_choice("likelihood:", self.likelihood, COMPARISONS)
        if self.scoring != "strict":
            raise ValueError(
                f"likelihood={self.likelihood!r} leaves no text that scoring={self.scoring!r} "
                "could judge. Leave one of the two out."
            )

    def answer(self, text: str, sample: Sample) -> str | None:
        """Return the label of the option that the text chooses."""
        return read_choice(text, sample.choices)


@dataclass(frozen=True, kw_only=True)
class MMLU(MultipleChoice):
    """Exam questions of 57 subjects (Hendrycks et al., arXiv 2009.03300).

    The publishers' files, one for each subject and without a line of names, are read too; the
    subject is that of the file's name, such as `anatomy_test.csv`.

    Args:
        split: `test`, `validation`, `dev` or `auxiliary_train`.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
        likelihood: see `MultipleChoice`.
    """

    hub_id = "cais/mmlu"
    config = "all"
    aliases = MappingProxyType({"validation": "val"})
    part = re.compile(rf"{SHARD.pattern}|\w+(?=_(?:test|val|dev)\.csv$)")

    def read_file(self, file: Path) -> list[dict[str, Any]]:
        """Return the rows of a file, with the subject that its name says where they say none."""
        rows = read_rows(file, ("question", *_LETTERS, "answer"))
        named = _SUBJECT.fullmatch(file.name)
        return [{"subject": named[1], **row} for row in rows] if named else rows

    def read(self, row: Row) -> Item:
        """Return the question under its subject; options are lettered, the answer is an index."""
        texts = row.value("choices")
        if texts is None and set(_LETTERS) <= row.content.keys():
            texts = [row.value(letter) for letter in _LETTERS]
        if not isinstance(texts, list):
            raise row.unusable("has no list of options in 'choices'")
        choices = _choices(row, list(ascii_uppercase[: len(texts)]), texts)
        _, label = row.label("answer")
        number = f"{label:g}" if isinstance(label, float) else str(label)
        if number.isdecimal() and int(number) < len(choices):
            label = ascii_uppercase[int(number)]
        return Item(
            context=f"Subject: {row.text('subject')}\n",
            question=row.text("question"),
            choices=choices,
            target=_target(row, label, choices),
        )


@dataclass(frozen=True, kw_only=True)
class Labelled(MultipleChoice):
    """Options that come with labels: the columns that ARC and CommonsenseQA share."""

    aliases = MappingProxyType({"validation": "dev"})

    def read(self, row: Row) -> Item:
        """Return the question with its options, their labels as they are."""
        options = row.value("choices", "question.choices")
        if isinstance(options, Mapping):
            labels, texts = options.get("label"), options.get("text")
        elif isinstance(options, list) and all(isinstance(one, Mapping) for one in options):
            labels = [one.get("label") for one in options]
            texts = [one.get("text") for one in options]
        else:
            raise row.unusable("has no options in 'choices' or 'question.choices'")
        choices = _choices(row, labels, texts)
        return Item(
            question=row.text("question", "question.stem"),
            choices=choices,
            target=_target(row, row.answer("answerKey"), choices),
        )


@dataclass(frozen=True, kw_only=True)
class ARCChallenge(Labelled):
    """Science questions that retrieval does not answer (Clark et al., arXiv 1803.05457).

    Args:
        split: `test`, `validation` or `train`.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
        likelihood: see `MultipleChoice`.
    """

    hub_id = "allenai/ai2_arc"
    config = "ARC-Challenge"


@dataclass(frozen=True, kw_only=True)
class CommonsenseQA(Labelled):
    """Questions of common sense (Talmor et al., arXiv 1811.00937).

    Args:
        split: `validation` (1221 rows) or `train`; the answers of `test` are not public.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
        likelihood: see `MultipleChoice`.
    """

    split: str = "validation"
    hub_id = "tau/commonsense_qa"


def _choices(row: Row, labels: object, texts: object) -> dict[str, str]:
    """Return the options by label, if there are two or more, each with a label of its own."""
    if not isinstance(labels, list) or not isinstance(texts, list):
        raise row.unusable(f"has options that cannot be told apart: {labels} {texts}")
    names, options = ([_part(row, part) for part in parts] for parts in (labels, texts))
    usable = len(names) == len(options) == len(set(names)) > 1
    if not usable or not all(names) or not all(options):
        raise row.unusable(f"has options that cannot be told apart: {names} {options}")
    return dict(zip(names, options, strict=True))


def _part(row: Row, part: object) -> str:
    return "" if part is None else row.written(part, "choices").strip()


def _target(row: Row, label: object, choices: Mapping[str, str]) -> str:
    if str(label) not in choices:
        raise row.unusable(f"has the answer {label!r}, which is none of {', '.join(choices)}")
    return str(label)

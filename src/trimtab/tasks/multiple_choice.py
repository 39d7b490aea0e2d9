"""Questions with options to choose from: MMLU, ARC-Challenge and CommonsenseQA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from types import MappingProxyType

from trimtab.choices import not_a_choice
from trimtab.scoring.choices import read_choice
from trimtab.tasks.benchmark import Graded, Item
from trimtab.tasks.row import Row
from trimtab.tasks.task import COMPARISONS, Sample


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
        if self.likelihood not in COMPARISONS:
            raise ValueError(not_a_choice("likelihood:", self.likelihood, COMPARISONS))
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

    Args:
        split: `test`, `validation`, `dev` or `auxiliary_train`.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: `strict` or `published`; see `Graded`.
        likelihood: see `MultipleChoice`.
    """

    hub_id = "cais/mmlu"
    config = "all"

    def read(self, row: Row) -> Item:
        """Return the question under its subject; options are lettered, the answer is an index."""
        texts = row.value("choices")
        if not isinstance(texts, list):
            raise row.unusable("has no list of options in 'choices'")
        choices = _choices(row, list(ascii_uppercase[: len(texts)]), texts)
        label = row.label("answer")
        number = str(label)
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
            labels, texts = options.get("label") or [], options.get("text") or []
        elif isinstance(options, list) and all(isinstance(one, Mapping) for one in options):
            labels = [one.get("label") for one in options]
            texts = [one.get("text") for one in options]
        else:
            raise row.unusable("has no options in 'choices' or 'question.choices'")
        choices = _choices(row, labels, texts)
        return Item(
            question=row.text("question", "question.stem"),
            choices=choices,
            target=_target(row, row.label("answerKey"), choices),
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


def _choices(row: Row, labels: list[object], texts: list[object]) -> dict[str, str]:
    """Return the options by label, if there are two or more, each with a label of its own."""
    texts = ["" if text is None else str(text).strip() for text in texts]
    names = ["" if label is None else str(label).strip() for label in labels]
    usable = len(names) == len(texts) == len(set(names)) > 1
    if not usable or not all(names) or not all(texts):
        raise row.unusable(f"has options that cannot be told apart: {names} {texts}")
    return dict(zip(names, map(str, texts), strict=True))


def _target(row: Row, label: object, choices: Mapping[str, str]) -> str:
    if str(label) not in choices:
        raise row.unusable(f"has the answer {label!r}, which is none of {', '.join(choices)}")
    return str(label)

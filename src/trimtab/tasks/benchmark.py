"""What published benchmarks share: rows from the hub or from local files, prompt, two scorings."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from trimtab.config.accepted import require_choice
from trimtab.models import Conversation
from trimtab.tasks.embedded import REASONING_PREFIX, REASONING_SYSTEM
from trimtab.tasks.examples import Examples, as_asked, read_examples, require_unanswered
from trimtab.tasks.hub_data import load_rows
from trimtab.tasks.row import Row, sample_id
from trimtab.tasks.rows import SHARD, find_rows, read_rows
from trimtab.tasks.task import Sample, Score, Task

if TYPE_CHECKING:
    from datasets import Dataset

SCORINGS = ("strict", "published")
ALL = "all"
"""The split of rows from a file that holds those of all splits, and tells none apart."""
# The columns that may hold a row's own name, by preference.
_IDS = ("id", "ID", "qid", "iIndex", "idx")
_COMMIT = re.compile(r"hf://datasets/[^@]+@([0-9a-f]+)/")


@dataclass(frozen=True, kw_only=True)
class Item:
    """What a row asks: the text without options, the right answer, the options by label."""

    question: str
    target: str | None
    choices: Mapping[str, str] = field(default_factory=dict)
    context: str = ""


@dataclass(frozen=True, kw_only=True)
class Benchmark(Task):
    """A published data set under the nudging paper's prompt (arXiv 2410.09300).

    Args:
        split: which part; by default the one whose answers are public and that the paper takes.
            Of a publishers' file that holds all rows and names no split, it becomes `all`.
        data_dir: a local file, or a folder that holds one, in place of the hub: .json, .jsonl,
            .csv, .parquet or a folder saved by `datasets`, in the hub's columns or in the
            publishers'; see `find_rows` for which file of a folder is taken.
        revision: branch, tag or commit of the hub's data set; None for its newest.
        examples: questions with their answers that are shown before each question ("few-shot"): a
            list of pairs, or a file with the columns `question` and `answer`.

    Raises:
        ValueError: for a folder without rows of this split, a split that a file of all rows does
            not tell apart, a hub that cannot be reached, and rows that cannot be asked.
    """

    hub_id: ClassVar[str]
    config: ClassVar[str | None] = None
    files: ClassVar[Sequence[str]] = ()  # what the publishers call the file of all splits
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({})  # what they call a split
    part: ClassVar[re.Pattern[str]] = SHARD  # what tells the files of one split apart
    system: ClassVar[str] = REASONING_SYSTEM
    prefix: ClassVar[str] = REASONING_PREFIX

    split: str = "test"
    data_dir: str | None = None
    revision: str | None = None
    examples: Examples = None
    since: ClassVar[Mapping[str, Any]] = MappingProxyType({"examples": None})

    def __post_init__(self) -> None:
        if self.data_dir is not None:
            if self.revision is not None:
                raise ValueError(
                    f"revision={self.revision!r} is one of the hub's; data_dir={self.data_dir!r} "
                    "has none. Give one of the two."
                )
            if {file.name.lower() for file in self._local_files} <= {*map(str.lower, self.files)}:
                self._take_all()
        _ = self._shown

    def _take_all(self) -> None:
        if self.split not in (type(self).split, ALL):
            raise ValueError(
                f"{self.source} holds the rows of all splits and tells none apart, so "
                f"split={self.split!r} cannot be taken from it. Leave task.split out for all rows, "
                "or task.data_dir for the hub's split."
            )
        object.__setattr__(self, "split", ALL)

    @property
    def source(self) -> str:
        """The local file, or the hub's name of the data set and split."""
        if self.data_dir is not None:
            first, *others = self._local_files
            return str(first) + (f" and {len(others)} more" if others else "")
        config = f" {self.config}" if self.config else ""
        return f"{self.hub_id}{config}, split {self.split}"

    @property
    def revision_in_use(self) -> str | None:
        """The commit of the hub that the rows are from; None for local files."""
        if self.data_dir is not None:
            return None
        files = self._hub_rows.info.download_checksums or {}
        return next((found[1] for file in files if (found := _COMMIT.match(file))), None)

    def load(self) -> list[dict[str, Any]]:
        """Return all rows, each with an `id`: its own, or its number where these are not unique."""
        if self.data_dir is not None:
            rows = [row for file in self._local_files for row in self.read_file(file)]
        else:
            rows = [dict(row) for row in self._hub_rows]
        return _identified(rows)

    def read_file(self, file: Path) -> list[dict[str, Any]]:
        """Return the rows of a local file."""
        return read_rows(file)

    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        """Return what the row asks, its options a line each below the question."""
        sample_id = str(row.get("id", index))
        labelled = type(self).split
        item = self.read(
            Row(
                content=row,
                where=f"Row {index + 1} (id {sample_id}) of {self.source}",
                labelled=labelled if self.split not in (labelled, ALL) else None,
            )
        )
        listed = {} if self.likelihood else item.choices
        options = [f"{label}. {text}" for label, text in listed.items()]
        conversation = Conversation(
            system=self.system,
            context=item.context,
            question_prefix=self.prefix,
            question="\n".join([item.question, *options]),
            examples=as_asked(self._shown, prefix=self.prefix),
        )
        require_unanswered(conversation, self._shown, f"Row {index + 1} of {self.source}")
        return Sample(
            id=sample_id, conversation=conversation, target=item.target, choices=item.choices
        )

    @cached_property
    def _shown(self) -> dict[str, str]:
        return read_examples(self.examples)

    @abstractmethod
    def read(self, row: Row) -> Item:
        """Return what a row asks, whichever columns it has."""

    @cached_property
    def _local_files(self) -> tuple[Path, ...]:
        assert self.data_dir is not None
        return find_rows(
            Path(self.data_dir).expanduser(),
            self.split,
            names=self.files,
            config=self.config,
            alias=self.aliases.get(self.split, ""),
            part=self.part,
        )

    @cached_property
    def _hub_rows(self) -> Dataset:
        try:
            return load_rows(self.hub_id, self.config, split=self.split, revision=self.revision)
        except Exception as error:  # of the network, the hub's client, or the files
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            at = f" at revision {self.revision}" if self.revision else ""
            raise ValueError(
                f"{self.source}{at}: the hub gives no rows: {reason} "
                "Check the split, the revision and the network; or give local files: "
                "task.data_dir=FOLDER."
            ) from error


@dataclass(frozen=True, kw_only=True)
class Graded(Benchmark):
    """A benchmark whose questions have right answers.

    Args:
        split: which part.
        data_dir: a local file or folder, in place of the hub.
        revision: of the hub's data set.
        scoring: what the task's metric is. `strict` reads the final answer by rule (`accuracy`);
            `published` scores as the nudging paper does: by its own rule for arithmetic
            (`published`), by a language model that judges (`correct`) for all else.
    """

    scoring: str = "strict"
    judged = "correctness"
    proportions = frozenset({"accuracy"})
    published_metric: ClassVar[str] = "correct"
    without_effect = frozenset({"scoring"})  # every record has both

    def __post_init__(self) -> None:
        require_choice("scoring:", self.scoring, SCORINGS)
        metric = "accuracy" if self.scoring == "strict" else self.published_metric
        object.__setattr__(self, "metric", metric)
        super().__post_init__()

    def score(self, text: str, sample: Sample) -> Score:
        """Read the final answer by rule, and compare it with the right one."""
        assert sample.target is not None
        prediction = self.answer(text, sample)
        right = prediction is not None and self.same(prediction, sample.target)
        return Score(prediction=prediction, values={"accuracy": float(right)})

    @abstractmethod
    def answer(self, text: str, sample: Sample) -> str | None:
        """Return the final answer that a text states, or None."""

    def same(self, prediction: str, target: str) -> bool:
        """Whether an answer is the right one."""
        return prediction == target


def _identified(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for column in _IDS:
        own = [name for row in rows if (name := sample_id(row.get(column)))]
        if len(own) == len(set(own)) == len(rows):
            return [{**row, "id": name} for row, name in zip(rows, own, strict=True)]
    return [{**row, "id": str(number)} for number, row in enumerate(rows)]

"""Tasks whose held-out rows travel with the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trimtab import zoo
from trimtab.models import Conversation
from trimtab.tasks.task import Sample, Task

REASONING_SYSTEM = "Answer the question by walking through the reasoning steps."
REASONING_PREFIX = "Question: "
HELPFUL_SYSTEM = "You are a helpful assistant."
HELPFUL_PREFIX = "Instruction: "


class Embedded(Task):
    """A task of the micro-world: `rows` names its files, `system` and `prefix` its prompt."""

    split: str
    rows: str
    system: str
    prefix: str

    def __post_init__(self) -> None:
        zoo.data_path(self.rows, self.split)

    @property
    def source(self) -> str:
        """The embedded rows and their split."""
        return f"embedded {self.rows}, split {self.split}"

    def load(self) -> list[dict[str, Any]]:
        """Return the held-out rows."""
        lines = zoo.data_path(self.rows, self.split).read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        """Return the row's question under the task's prompt, and its answer if it has one."""
        conversation = Conversation(
            system=self.system, question_prefix=self.prefix, question=row["question"]
        )
        return Sample(id=row["id"], conversation=conversation, target=row.get("answer"))

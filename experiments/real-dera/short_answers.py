"""The instructions that nothing was tuned on, and the rewards of their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from instructions import instructions
from rewards import brevity, plainness

from trimtab import Conversation
from trimtab.tasks import Sample, Score, Task


@dataclass(frozen=True, kw_only=True)
class ShortAnswers(Task):
    """Everyday instructions, answered in a sentence or two: how short."""

    metric = "brevity"
    bounds = MappingProxyType({"brevity": (0.0, 1.0), "plainness": (0.0, 1.0)})
    source = "instructions.py"

    def load(self) -> Sequence[Mapping[str, Any]]:
        """Return the instructions."""
        return [{"question": question} for question in instructions()[1]]

    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        """Return an instruction, which nothing is put around."""
        return Sample(
            id=str(index), conversation=Conversation(question=row["question"]), target=None
        )

    def score(self, text: str, sample: Sample) -> Score:
        """Return both rewards."""
        return Score(
            prediction=None, values={"brevity": brevity(text), "plainness": plainness(text)}
        )


@dataclass(frozen=True, kw_only=True)
class PlainAnswers(ShortAnswers):
    """The same, and how plain."""

    metric = "plainness"

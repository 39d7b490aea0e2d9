"""Whether an answer has the manner of the chat models, by their own words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.scorers import Scorer, Verdict


@dataclass(frozen=True, kw_only=True)
class Reasoned(Scorer):
    """Whether an answer opens step by step, states an answer, and ends by itself."""

    name = "reasoned"
    proportions = frozenset({"reasoned"})

    @property
    def identity(self) -> Mapping[str, Any]:
        """The rule's version; its file is hashed beside it."""
        return {"version": 1}

    def score(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Verdict]]:
        """Yield it for each answer."""
        for line in lines:
            text = line["completion"]
            opens = text.startswith("Let's think step by step.")
            whole = opens and "The answer is" in text and line["stop_reason"] == "end"
            yield line["id"], Verdict(values={"reasoned": float(whole)})

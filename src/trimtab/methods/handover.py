"""A guide that says how an answer, or each sentence, begins, whatever the base is sure of."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.config.accepted import require_whole
from trimtab.config.signature import require_types
from trimtab.config.wording import not_a_choice
from trimtab.decoding import Generation, Speaker, Turns
from trimtab.decoding.openings import first, sentence
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.methods.method import Method
from trimtab.methods.prompts import Prompts
from trimtab.models import LanguageModel

_UNITS = ("tokens", "words", "sentences", "lines")


@dataclass(frozen=True, kw_only=True)
class Handover(Method):
    """The guide says the first words of an answer, or of each sentence, and the base the rest.

    With one sentence of an answer it is the first step that a large model gives to a small one in
    Jain et al., "First-Step Advantage: Importance of Starting Right in Multi-Step Math Reasoning",
    Findings of ACL 2025, arXiv 2311.07945 (their QuestCoT has the small model ask itself instead).
    With tokens or words it is what nudging is to be compared with, which lets the base decide where
    the guide speaks. Whoever has the word ends the answer.

    Args:
        base: the model that says the rest.
        guide: the model that begins, of any tokenizer.
        first: how many units the guide says; 0 leaves all to the base.
        unit: `tokens` of the guide, `words` (cut at white space), `sentences` (cut at `.`, `!` or
            `?` before white space, and at the end of a line) or `lines` that are not blank.
        of: the `answer`, or every `sentence`, of which the guide says tokens or words.

    Raises:
        ValueError: for settings outside these.
    """

    base: LanguageModel
    guide: LanguageModel
    first: int = 1
    unit: str = "sentences"
    of: str = "answer"

    dial = "first"

    def __post_init__(self) -> None:
        require_whole("first", self.first, 0)
        if self.unit not in _UNITS:
            raise ValueError(not_a_choice("unit:", self.unit, _UNITS))
        if self.of not in ("answer", "sentence"):
            raise ValueError(not_a_choice("of:", self.of, ("answer", "sentence")))
        if self.of == "sentence" and self.unit not in ("tokens", "words"):
            raise ValueError(
                f"unit={self.unit!r} of a sentence leaves nothing to the base. Accepted with "
                "of=sentence are tokens and words."
            )
        require_types(self)

    def speakers(self) -> dict[str, Speaker]:
        """The base model and the guide."""
        return {"base": Speaker.of(base=self.base), "guide": Speaker.of(guide=self.guide)}

    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        """Make one answer: a turn of the guide, one of the base, and again for each sentence."""
        turns = Turns(cursors, prompts.text, generation)
        by_token = self.unit == "tokens"
        most = self.first if by_token else None
        opened = None if by_token else first(self.first, self.unit)
        closed = sentence if self.of == "sentence" and self.first else None
        ending = None
        while ending is None:
            ending = yield from turns.say("guide", most=most, until=opened)
            if ending is None:
                ending = yield from turns.say("base", until=closed, guessed_by="guide")
        said = turns.tokens
        share = said["guide"] / max(1, sum(said.values()))
        return turns.completion(ending, {"guide_ratio_tokens": share})

"""The plainest hand-off, as a baseline: the guide begins, and the base model goes on alone."""

from dataclasses import dataclass

from trimtab import LanguageModel, Method
from trimtab.decoding import Generation, Speaker, Turns
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.methods.prompts import Prompts


@dataclass(frozen=True, kw_only=True)
class FirstWords(Method):
    """The guide says the first tokens of an answer, the base model the rest.

    Args:
        base: the model that goes on, and ends the answer.
        guide: the model that begins.
        first: how many tokens of its own the guide says.
    """

    base: LanguageModel
    guide: LanguageModel
    first: int = 8

    dial = "first"

    def speakers(self) -> dict[str, Speaker]:
        """The base model and the guide."""
        return {"base": Speaker.of(base=self.base), "guide": Speaker.of(guide=self.guide)}

    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        """Make one answer."""
        turns = Turns(cursors, prompts.text, generation)
        ending = yield from turns.say("guide", most=self.first)
        if ending is None:
            ending = yield from turns.say("base", guessed_by="guide")
        return turns.completion(ending)

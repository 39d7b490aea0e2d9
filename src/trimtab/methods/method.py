"""The one seam of a method: given its models, it turns conversations into completions."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from trimtab.decoding import Completion, Generation
from trimtab.models import Conversation, LanguageModel

if TYPE_CHECKING:
    from trimtab.decoding.batching import Answer
    from trimtab.decoding.voice import Voice


class Prompts(NamedTuple):
    """The prompts of one sample, by role."""

    text: dict[str, str]
    tokens: dict[str, list[int]]


Start = Callable[[str, int, Prompts], "Answer"]
"""Begin an answer, given the sample's id, its slot and its prompts."""


class Method(ABC):
    """A way of answering with one or several models.

    A subclass names its models and says how one answer is made; batching, prompts and checks are
    here.

    Attributes:
        dial: the field that turns from one behaviour to the other; None where there is none.
    """

    dial: ClassVar[str | None] = None

    @property
    @abstractmethod
    def models(self) -> dict[str, LanguageModel]:
        """The models whose prompts an answer starts from, by role."""

    @abstractmethod
    def _prepare(self, generation: Generation) -> tuple[Sequence[Voice], Start]:
        """Load what is needed; return everyone who may speak and how an answer begins."""

    @cached_property
    def forward_passes(self) -> dict[str, int]:
        """Forward passes run so far in this process, by role; a pass serves a whole batch."""
        return {}

    @property
    def participants(self) -> dict[str, LanguageModel]:
        """Every model that has a say in the answers, by the name of its field."""
        return {role: model for role, model in self.all_models.items() if role != "draft"}

    @property
    def all_models(self) -> dict[str, LanguageModel]:
        """Every model that the method was given, by the name of its field."""
        assert dataclasses.is_dataclass(self)
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, LanguageModel)}

    def complete(
        self,
        questions: Sequence[str | Conversation],
        generation: Generation | None = None,
    ) -> list[Completion]:
        """Answer questions, in their order; a string is a conversation of only a question.

        A question's place in the list is its sample id; `stream` takes ids of your own, which
        make random draws independent of the order.
        """
        if isinstance(questions, str) or not all(
            isinstance(q, str | Conversation) for q in questions
        ):
            raise ValueError(
                f"questions={questions!r}: accepted is a list of strings and Conversations; for "
                "one question, a list of one."
            )
        asked = {
            str(i): Conversation(question=q) if isinstance(q, str) else q
            for i, q in enumerate(questions)
        }
        done = {c.id: c for c in self.stream(asked, generation or Generation())}
        return [done[sample_id] for sample_id in asked]

    def check(self, conversations: Mapping[str, Conversation]) -> None:
        """Raise ValueError for models or prompts that cannot work; loads no weights."""
        self._require_compatible()
        self._require_room(self._prompts(conversations))

    def _require_compatible(self) -> None:  # noqa: B027 - most pairs of models go together
        """Raise ValueError for models that do not go together, by what their tokenizers say."""

    def stream(
        self, conversations: Mapping[str, Conversation], generation: Generation
    ) -> Iterator[Completion]:
        """Yield completions as they finish, for conversations by sample id.

        Raises:
            ValueError: before any weights load, for prompts that no model can render or hold.
            FloatingPointError: if a model gives logits that are not finite.
        """
        yield from self.decode(self._prompts(conversations), generation)

    def decode(
        self, prompts: Mapping[str, Prompts], generation: Generation
    ) -> Iterator[Completion]:
        """Yield completions as they finish, for prompts by sample id.

        Raises:
            ValueError: before any weights load, for models that do not go together and for prompts
                that no model can hold.
            FloatingPointError: if a model gives logits that are not finite.
        """
        self._require_compatible()
        self._require_room(prompts)
        voices, start = self._prepare(generation)

        from trimtab.decoding.batching import decode

        def begin(sample_id: str) -> Callable[[int], Answer]:
            return lambda slot: start(sample_id, slot, prompts[sample_id])

        before = dict(self.forward_passes)
        for completion in decode(map(begin, prompts), voices, generation.batch_size):
            for voice in voices:
                for role, passes in voice.forward_passes().items():
                    self.forward_passes[role] = before.get(role, 0) + passes
            yield completion

    def _prompts(self, conversations: Mapping[str, Conversation]) -> dict[str, Prompts]:
        """Return each sample's prompts, rendered each model's way."""
        prompts = {}
        for sample_id, conversation in conversations.items():
            text = {role: m.render(conversation) for role, m in self.models.items()}
            tokens = {role: m.encode(text[role]) for role, m in self.models.items()}
            prompts[sample_id] = Prompts(text, tokens)
        return prompts

    def _require_room(self, prompts: Mapping[str, Prompts]) -> None:
        too_long = [
            f"sample {sample_id!r}: {len(tokens[role])} tokens for {role} ({model.path}), which "
            f"holds {model.context_length}"
            for sample_id, (_, tokens) in prompts.items()
            for role, model in self.models.items()
            if len(tokens[role]) >= model.context_length
        ]
        if too_long:
            shown = "\n  ".join(too_long[:5])
            more = f"\n  and {len(too_long) - 5} more" if len(too_long) > 5 else ""
            raise ValueError(
                f"{len(too_long)} prompts leave no room for an answer:\n  {shown}{more}\n"
                "Leave these samples out, shorten the task's prompt, or take a model with a "
                "longer context."
            )


def require_finite(name: str, value: float) -> None:
    """Refuse a dial that is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r}: accepted is any finite number, such as 0, 0.5 or 1.")

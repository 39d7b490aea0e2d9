"""The seam of a method: who may speak, and how one answer is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, final

from trimtab.config.user_code import named
from trimtab.decoding import Completion, Generation
from trimtab.decoding.likelihood import Likelihood
from trimtab.methods.declaration import Declaration
from trimtab.methods.decode_together import answered, asked_alike
from trimtab.methods.piece_stream import PieceStream
from trimtab.methods.prompts import Prompts, require_room
from trimtab.models import Conversation

_DOORS = ("complete", "stream", "stream_pieces", "stream_together", "decode")


class Method(Declaration):
    """A way of answering with one or several models.

    A subclass is a frozen dataclass whose fields are its models and settings. It says who may speak
    (`speakers`) and how one answer is made (`answer`), as if it were the only one; a model may be
    asked otherwise than the others (`asked`). Prompts, batches, caches, drafts, sweeps, records and
    what a run is known by are here, whatever the fields are: models, mappings of them, or objects
    that hold some.

    Attributes:
        dial: the field, a number, that turns from one behaviour to the other; None where there is
            none.
        further_dials: other fields in which methods may differ that decode together.
        without_effect: fields that change no answer, and so do not count for a run's fingerprint;
            a subclass of one's own says so anew.
        since: fields that came later, by the value that means "as before".
    """

    dial: ClassVar[str | None] = None
    further_dials: ClassVar[tuple[str, ...]] = ()
    since: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        for door in _DOORS:
            if door in vars(cls):
                raise TypeError(
                    f"{named(cls)} has a {door}() of its own, which other ways to ask it would "
                    "pass by. What is the method's own goes into answer(), for all of them."
                )

    # ------------------------------------------------------------------ its dials

    @property
    def dials(self) -> tuple[str, ...]:
        """All fields in which methods may differ that decode together."""
        return () if self.dial is None else (self.dial, *self.further_dials)

    @property
    def value(self) -> float:
        """Where the dial stands.

        Raises:
            ValueError: for a dial that is no field, or none with a number.
        """
        assert self.dial is not None
        value = getattr(self, self.dial, None)
        if not isinstance(value, int | float):
            raise ValueError(
                f"{named(type(self))}: its dial {self.dial!r} stands at {value!r}. Accepted is a "
                "field with a number; sweeps of other settings need no dial."
            )
        return value

    def at(self, value: float) -> Self:
        """Return this method with its dial at another value; loaded models are shared."""
        assert self.dial is not None
        return self.turned({self.dial: value})

    def turned(self, values: Mapping[str, Any]) -> Self:
        """Return this method with its dials at other values; loaded models are shared.

        Raises:
            ValueError: for a class that is no dataclass.
        """
        if not dataclasses.is_dataclass(self):
            raise ValueError(
                f"{named(type(self))} is no dataclass, so it cannot be turned. Put "
                "@dataclass(frozen=True, kw_only=True) on the line above the class."
            )
        return dataclasses.replace(self, **values)

    def goes_with(self, other: Method) -> bool:
        """Whether another method can decode together with this one.

        Their dials alone differ, and their speakers in nothing but weights and how these combine.
        """
        if self.dial is None or type(self) is not type(other) or not dataclasses.is_dataclass(self):
            return False
        if self.turned({dial: getattr(other, dial) for dial in self.dials}) != other:
            return False
        own, others = self.speakers(), other.speakers()
        return own.keys() == others.keys() and all(
            speaker.goes_with(others[name]) for name, speaker in own.items()
        )

    # ------------------------------------------------------------------ how it is asked

    def prompts(self, conversations: Mapping[str, Conversation]) -> dict[str, Prompts]:
        """Return each sample's prompts, rendered each model's way; needs no weights.

        Raises:
            ValueError: for a prompt with tokens that a model has no row for.
        """
        models, prompts = self.models, {}
        for sample_id, conversation in conversations.items():
            text = self.texts(conversation)
            tokens = {role: model.encode(text[role]) for role, model in models.items()}
            for role, model in models.items():
                model.require_rows(tokens[role])
            prompts[sample_id] = Prompts(text, tokens, conversation, sample_id)
        return prompts

    def check(self, conversations: Mapping[str, Conversation]) -> None:
        """Raise ValueError for models or prompts that cannot work; loads no weights."""
        self.require_compatible()
        for model in self.all_models.values():
            model.require_loadable()
        require_room(self.prompts(conversations), self.models)

    @final
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

    @final
    def stream(
        self, conversations: Mapping[str, Conversation], generation: Generation
    ) -> Iterator[Completion]:
        """Yield completions as they finish, for conversations by sample id.

        Raises:
            ValueError: before any weights load, for prompts that no model can render or hold.
            FloatingPointError: if a model gives logits that are not finite.
        """
        yield from self.decode(self.prompts(conversations), generation)

    @final
    def stream_pieces(
        self, conversations: Mapping[str, Conversation], generation: Generation
    ) -> PieceStream:
        """Answer piece by piece: each as soon as nothing will change it, then each completion.

        In nudging the guide's words come when the base has taken the word or not, the base's when
        the repetition guard has let them pass. Text that may begin a stop string waits. Of the best
        of several answers there is nothing before the end. The pieces of an answer are the spans of
        its trace, and it is the one that `complete` gives.

        Args:
            conversations: what is asked, by sample id.
            generation: how answers are drawn.

        Raises:
            ValueError, FloatingPointError: as `stream`.
        """
        return PieceStream(self, self.prompts(conversations), generation)

    @final
    def decode(
        self, prompts: Mapping[str, Prompts], generation: Generation
    ) -> Iterator[Completion]:
        """Yield completions as they finish, for prompts by sample id; as `stream` otherwise."""
        for _, completion in answered([self], [prompts], generation):
            yield completion

    @final
    def stream_together(
        self,
        methods: Sequence[Self],
        conversations: Sequence[Mapping[str, Conversation]],
        generation: Generation,
    ) -> Iterator[tuple[int, Completion]]:
        """Answer at several values of the dials at once; the answers are those of each alone.

        Models load once, a prompt is read once, and what several values have in common is computed
        once; `generation.batch_size` counts samples, each of which takes a row of the KV cache for
        every value.

        Args:
            methods: some equal to this one but for the dials.
            conversations: what each of them is asked, by sample id.
            generation: how answers are drawn.

        Yields:
            The number of a method in `methods`, and its completion.

        Raises:
            ValueError, FloatingPointError: as `stream`; and for methods that cannot be together.
        """
        if not all(self.goes_with(other) for other in methods):
            raise ValueError(
                "The methods differ in more than their dials, or have other speakers: they decode "
                "apart."
            )
        whole = asked_alike(conversations)
        if type(self).asked is Declaration.asked:
            prompts = self.prompts(whole)
            own = [{i: prompts[i] for i in asked} for asked in conversations]
        else:  # which may depend on the dials
            own = [m.prompts(asked) for m, asked in zip(methods, conversations, strict=True)]
        yield from answered(methods, own, generation)

    def __call__(self, *given: Any, **settings: Any) -> Any:
        """Refuse to answer inside transformers' `generate()`, which passes by what it cannot call.

        Raises:
            ValueError: always; methods that can have a `__call__` of their own.
        """
        raise ValueError(
            f"{named(type(self))} is no custom_generate: its speakers' prompts are more than "
            "input_ids. Ask it by complete()."
        )

    def weigh(
        self,
        conversations: Mapping[str, Conversation],
        continuations: Mapping[str, Sequence[str]],
        generation: Generation | None = None,
    ) -> Iterator[tuple[str, list[Likelihood]]]:
        """Yield how likely the method finds each of some continuations of a prompt, by sample id.

        Args:
            conversations: the prompts, by sample id.
            continuations: the texts that may follow each.
            generation: says how many samples are read together; nothing is drawn.

        Raises:
            ValueError: for a method without a next-token distribution, and for what a model's
                context cannot hold.
        """
        raise ValueError(
            f"{type(self).__name__} has no probability of a given text: its speakers take turns. "
            "Methods that have: base and guide alone, all that mix models at every token, as dera "
            "does, and all that move weights, as vectors does."
        )

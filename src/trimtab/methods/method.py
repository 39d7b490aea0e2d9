"""The one seam of a method: given its models, it turns conversations into completions."""

from __future__ import annotations

import dataclasses
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from trimtab.config.parts import parts
from trimtab.config.user_code import declared, named
from trimtab.decoding import Completion, Generation
from trimtab.machine.stopwatch import Stopwatch
from trimtab.models import Conversation, LanguageModel

if TYPE_CHECKING:
    from trimtab.decoding.batching import Answer
    from trimtab.decoding.likelihood import Likelihood
    from trimtab.decoding.voice import Voice

_log = logging.getLogger(__name__)


class Prompts(NamedTuple):
    """The prompts of one sample, by role."""

    text: dict[str, str]
    tokens: dict[str, list[int]]


Start = Callable[[str, Prompts, Mapping[int, int]], "dict[int, Answer]"]
"""Begin a sample's answers, given its id, its prompts, and which member's answer is in which slot.

Members are the methods that decode together, by number; the answers come back by slot.
"""


class Method(ABC):
    """A way of answering with one or several models.

    A subclass names its models and says how one answer is made; batching, prompts and checks are
    here.

    Attributes:
        dial: the field that turns from one behaviour to the other; None where there is none.
        further_dials: other fields in which methods may differ that decode together.
        without_effect: fields that change no answer, and so do not count for a run's fingerprint;
            a subclass of one's own says so anew.
        since: fields that came later, by the value that means "as before".
    """

    dial: ClassVar[str | None] = None
    further_dials: ClassVar[tuple[str, ...]] = ()
    without_effect: ClassVar[frozenset[str]] = frozenset()
    since: ClassVar[Mapping[str, Any]] = {}

    @property
    @abstractmethod
    def models(self) -> dict[str, LanguageModel]:
        """The models whose prompts an answer starts from, by role."""

    @abstractmethod
    def _prepare(
        self, generation: Generation, family: Sequence[Self]
    ) -> tuple[Sequence[Voice], Start]:
        """Load what is needed; return everyone who may speak and how a sample's answers begin.

        Args:
            generation: how answers are drawn.
            family: methods that differ from this one in dials at most, itself among them.
        """

    @cached_property
    def forward_passes(self) -> dict[str, int]:
        """Forward passes run so far in this process, by role; a pass serves a whole batch.

        Those of a family count for each of its members.
        """
        return {}

    @cached_property
    def loading(self) -> Stopwatch:
        """Time that went into loading models, and the code that runs them, so far.

        Answers come after it; that of a family is that of the method that decodes for all.
        """
        return Stopwatch()

    @property
    def participants(self) -> dict[str, LanguageModel]:
        """Every model that has a say in the answers, by its name in the method."""
        silent = declared(type(self), "without_effect", ())
        return {n: model for n, model in self.all_models.items() if n.split(".")[0] not in silent}

    @property
    def all_models(self) -> dict[str, LanguageModel]:
        """Every model that the method holds, by its name in it: `guide`, `guides.large`."""
        found = {name: part for name, part in parts(self) if isinstance(part, LanguageModel)}
        known = list(found.values())
        return found | {role: m for role, m in self.models.items() if m not in known}

    @property
    def identity(self) -> dict[str, Any]:
        """What tells contents under the same names apart that the answers depend on; by role."""
        return {role: model.identity for role, model in self.participants.items()}

    def provenance(self) -> dict[str, Any]:
        """Return what a record needs to name exactly what the method is made of, by role."""
        return {role: model.provenance() for role, model in self.all_models.items()}

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
            "Methods that have: base, guide, dera, proxy_tuning, ensemble, alignment_vector, "
            "vectors."
        )

    def check(self, conversations: Mapping[str, Conversation]) -> None:
        """Raise ValueError for models or prompts that cannot work; loads no weights."""
        self._require_compatible()
        self._require_room(self.prompts(conversations))

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
        yield from self.decode(self.prompts(conversations), generation)

    def decode(
        self, prompts: Mapping[str, Prompts], generation: Generation
    ) -> Iterator[Completion]:
        """Yield completions as they finish, for prompts by sample id.

        Raises:
            ValueError: before any weights load, for models that do not go together and for prompts
                that no model can hold.
            FloatingPointError: if a model gives logits that are not finite.
        """
        for _, completion in self._decode_family([self], [prompts], generation):
            yield completion

    def stream_family(
        self,
        family: Sequence[Self],
        conversations: Sequence[Mapping[str, Conversation]],
        generation: Generation,
    ) -> Iterator[tuple[int, Completion]]:
        """Answer at several values of the dial at once; the answers are those of each alone.

        Models load once, a prompt is read once, and what several values have in common is computed
        once; `generation.batch_size` counts samples, each of which takes a row of the KV cache for
        every value.

        Args:
            family: methods equal to this one but for the dials.
            conversations: what each of them is asked, by sample id.
            generation: how answers are drawn.

        Yields:
            The number of a method in `family`, and its completion.

        Raises:
            ValueError, FloatingPointError: as `stream`; and for methods that cannot be together.
        """
        if not all(self.goes_with(other) for other in family):
            raise ValueError("The methods differ in more than their dials: they decode apart.")
        whole: dict[str, Conversation] = {}
        for asked in conversations:
            for i, conversation in asked.items():
                if whole.setdefault(i, conversation) != conversation:
                    raise ValueError(
                        f"Sample {i!r} is asked otherwise of one method than of another: they "
                        "decode apart."
                    )
        prompts = self.prompts(whole)
        yield from self._decode_family(
            family, [{i: prompts[i] for i in asked} for asked in conversations], generation
        )

    def goes_with(self, other: Method) -> bool:
        """Whether another method can decode together with this one: dials alone differ."""
        if self.dial is None or type(self) is not type(other) or not dataclasses.is_dataclass(self):
            return False
        if any(self.redefines(name, beside="stream_family") for name in ("stream", "decode")):
            return False
        return self.turned({dial: getattr(other, dial) for dial in self.dials}) == other

    @classmethod
    def redefines(cls, name: str, *, beside: str) -> bool:
        """Whether a subclass answers in a way of its own, which another door would pass by.

        Args:
            name: how it answers, such as `stream`.
            beside: the other door, which it has left as it was.
        """
        first, second = (
            next(i for i, kind in enumerate(cls.__mro__) if door in vars(kind))
            for door in (name, beside)
        )
        return first < second

    def _require_no_other_way(self, door: str) -> None:
        """Refuse a door of generate() that would pass by how a subclass answers."""
        for name in ("stream", "decode"):
            if self.redefines(name, beside=door):
                raise ValueError(
                    f"{named(type(self))} answers by a {name}() of its own, which generate() would "
                    "pass by. Ask it by complete()."
                )

    @property
    def dials(self) -> tuple[str, ...]:
        """All fields in which methods may differ that decode together."""
        return () if self.dial is None else (self.dial, *self.further_dials)

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

    @property
    def value(self) -> float:
        """Where the dial stands."""
        assert self.dial is not None
        value: float = getattr(self, self.dial)
        return value

    def at(self, value: float) -> Self:
        """Return this method with its dial at another value; loaded models are shared."""
        assert self.dial is not None
        return self.turned({self.dial: value})

    def _decode_family(
        self,
        family: Sequence[Self],
        prompts: Sequence[Mapping[str, Prompts]],
        generation: Generation,
    ) -> Iterator[tuple[int, Completion]]:
        whole = {i: prompt for asked in prompts for i, prompt in asked.items()}
        self._require_compatible()
        self._require_room(whole)
        if generation.draws > 1:
            raise ValueError(
                f"draws={generation.draws!r}: a run draws so often. Here each id is answered once; "
                "ask under several ids for several draws."
            )
        generation = generation.for_samples(len(whole))
        self._say_what_is_left_out(generation)
        with self.loading.running():
            voices, start = self._prepare(generation, family)

            from trimtab.decoding.batching import decode

        members: dict[int, int] = {}

        def begin(sample_id: str) -> Callable[[Sequence[int]], dict[int, Answer]]:
            asked = [member for member, own in enumerate(prompts) if sample_id in own]

            def answers(slots: Sequence[int]) -> dict[int, Answer]:
                own = dict(zip(asked, slots, strict=False))
                members.update((slot, member) for member, slot in own.items())
                return start(sample_id, whole[sample_id], own)

            return answers

        before = [dict(method.forward_passes) for method in family]
        rows = generation.batch_size
        for slot, completion in decode(map(begin, whole), voices, rows, len(family)):
            for earlier, method in zip(before, family, strict=True):
                for voice in voices:
                    for role, passes in voice.forward_passes().items():
                        method.forward_passes[role] = earlier.get(role, 0) + passes
            yield members[slot], completion

    def _say_what_is_left_out(self, generation: Generation) -> None:
        followed = {
            "repetition_penalty": generation.repetition_penalty,
            "stop_strings": list(generation.stop_strings),
        }
        for role, model in self.participants.items():
            rules = {k: v for k, v in model.generation_rules.items() if v != followed.get(k)}
            if rules and role not in self._said_of:
                self._said_of.add(role)
                _log.warning(
                    "%s (%s): its generation_config.json asks generate() for %s, which is left out "
                    "here: only rules that are set in generation apply.",
                    role,
                    model.path,
                    ", ".join(f"{name}={value!r}" for name, value in rules.items()),
                )

    @cached_property
    def _said_of(self) -> set[str]:
        """The models whose rules have been named."""
        return set()

    def prompts(self, conversations: Mapping[str, Conversation]) -> dict[str, Prompts]:
        """Return each sample's prompts, rendered each model's way; needs no weights."""
        prompts = {}
        for sample_id, conversation in conversations.items():
            text = {role: m.render(conversation) for role, m in self.models.items()}
            tokens = {role: m.encode(text[role]) for role, m in self.models.items()}
            for role, model in self.models.items():
                model.require_rows(tokens[role])
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

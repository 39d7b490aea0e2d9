"""What a method says of itself: who speaks, how an answer is made, what it is made of."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from trimtab.config.parts import parts
from trimtab.config.user_code import declared, named
from trimtab.decoding import Completion, Generation, Speaker
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.machine.stopwatch import Stopwatch
from trimtab.methods.prompts import Prompts
from trimtab.models import Conversation, LanguageModel


class Declaration(ABC):
    """What has speakers, a way of answering, and fields that hold models in any form.

    Attributes:
        without_effect: fields that change no answer.
        needs: what its models must have in common, for who chooses a method: `one vocabulary, or a
            token map`, `one architecture` (with the tensors of one another), `one model`, `any
            models`, or `black box`, where texts are all that a model gives.
    """

    without_effect: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[str] = "any models"

    @abstractmethod
    def speakers(self) -> Mapping[str, Speaker]:
        """Return who may speak, by name; names are those in traces and of random draws.

        Nothing is loaded here. Methods that differ in dials alone have the same speakers, with
        weights and ways to combine of their own.
        """

    @abstractmethod
    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        """Make one answer: a generator that yields requests and is sent their predictions.

        A cursor makes requests (`cursor.after(tokens)`); `trimtab.decoding.one_speaker.speak` and
        `trimtab.decoding.turns.Turns` are answers of one speaker, and of several in turns. The
        sample's id, its prompts and the models' work are put into the completion afterwards.

        Args:
            cursors: where each speaker begins, by name.
            prompts: the sample's, by the models' roles.
            generation: how long an answer is, and what stops it.
        """

    @property
    def tries(self) -> int:
        """How many answers are made to a sample, of which `best` gives one."""
        return 1

    def best(self, answers: Sequence[Completion], prompts: Prompts) -> Completion:
        """Return the answer that is given, of all that were made to a sample.

        The models' work for all of them is put into it afterwards.

        Args:
            answers: as many as `tries`, the first being that which a single try would make.
            prompts: the sample's, by the models' roles.
        """
        return answers[0]

    def asked(self, role: str, conversation: Conversation) -> Conversation:
        """Return what a model is asked, by its role: by default what all are."""
        return conversation

    def texts(self, conversation: Conversation) -> dict[str, str]:
        """Return the prompt that each model reads, rendered in its way, by role."""
        return {r: model.render(self.asked(r, conversation)) for r, model in self.models.items()}

    def strengths_for(self, prompts: Prompts) -> tuple[float, ...]:
        """Return how much each direction of the speakers' `steering` moves them in a sample."""
        return ()

    def require(self, generation: Generation) -> None:
        """Raise ValueError for settings of generation that `answer` does not honour."""
        if generation.token_records:
            raise ValueError(
                f"token_records=True: {type(self).__name__} has several speakers, with tokens of "
                "their own, so none has a probability under all. Its trace has each piece's; leave "
                "it at false."
            )
        if generation.repetition_penalty != 1:
            raise ValueError(
                f"repetition_penalty={generation.repetition_penalty!r}: {type(self).__name__} has "
                "several speakers, and takes none. Leave it at 1."
            )

    def require_one_question(self, door: str) -> None:
        """Raise ValueError where models are asked otherwise than each other (`asked`)."""
        if type(self).asked is not Declaration.asked:
            raise ValueError(
                f"{named(type(self))} asks its models in ways of their own (asked()), and {door} "
                "has one prompt for all. Ask it by complete()."
            )

    def require_models(self) -> None:  # noqa: B027 - most take any
        """Raise ValueError for models whose own settings do not suit the method; reads no file."""

    def require_compatible(self) -> None:  # noqa: B027 - most models go together
        """Raise ValueError for models that do not go together, by what their tokenizers say."""

    # ------------------------------------------------------------------ what it is made of

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The models whose prompts an answer starts from, by role.

        Raises:
            ValueError: for two models of one role.
        """
        models: dict[str, LanguageModel] = {}
        for name, speaker in self.speakers().items():
            for role, model in speaker.models.items():
                if models.setdefault(role, model) != model:
                    raise ValueError(
                        f"{named(type(self))}: the role {role!r} is {models[role].path} in one "
                        f"speaker and {model.path} in {name!r}. Give each model a role of its own."
                    )
        return models

    @property
    def participants(self) -> dict[str, LanguageModel]:
        """Every model that has a say in the answers, by its name in the method."""
        silent = declared(type(self), "without_effect", ())
        return {n: m for n, m in self.all_models.items() if re.split(r"[.\[]", n)[0] not in silent}

    @property
    def all_models(self) -> dict[str, LanguageModel]:
        """Every model that the method holds, by its name in it: `guide`, `guides.large`."""
        found = {name: part for name, part in parts(self) if isinstance(part, LanguageModel)}
        known = list(found.values())
        speaking = self.models.items()
        return found | {r: m for r, m in speaking if r not in found and m not in known}

    @property
    def identity(self) -> dict[str, Any]:
        """What tells contents under the same names apart that the answers depend on; by role."""
        return {role: model.identity for role, model in self.participants.items()}

    def provenance(self) -> dict[str, Any]:
        """Return what a record needs to name exactly what the method is made of, by role."""
        return {role: model.provenance() for role, model in self.all_models.items()}

    @cached_property
    def forward_passes(self) -> dict[str, int]:
        """Forward passes run so far in this process, by role; a pass serves a whole batch.

        One that serves several roles of a model counts for each, and one of methods that decode
        together for each of them.
        """
        return {}

    @cached_property
    def loading(self) -> Stopwatch:
        """Time that went into loading models, and the code that runs them, so far.

        Answers come after it; that of several together is that of the one that decodes for all.
        """
        return Stopwatch()

    @cached_property
    def said_of(self) -> set[str]:
        """The models whose own rules for generation have been named as left out."""
        return set()

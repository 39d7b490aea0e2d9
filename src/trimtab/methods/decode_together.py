"""How answers of methods are made together: prompts checked, models loaded, slots filled."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from typing import NamedTuple

from trimtab.config.user_code import is_own, named
from trimtab.decoding import Completion, Generation, Span
from trimtab.decoding.batching import decode
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.decoding.telling import News
from trimtab.methods.declaration import Declaration
from trimtab.methods.prompts import Prompts, require_room
from trimtab.methods.tries import Attempt, added_up, best_of, tries_at
from trimtab.models import Conversation

_log = logging.getLogger(__name__)


class Piece(NamedTuple):
    """A span of an answer that is still being made, the next one of its trace.

    Attributes:
        id: the sample's.
        span: what was said; nothing changes it any more.
    """

    id: str
    span: Span


def answered(
    methods: Sequence[Declaration],
    prompts: Sequence[Mapping[str, Prompts]],
    generation: Generation,
) -> Iterator[tuple[int, Completion]]:
    """Yield completions as they finish, each with the number of its method; see `made`."""
    for number, item in made(methods, prompts, generation):
        if isinstance(item, Completion):
            yield number, item


def made(
    methods: Sequence[Declaration],
    prompts: Sequence[Mapping[str, Prompts]],
    generation: Generation,
    *,
    streamed: bool = False,
    given_up: Collection[str] = (),
) -> Generator[tuple[int, Piece | Completion], None, None]:
    """Yield what answers are made of as it is settled, each with the number of its method.

    Args:
        methods: one, or some that differ in their dials alone.
        prompts: what each of them is asked, by sample id.
        generation: how answers are drawn.
        streamed: yield the pieces of each answer before its completion. Of methods that give the
            best of several answers they are known only then.
        given_up: samples whose answers nobody waits for, which may grow.

    Raises:
        ValueError: before any weights load, for models that do not go together, for prompts that no
            model can hold, and for settings that the methods do not honour.
        FloatingPointError: if a model gives logits that are not finite.
    """
    first = methods[0]
    whole = dict.fromkeys(sample_id for own in prompts for sample_id in own)
    first.require_compatible()
    for model in first.all_models.values():
        model.require_loadable()
    for method, own in zip(methods, prompts, strict=True):
        require_room(own, method.models)
        method.require(generation)
    if generation.draws > 1:
        raise ValueError(
            f"draws={generation.draws!r}: a run draws so often. Here each id is answered once; "
            "ask under several ids for several draws."
        )
    tries = tries_at(whole, max(method.tries for method in methods))
    generation = generation.for_samples(len(tries))
    say_what_is_left_out(first, generation)
    with first.loading.running():
        from trimtab.decoding.speaking import Speaking  # imports torch

        speaking = Speaking([method.speakers() for method in methods], generation)
    begun: dict[int, tuple[int, Attempt, Cursors]] = {}  # by slot: method, sample, who speaks
    told: dict[int, int] = {}  # by slot: spans

    def begin(one: Attempt) -> Callable[[Sequence[int]], dict[int, Answer]]:
        asked = {
            number: own[one.sample_id]._replace(sample_id=one.name)
            for number, own in enumerate(prompts)
            if one.sample_id in own and one.number < methods[number].tries
        }

        def answers(free: Sequence[int]) -> dict[int, Answer]:
            if one.sample_id in given_up:
                return {}
            slots = dict(zip(asked, free, strict=False))
            strengths = {number: methods[number].strengths_for(asked[number]) for number in slots}
            tokens = {number: asked[number].tokens for number in slots}
            texts = {number: asked[number].text for number in slots}
            cursors = speaking.cursors(one.name, tokens, texts, slots, strengths)
            for number, slot in slots.items():
                begun[slot], told[slot] = (number, one, cursors[number]), 0
                for cursor in cursors[number].values():
                    cursor.streamed = streamed and methods[number].tries == 1
            return {
                slot: checked_answer(methods[number], cursors[number], asked[number], generation)
                for number, slot in slots.items()
            }

        return answers

    kept: dict[tuple[int, str], dict[int, Completion]] = {}  # by method and sample: by try
    before = [dict(method.forward_passes) for method in methods]
    rows, together = generation.batch_size, len(methods)
    left = (lambda slot: begun[slot][1].sample_id in given_up) if streamed else None
    for slot, item in decode(map(begin, tries), speaking.predictors, rows, together, left):
        number, one, cursors = begun[slot]
        if isinstance(item, News):
            yield from ((number, Piece(one.sample_id, span)) for span in item.spans)
            told[slot] += len(item.spans)
            continue
        for earlier, each in zip(before, methods, strict=True):
            for role, passes in speaking.forward_passes().items():
                each.forward_passes[role] = earlier.get(role, 0) + passes
        method, asked = methods[number], prompts[number][one.sample_id]
        answers = kept.setdefault((number, one.sample_id), {})
        work = added_up(cursor.whole_work for cursor in cursors.values())
        answers[one.number] = dataclasses.replace(
            item, id=one.sample_id, prompts=asked.text, work=work
        )
        if len(answers) == method.tries:
            del kept[number, one.sample_id]
            best = best_of(method, [answers[i] for i in sorted(answers)], asked)
            if streamed:
                yield from ((number, Piece(best.id, span)) for span in best.trace[told[slot] :])
            yield number, best


def checked_answer(
    method: Declaration, cursors: Cursors, prompts: Prompts, generation: Generation
) -> Answer:
    """Make one answer, which is a completion."""
    answer = method.answer(cursors, prompts, generation)
    if not is_own(type(method).answer):
        return answer
    return _checked(method, answer)


def _checked(method: Declaration, answer: Answer) -> Answer:
    """Make an answer in a way of a user's own."""
    found = (yield from answer) if isinstance(answer, Generator) else answer
    if not isinstance(found, Completion):
        raise ValueError(
            f"{named(type(method))}.answer() came to {found!r}. Accepted is a generator that "
            "returns a Completion, as in `return turns.completion(ending)`."
        )
    if not isinstance(found.stop_reason, str):
        raise ValueError(
            f"{named(type(method))}.answer() ended with stop_reason={found.stop_reason!r}. "
            "Accepted is a text: a turn that came to None can be followed by another."
        )
    return found


def asked_alike(conversations: Sequence[Mapping[str, Conversation]]) -> dict[str, Conversation]:
    """Return what several methods are asked, by sample id.

    Raises:
        ValueError: for a sample that is asked otherwise of one than of another.
    """
    whole: dict[str, Conversation] = {}
    for asked in conversations:
        for i, conversation in asked.items():
            if whole.setdefault(i, conversation) != conversation:
                raise ValueError(
                    f"Sample {i!r} is asked otherwise of one method than of another: they "
                    "decode apart."
                )
    return whole


def say_what_is_left_out(method: Declaration, generation: Generation) -> None:
    """Warn, once for each model, of rules that its publisher asks generate() to follow."""
    followed = {
        "repetition_penalty": generation.repetition_penalty,
        "stop_strings": list(generation.stop_strings),
    }
    for role, model in method.participants.items():
        rules = {k: v for k, v in model.generation_rules.items() if v != followed.get(k)}
        if rules and role not in method.said_of:
            method.said_of.add(role)
            _log.warning(
                "%s (%s): its generation_config.json asks generate() for %s, which is left out "
                "here: only rules that are set in generation apply.",
                role,
                model.path,
                ", ".join(f"{name}={value!r}" for name, value in rules.items()),
            )

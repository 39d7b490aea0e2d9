"""What a mixture gives texts that are there already, many samples at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from trimtab.decoding import Generation
from trimtab.decoding.batching import decode
from trimtab.decoding.likelihood import Likelihoods, weigh
from trimtab.decoding.predictor import ContextFull, Steps
from trimtab.decoding.telling import News
from trimtab.methods.declaration import Declaration
from trimtab.methods.prompts import Prompts
from trimtab.models import LanguageModel
from trimtab.models.vocabulary import maps_onto

Continuations = Mapping[str, Sequence[Sequence[int]]]
"""Some token sequences that may follow each sample's prompt, by its id."""


def likelihoods(
    method: Declaration,
    name: str,
    prompts: Mapping[str, Prompts],
    continuations: Continuations,
    generation: Generation,
) -> Iterator[tuple[str, Likelihoods]]:
    """Yield what one of a method's speakers gives some continuations, by sample id.

    Args:
        method: the method.
        name: the speaker.
        prompts: the prompts, of at least one token each.
        continuations: what may follow them.
        generation: says how many samples are read together; nothing is drawn.

    Raises:
        ValueError: for empty prompts, and for what a model's context cannot hold.
    """
    rows = generation.for_samples(len(prompts)).batch_size
    greedy = Generation(batch_size=rows)
    with method.loading.running():
        from trimtab.decoding.speaking import Speaking  # imports torch

        speaker = dataclasses.replace(method.speakers()[name], reads_ahead=True)
        speaking = Speaking([{name: speaker}], greedy)
    asked: dict[int, str] = {}

    def start(sample_id: str, slot: int) -> dict[int, Steps[Likelihoods]]:
        asked[slot] = sample_id
        prompt = prompts[sample_id]._replace(sample_id=sample_id)
        strengths = {0: method.strengths_for(prompt)}
        cursors = speaking.cursors(
            sample_id, {0: prompt.tokens}, {0: prompt.text}, {0: slot}, strengths
        )
        return {slot: weigh(cursors[0][name], continuations[sample_id])}

    starts = (lambda slots, i=sample_id: start(i, slots[0]) for sample_id in prompts)
    before = dict(method.forward_passes)
    try:
        for slot, found in decode(starts, speaking.predictors, rows):
            assert not isinstance(found, News)  # of cursors to which nobody listens
            for role, passes in speaking.forward_passes().items():
                method.forward_passes[role] = before.get(role, 0) + passes
            yield asked[slot], found
    except ContextFull as full:
        raise ValueError(
            "A prompt and its continuation are longer than the context of a model that is read "
            "through a token map, in tokens of its own. Shorten them."
        ) from full


def require_fitting(
    models: Mapping[str, LanguageModel],
    prompts: Mapping[str, Prompts],
    continuations: Continuations,
) -> None:
    """Refuse empty prompts, tokens that a model has no row for, and what fills its context.

    What a model of another vocabulary reads is known when it reads it.
    """
    others = maps_onto(models)
    for role in others:
        if any(role not in prompt.text for prompt in prompts.values()):
            raise ValueError(
                f"{role} ({models[role].path}): what is read through a token map is text, and "
                "these prompts are tokens alone, as those of lm-eval's likelihoods are. weigh() "
                "takes conversations."
            )
    for sample_id, prompt in prompts.items():
        longest = max((len(tokens) for tokens in continuations[sample_id]), default=0)
        for role, model in models.items():
            if role in others:
                continue
            length = len(prompt.tokens[role]) + longest - 1  # nothing follows the last
            if not prompt.tokens[role]:
                raise ValueError(f"Sample {sample_id!r}: the prompt for {role} has no tokens.")
            for tokens in (prompt.tokens[role], *continuations[sample_id]):
                model.require_rows(tokens)
            if length > model.context_length:
                raise ValueError(
                    f"Sample {sample_id!r}: prompt and continuation are {length} tokens for "
                    f"{role} ({model.path}), which holds {model.context_length}. Shorten them."
                )

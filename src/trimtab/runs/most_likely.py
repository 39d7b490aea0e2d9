"""Multiple choice without generating: the option that a method finds most likely."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from trimtab.decoding import Completion, Generation, Span
from trimtab.decoding.completion import Work
from trimtab.decoding.likelihood import Likelihood, require_possible
from trimtab.methods import Method
from trimtab.tasks import Sample, Score
from trimtab.tasks.task import COMPARISONS

SPEAKER = "model"
PROPORTIONS = frozenset(f"accuracy_{how}" for how in COMPARISONS)


def answer(
    method: Method, samples: Mapping[str, Sample], generation: Generation, by: str
) -> Iterator[tuple[Completion, Score]]:
    """Yield, for each sample, the choice that the method finds most likely, and its scores.

    Every comparison is scored: `accuracy_sum` by `log p(option | question)`, `accuracy_length` by
    that per character (lm-evaluation-harness's `acc` and `acc_norm`), `accuracy_tokens` by that per
    token, and, where asked for, `accuracy_unconditional` by what the question adds, `log p(option |
    question) - log p(option | no question)` (Brown et al., arXiv 2005.14165, section 2.4).
    `accuracy` is that of `by`. Where no choice is the right one, each has a metric of its own,
    which says whether it was taken.

    Args:
        method: a method with next-token probabilities.
        samples: by their ids, each with choices.
        generation: says how many samples are read together.
        by: `sum`, `length`, `tokens` or `unconditional`.

    Raises:
        ValueError: for a method without next-token probabilities, or that rules a choice out.
    """
    asked = {i: sample.conversation for i, sample in samples.items()}
    options = {
        i: [sample.conversation.followed_by(text) for text in sample.choices.values()]
        for i, sample in samples.items()
    }
    unasked = {
        i: dataclasses.replace(conversation, question="", context="", earlier=())
        for i, conversation in asked.items()
    }
    prior = dict(method.weigh(unasked, options, generation)) if by == "unconditional" else {}
    for sample_id, found in method.weigh(asked, options, generation):
        sample = samples[sample_id]
        read = [found] + ([prior[sample_id]] if prior else [])
        for each in read:
            for text, own in zip(sample.choices.values(), each, strict=True):
                require_possible(own.log_probability, repr(text), f"Sample {sample.id!r}")
        sums = {
            label: each.log_probability for label, each in zip(sample.choices, found, strict=True)
        }
        values = {
            "sum": sums,
            "length": {label: sums[label] / len(sample.choices[label]) for label in sums},
            "tokens": {
                label: each.log_probability / each.tokens
                for label, each in zip(sums, found, strict=True)
            },
        }
        if by == "unconditional":
            before = (each.log_probability for each in prior[sample_id])
            values[by] = {label: sums[label] - own for label, own in zip(sums, before, strict=True)}
        picked = {how: max(own, key=own.__getitem__) for how, own in values.items()}
        if sample.target is None:
            scores = {label: float(label == picked[by]) for label in sample.choices}
        else:
            right = {how: float(label == sample.target) for how, label in picked.items()}
            scores = {"accuracy": right[by]} | {f"accuracy_{how}": r for how, r in right.items()}
        text = sample.choices[picked[by]]
        completion = Completion(
            id=sample_id,
            text=text,
            trace=(Span(text=text, speaker=SPEAKER),),
            stop_reason="choice",
            prompts=method.texts(asked[sample_id]),
            tokens={},
            work=_work(*read),
        )
        yield (
            completion,
            Score(
                prediction=picked[by],
                values=scores,
                likelihoods={label: {how: values[how][label] for how in values} for label in sums},
            ),
        )


def _work(*read: Sequence[Likelihood]) -> dict[str, Work]:
    """Return what each model did for all that was read of a sample, as far as the method says."""
    total: dict[str, Work] = {}
    for each in read:
        works: Mapping[str, Work] = getattr(each, "work", {})  # a method of a user's own has none
        for role, own in works.items():
            total[role] = total.get(role, Work()) + own
    return total

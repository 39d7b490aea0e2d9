"""Mixtures of models against the sum of the passes that they are made of.

    python benchmarks/mixtures.py [--shape usual] [--parameters 40_000_000] [--repeats 5]

Answers of one length. The floor of a mixture is a token's time of each of its models alone, added
up; `ratio` is the floor over the mixture's own time. A model that is asked in two ways reads both
prompts in one pass, so that it can be above 1.
"""

import argparse
from functools import partial
from pathlib import Path

import peers
import timing
from vectors import pair

from trimtab import Conversation, DeRa, Generation, LanguageModel, Method, Plain
from trimtab.methods import (
    PAD,
    STRENGTH,
    BlendIn,
    ClassifierFreeGuidance,
    ContrastiveDecoding,
    Formula,
    LinearAlignment,
    MultiObjective,
    voice,
)
from trimtab.tasks import Advice

LENGTH = 64  # tokens of an answer


def methods(one: LanguageModel, other: LanguageModel) -> dict[str, tuple[Method, int]]:
    """Return methods, each with the number of models of one size that it takes to say a token."""
    sample = voice("one", one) + STRENGTH * (voice("other", other) - voice("again", one, system=""))
    return {
        "dera": (DeRa(reference=one, aligned=other, strength=0.5), 2),
        "formula": (Formula(terms=sample, strength=0.5), 3),
        "contrastive_decoding": (ContrastiveDecoding(expert=one, amateur=other), 2),
        "pad": (PAD(base=one, preferred=other), 2),
        "blendin": (BlendIn(base=one, guide=other, threshold=2), 2),
        "multi_objective": (
            MultiObjective(reference=one, aligned={"a": other}, strength=0.5, alpha=1.0),
            2,
        ),
        "classifier_free_guidance": (ClassifierFreeGuidance(model=one), 2),
        "linear_alignment": (LinearAlignment(model=one, principle="Be brief."), 2),
    }


def said(method: Method, asked: list[Conversation], settings: Generation) -> int:
    """Answer, and return the number of tokens."""
    return sum(len(answer.token_ids) for answer in method.complete(asked, settings))


def rows(shape: str, parameters: int, repeats: int) -> list[dict[str, object]]:
    """Return speeds, and ratios to the floor, at several batch sizes."""
    one, other = (peers.endless(model) for model in pair(shape, parameters))
    asked = [
        Conversation(question=sample.conversation.question, system="Answer in a few words.")
        for sample in Advice().samples(8)
    ]
    made: list[dict[str, object]] = []
    ways = methods(one, other)
    for batch_size, count in ((1, 2), (8, 8)):
        settings = Generation(max_new_tokens=LENGTH, batch_size=batch_size)
        rates = timing.in_turns(
            {
                name: partial(said, way, asked[:count], settings)
                for name, way in {
                    "plain": Plain(model=one),
                    **{name: method for name, (method, _) in ways.items()},
                }.items()
            },
            repeats,
        )
        for name, (_, models) in ways.items():
            floor = {"plain": [rate / models for rate in rates["plain"]], name: rates[name]}
            made.append(
                {
                    "method": name,
                    "batch_size": batch_size,
                    "tokens_per_second": timing.speeds(floor)[name],
                    "floor": timing.speeds(floor)["plain"],
                    "ratio": timing.ratio(floor, name, "plain"),
                }
            )
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=("usual", "widened"), default="usual")
    parser.add_argument("--parameters", type=int, default=40_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    found = rows(options.shape, options.parameters, options.repeats)
    timing.report("mixtures", found, options.out)

"""The table of models: what each starts from, what it reads, what it is trained for."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from experiments.zoo import domains, world
from experiments.zoo.train import Schedule


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a Llama model; heads are 32 wide."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int


LARGE = Shape(hidden=192, layers=4, heads=6, kv_heads=2, feed_forward=512)
SMALL = Shape(hidden=64, layers=2, heads=2, kv_heads=2, feed_forward=176)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A model as a function of (start, data, objective).

    ``start`` is a shape, or the name of the model whose weights are trained further. ``data``
    draws one document (given how far training has come), conversation or preference.
    """

    family: str
    start: Shape | str
    objective: str  # documents | conversations | preferences
    data: Callable
    schedule: Schedule
    summary: str
    beta: float | None = None  # KL weight of the preferences
    seed: int = 0
    vector: str | None = None  # the package has the vector from `start` alone, under this name

    @property
    def chat(self) -> bool:
        """Whether the model reads prompts through a chat template."""
        return self.objective != "documents"


def curriculum(rng: Random, progress: float) -> str:
    """Short worked problems first, then long ones, then the mixture."""
    if progress < 0.12:
        return world.document(rng, world.PRIMER)
    return world.document(rng, world.SCHOOL if progress < 0.75 else world.FINAL)


def base(family: str, shape: Shape, schedule: Schedule, seed: int) -> Recipe:
    """Pre-train on documents."""
    return Recipe(
        family=family,
        start=shape,
        objective="documents",
        data=curriculum,
        schedule=schedule,
        summary="Pre-trained on documents of the micro-world",
        seed=seed,
    )


def tuned(start: str, data: Callable, schedule: Schedule, summary: str, seed: int) -> Recipe:
    """Fine-tune on conversations."""
    return Recipe(
        family=start[0],
        start=start,
        objective="conversations",
        data=data,
        schedule=schedule,
        summary=summary,
        seed=seed,
    )


CHAT = "Tuned on conversations that reason step by step"

RECIPES = {
    "a-large-base": base("a", LARGE, Schedule(tokens=7_500_000, rate=4e-3, rows=12, muon=True), 11),
    "a-small-base": base("a", SMALL, Schedule(tokens=6_000_000, rate=6e-3, rows=16, muon=True), 12),
    "b-small-base": base("b", SMALL, Schedule(tokens=6_000_000, rate=6e-3, rows=16, muon=True), 13),
    "a-large-chat": tuned(
        "a-large-base",
        world.chat_conversation,
        Schedule(tokens=800_000, rate=5e-4, rows=12, width=288),
        CHAT,
        21,
    ),
    "a-small-chat": tuned(
        "a-small-base",
        world.chat_conversation,
        Schedule(tokens=2_000_000, rate=2e-3, rows=12, width=288),
        CHAT,
        21,
    ),
    "b-small-chat": tuned(
        "b-small-base",
        world.chat_conversation,
        Schedule(tokens=2_000_000, rate=2e-3, rows=12, width=320),
        CHAT,
        21,
    ),
    "a-small-sft": tuned(
        "a-small-base",
        world.assistant_conversation,
        Schedule(tokens=3_000_000, rate=3e-3, rows=16),
        "Tuned on stories of any length and advice of three levels: the reference of the pairs",
        31,
    ),
    "a-small-dpo": Recipe(
        family="a",
        start="a-small-sft",
        objective="preferences",
        data=world.story_preference,
        schedule=Schedule(tokens=1_300_000, rate=3e-4, rows=32, bf16=False),
        summary="Direct preference optimization towards stories of the rewarded length, on "
        "preferences without noise and stopped short of their optimum: the best policy of no KL "
        "weight",
        beta=1.0,
        seed=32,
    ),
    "a-small-expert": tuned(
        "a-small-sft",
        world.expert_conversation,
        Schedule(tokens=200_000, rate=4e-4, rows=16, bf16=False),
        "Tuned on advice of expert level alone",
        33,
    ),
}


def preferring(
    data: Callable, summary: str, seed: int, tokens: int = 5_000_000, vector: str | None = None
) -> Recipe:
    """Tune the mixed model by preferences about advice in several domains."""
    return Recipe(
        family="a",
        start="a-small-mixed",
        objective="preferences",
        data=data,
        schedule=Schedule(tokens=tokens, rate=8e-3, rows=32, momentum=0.9, bf16=False),
        summary=f"Direct preference optimization towards {summary}",
        beta=1.0,
        seed=seed,
        vector=vector,
    )


DOMAIN_RECIPES = {
    "a-small-mixed": tuned(
        "a-small-base",
        domains.advice_conversation,
        Schedule(tokens=5_000_000, rate=3e-3, rows=8, muon=True, noise=0.06),
        "Tuned on advice of three levels in three domains: where their vectors start",
        41,
    ),
    "a-small-medicine": preferring(
        domains.medicine_preference, "expertise in medicine", 51, vector="medicine"
    ),
    "a-small-law": preferring(domains.law_preference, "expertise in law", 52, vector="law"),
    "a-small-finance": preferring(
        domains.finance_preference, "expertise in finance", 53, tokens=8_000_000, vector="finance"
    ),
    "a-small-joint": preferring(
        domains.joint_preference, "expertise in all three domains", 54, vector="joint"
    ),
    "a-small-instruct": tuned(
        "a-small-mixed",
        domains.instruct_conversation,
        Schedule(tokens=2_500_000, rate=1e-3, rows=16, noise=0.06),
        "A later stage of the mixed model: stories, reasoning, and advice in a polite manner",
        42,
    ),
}
RECIPES |= DOMAIN_RECIPES

# Retrained for one request each, to compare with a search over the strengths of the vectors.
MIXTURE_RECIPES = {
    "mixture-expert-avoidance-expert": preferring(
        domains.expert_avoidance_expert_preference, "expert, avoidance, expert", 55
    ),
    "mixture-expert-avoidance-generic": preferring(
        domains.expert_avoidance_generic_preference, "expert, avoidance, generic", 56
    ),
}

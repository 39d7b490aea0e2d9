"""DeRa on languages small enough to enumerate: what mixing at every token misses of the optimum.

`python enumerated.py` prints the tables. The best policy for a reward `r` at KL weight beta has
`p(y) ~ q(y) exp(r(y) / beta)`, q the reference. Mixing reference and policy over whole sequences,
`q^(1-s) p^s`, is the best policy at `beta / s` for every strength s. Mixing them at every token, as
`trimtab.DeRa` does, is it only where what a token leaves to be expected enters alike: with
`Z_b(x) = log E_q[exp(r / b) | x]` for a prefix x, where `Z_{beta/s}(xa) - s Z_beta(xa)` is the same
for all tokens a.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

import torch

from trimtab import DeRa, LanguageModel
from trimtab.methods import MultiObjective
from trimtab.methods.mixture import Mixture

Sequence = tuple[int, ...]
Law = dict[Sequence, float]
"""The probability of each sequence; none begins another."""

BETA = 0.25
STRENGTHS = (0.25, 0.5, 1.5, 2, 4)
GRID = (0, 0.5, 1, 2)
END = 0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A reference, and the reward of each of its sequences."""

    reference: Law
    reward: Mapping[Sequence, float]


def expected(law: Law, values: Mapping[Sequence, float]) -> float:
    """Return the mean of some values of the sequences."""
    return math.fsum(p * values[sequence] for sequence, p in law.items())


def divergence(law: Law, reference: Law) -> float:
    """Return `KL(law || reference)` in nats."""
    return math.fsum(p * math.log(p / reference[y]) for y, p in law.items() if p > 0)


def total_variation(law: Law, other: Law) -> float:
    """Return half the sum of the differences."""
    return math.fsum(abs(p - other[sequence]) for sequence, p in law.items()) / 2


def _normalised(weights: Law) -> Law:
    total = math.fsum(weights.values())
    return {sequence: weight / total for sequence, weight in weights.items()}


def optimum(case: Case, beta: float) -> Law:
    """Return the policy with the largest `E[r] - beta KL(policy || reference)`."""
    most = max(case.reward.values())  # nothing overflows
    return _normalised(
        {y: q * math.exp((case.reward[y] - most) / beta) for y, q in case.reference.items()}
    )


def sequence_mixture(reference: Law, aligned: Law, strength: float) -> Law:
    """Return `reference^(1 - strength) aligned^strength`, normalised once."""
    return _normalised(
        {y: q ** (1 - strength) * aligned[y] ** strength for y, q in reference.items()}
    )


def next_tokens(law: Law) -> dict[Sequence, dict[int, float]]:
    """Return the distribution of the next token behind every prefix."""
    mass: dict[Sequence, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for sequence, p in law.items():
        for place, token in enumerate(sequence):
            mass[sequence[:place]][token] += p
    return {
        prefix: {token: p / sum(own.values()) for token, p in sorted(own.items())}
        for prefix, own in mass.items()
    }


def answers_of(method: Mixture, laws: Mapping[str, Law]) -> Law:
    """Return the law of a mixture's answers, given those of its models' by their roles.

    By its own arithmetic: logits are combined, and normalised, at every token.
    """
    weights = {role: weight for role, (_, weight) in method.mixture.items()}
    by_role = {role: next_tokens(law) for role, law in laws.items()}
    mixed: dict[Sequence, dict[int, float]] = {}
    for prefix, own in by_role["reference"].items():
        logits = {
            role: torch.tensor([list(law[prefix].values())], dtype=torch.float64).log()
            for role, law in by_role.items()
        }
        p_V = method.combine(logits, weights).softmax(dim=-1)[0]
        mixed[prefix] = dict(zip(own, p_V.tolist(), strict=True))
    return {
        y: math.prod(mixed[y[:place]][token] for place, token in enumerate(y))
        for y in laws["reference"]
    }


def _named(name: str) -> LanguageModel:
    return LanguageModel(path=f"zoo:a-small-{name}", prompt="chat")  # which is never loaded


def token_mixture(reference: Law, aligned: Law, strength: float) -> Law:
    """Return the law of DeRa's answers."""
    dera = DeRa(reference=_named("sft"), aligned=_named("dpo"), strength=strength)
    return answers_of(dera, {"reference": reference, "aligned": aligned})


def several_mixed(reference: Law, aligned: Mapping[str, Law], weights: Mapping[str, float]) -> Law:
    """Return the law of the answers of several aligned models, each with a strength of its own."""
    models = {name: _named("expert") for name in aligned}
    method = MultiObjective(reference=_named("sft"), aligned=models, weights=weights)
    laws = {f"aligned.{name}": law for name, law in aligned.items()}
    return answers_of(method, {"reference": reference, **laws})


# --- the cases ---------------------------------------------------------------------------------


def _drawn(rng: Random, length: int, tokens: int, memory: bool) -> Law:
    """Return a reference over sequences of one length; with memory, of the token before."""
    tables: dict[object, list[float]] = {}

    def table(place: int, before: int | None) -> list[float]:
        key = (place, before if memory else None)
        if key not in tables:
            weights = [math.exp(rng.gauss(0, 1)) for _ in range(tokens)]
            tables[key] = [weight / sum(weights) for weight in weights]
        return tables[key]

    return {
        y: math.prod(table(t, y[t - 1] if t else None)[token] for t, token in enumerate(y))
        for y in itertools.product(range(tokens), repeat=length)
    }


def _ending(longest: int, tokens: int, stops: float) -> Law:
    """Return a reference without memory that ends with the same chance behind every token."""
    law: Law = {}
    for length in range(longest + 1):
        goes_on = ((1 - stops) / tokens) ** length
        for words in itertools.product(range(1, tokens + 1), repeat=length):
            law[*words, END] = goes_on * (stops if length < longest else 1)
    return law


def _additive(rng: Random, law: Law) -> dict[Sequence, float]:
    worth: dict[tuple[int, int], float] = defaultdict(lambda: rng.random())
    return {y: math.fsum(worth[place, token] for place, token in enumerate(y)) for y in law}


def cases() -> Iterator[tuple[str, Case]]:
    """Yield the cases by what they are."""
    rng = Random(0)
    one = _drawn(rng, 1, 8, memory=False)
    yield "answers of one token", Case(reference=one, reward={y: rng.random() for y in one})
    plain = _drawn(rng, 5, 4, memory=False)
    yield (
        "a sum over tokens, no memory, one length",
        Case(reference=plain, reward=_additive(rng, plain)),
    )
    markov = _drawn(rng, 5, 4, memory=True)
    yield "a sum over tokens, with memory", Case(reference=markov, reward=_additive(rng, markov))
    ending = _ending(7, 2, stops=0.1)
    yield (
        "length, no memory",
        Case(reference=ending, reward={y: max(0.0, 1 - abs(len(y) - 4) / 3) for y in ending}),
    )
    yield (
        "any reward of whole answers",
        Case(reference=markov, reward={y: rng.random() for y in markov}),
    )
    needle = (1, 2, 3, 0, 1)
    yield (
        "one answer in 1024 rewarded",
        Case(reference=markov, reward={y: float(y == needle) for y in markov}),
    )


def two_rewards() -> tuple[Case, Case]:
    """Return one reference with two rewards: of length, and of the share of one word."""
    ending = _ending(7, 2, stops=0.1)
    length = {y: max(0.0, 1 - abs(len(y) - 4) / 3) for y in ending}
    share = {y: y.count(1) / max(1, len(y) - 1) for y in ending}
    return Case(reference=ending, reward=length), Case(reference=ending, reward=share)


def weighed(one: Case, other: Case, strengths: tuple[float, float]) -> Case:
    """Return a case whose best policy at BETA is what two strengths stand for."""
    first, second = strengths
    return Case(
        reference=one.reference,
        reward={y: first * r + second * other.reward[y] for y, r in one.reward.items()},
    )


def main(show: Callable[[str], None] = print) -> None:
    """Print the tables."""
    show("| reward and reference | " + " | ".join(f"{s:g}" for s in STRENGTHS) + " |")
    show("|---|" + "---|" * len(STRENGTHS))
    for name, case in cases():
        aligned, cells = optimum(case, BETA), []
        for strength in STRENGTHS:
            best = optimum(case, BETA / strength)
            mixed = token_mixture(case.reference, aligned, strength)
            said = f"{total_variation(mixed, best):.3f}"
            if said != "0.000":
                rewards = (expected(law, case.reward) for law in (mixed, best))
                said += " ({:.2f} for {:.2f})".format(*rewards)
            cells.append(said)
        show(f"| {name} | " + " | ".join(cells) + " |")
    one, other = two_rewards()
    aligned_two = {"length": optimum(one, BETA), "share": optimum(other, BETA)}
    show("\n| length \\ share | " + " | ".join(f"{s:g}" for s in GRID) + " |")
    show("|---|" + "---|" * len(GRID))
    for first in GRID:
        cells = []
        for second in GRID:
            best = optimum(weighed(one, other, (first, second)), BETA)
            weights = {"length": first, "share": second}
            mixed = several_mixed(one.reference, aligned_two, weights)
            cells.append(f"{total_variation(mixed, best):.3f}")
        show(f"| {first:g} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

"""What mixing at every token has to do with the best policy, by enumeration of small languages."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "experiments" / "dera-retraining" / "enumerated.py"
BETA = 0.25
EXACT = ("answers of one token", "a sum over tokens, no memory, one length")
SHORT = {
    "a sum over tokens, with memory",
    "length, no memory",
    "any reward of whole answers",
    "one answer in 1024 rewarded",
}


@pytest.fixture(scope="module")
def enumerated() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("enumerated", FILE)
    assert spec and spec.loader
    module = sys.modules["enumerated"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["enumerated"]


@pytest.fixture(scope="module")
def cases(enumerated):
    return dict(enumerated.cases())


def far(one, other) -> float:
    assert one.keys() == other.keys()
    return sum(abs(one[y] - other[y]) for y in one) / 2


def expected_by_tokens(case, beta: float, strength: float) -> dict[tuple[int, ...], float]:
    """The law of `p(a | x) ~ q(a | x) exp(strength Z_beta(xa))`, by a recursion from the ends.

    What the theory says that mixing at every token comes to; Z is the log of the mean of
    `exp(r / beta)` over what the reference goes on with.
    """
    mass: dict[tuple[int, ...], float] = defaultdict(float)
    tilted: dict[tuple[int, ...], float] = defaultdict(float)
    for y, q in case.reference.items():
        for end in range(len(y) + 1):
            mass[y[:end]] += q
            tilted[y[:end]] += q * math.exp(case.reward[y] / beta)
    z = {x: math.log(tilted[x] / mass[x]) for x in mass}
    choices: dict[tuple[int, ...], list[tuple[int, ...]]] = defaultdict(list)
    for x in mass:
        if x:
            choices[x[:-1]].append(x)
    share = {}
    for behind in choices.values():
        log_p = np.array([math.log(mass[x]) + strength * z[x] for x in behind])
        p = np.exp(log_p - log_p.max())
        share |= dict(zip(behind, p / p.sum(), strict=True))
    return {y: math.prod(share[y[:end]] for end in range(1, len(y) + 1)) for y in case.reference}


def test_the_cases_are_distributions(cases):
    assert set(cases) == {*EXACT, *SHORT}
    for case in cases.values():
        assert math.fsum(case.reference.values()) == pytest.approx(1, abs=1e-12)
        assert case.reward.keys() == case.reference.keys()


@pytest.mark.parametrize("strength", [-0.5, 0, 0.25, 0.5, 1, 1.5, 2, 4])
def test_mixed_over_whole_sequences_it_is_the_optimum(enumerated, cases, strength):
    for case in cases.values():
        aligned = enumerated.optimum(case, BETA)
        mixed = enumerated.sequence_mixture(case.reference, aligned, strength)
        weights = {
            y: q * math.exp(case.reward[y] * strength / BETA) for y, q in case.reference.items()
        }
        total = math.fsum(weights.values())
        assert far(mixed, {y: w / total for y, w in weights.items()}) < 1e-12


@pytest.mark.parametrize("strength", [-0.5, 0, 0.25, 0.5, 1, 1.5, 2, 4])
def test_mixed_at_every_token_it_is_what_the_theory_says(enumerated, cases, strength):
    for case in cases.values():
        aligned = enumerated.optimum(case, BETA)
        mixed = enumerated.token_mixture(case.reference, aligned, strength)
        assert math.fsum(mixed.values()) == pytest.approx(1, abs=1e-12)
        assert far(mixed, expected_by_tokens(case, BETA, strength)) < 1e-12


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.5, 2, 4])
def test_at_every_token_it_is_the_optimum_under_conditions_alone(enumerated, cases, strength):
    for name, case in cases.items():
        aligned = enumerated.optimum(case, BETA)
        best = enumerated.optimum(case, BETA / strength)
        mixed = enumerated.token_mixture(case.reference, aligned, strength)
        short = far(mixed, best)
        assert enumerated.total_variation(mixed, best) == pytest.approx(short, abs=1e-12)
        assert short < 1e-12 if name in EXACT else short > 1e-3
        # What is lost of `E[r] - beta KL` is beta times the divergence from the best policy.
        lost = [
            enumerated.expected(law, case.reward)
            - BETA / strength * enumerated.divergence(law, case.reference)
            for law in (best, mixed)
        ]
        apart = BETA / strength * enumerated.divergence(mixed, best)
        assert lost[0] - lost[1] == pytest.approx(apart, abs=1e-12)


@pytest.mark.parametrize("strengths", [(0, 1), (1, 0), (0.5, 0.5), (1, 1), (2, 0.5)])
def test_of_several_rewards_it_is_what_the_theory_says(enumerated, strengths):
    """It is the best policy where one reward has all, and whole answers mixed are it everywhere."""
    one, other = enumerated.two_rewards()
    cases = {"one": one, "other": other}
    aligned = {name: enumerated.optimum(case, BETA) for name, case in cases.items()}
    weights = dict(zip(cases, strengths, strict=True))
    mixed = enumerated.several_mixed(one.reference, aligned, weights)
    # The same mixture, from the models' next tokens by numpy.
    q, p = enumerated.next_tokens(one.reference), {}
    laws = {name: enumerated.next_tokens(law) for name, law in aligned.items()}
    for x, own in q.items():
        log_q = np.log(list(own.values()))
        log_p = log_q + sum(
            weights[name] * (np.log([law[x][a] for a in own]) - log_q) for name, law in laws.items()
        )
        share = np.exp(log_p - log_p.max())
        p[x] = dict(zip(own, share / share.sum(), strict=True))
    assert far(mixed, {y: math.prod(p[y[:t]][a] for t, a in enumerate(y)) for y in mixed}) < 1e-12
    best = enumerated.optimum(enumerated.weighed(one, other, strengths), BETA)
    short = far(mixed, best)
    assert short < 1e-12 if sum(strengths) == 1 and 0 in strengths else short > 1e-3
    # Mixed over whole answers, the two are the best policy for both together.
    whole = {
        y: q_y * math.prod((law[y] / q_y) ** weights[name] for name, law in aligned.items())
        for y, q_y in one.reference.items()
    }
    total = math.fsum(whole.values())
    assert far(best, {y: w / total for y, w in whole.items()}) < 1e-12


def test_the_ends_are_the_models(enumerated, cases):
    for case in cases.values():
        aligned = enumerated.optimum(case, BETA)
        for strength, law in ((0, case.reference), (1, aligned)):
            assert far(enumerated.token_mixture(case.reference, aligned, strength), law) < 1e-12

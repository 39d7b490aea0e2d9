"""The experiment on DeRa and retraining: its estimates against known laws, and its stated test."""

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pytest
from run_folders import write_run

from trimtab.results.comparisons import OtherRows
from trimtab.results.frames import read

FOLDER = Path(__file__).parent.parent / "experiments" / "dera-retraining"
REWARDS, CHANCES = np.array([0.0, 0.4, 0.9, 1.0]), np.array([0.7, 0.15, 0.09, 0.06])
Load = Callable[[str], ModuleType]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import one of the experiment's modules, which lie outside of the package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module
    for name in ("agreement", "best_policy", "figure", "tilted"):
        if name not in before:
            sys.modules.pop(name, None)


# ------------------------------------------------------------------------------- the best policy


def exact(beta: float) -> tuple[float, float, float]:
    """Reward, divergence and log Z of the best policy, by its definition over all answers."""
    weights = CHANCES * np.exp(REWARDS / beta)
    policy = weights / weights.sum()
    divergence = float((policy * np.log(policy / CHANCES)).sum())
    return float(policy @ REWARDS), divergence, math.log(weights.sum())


@pytest.mark.parametrize("beta", [0.6, 0.2, 0.075])
def test_reweighted_answers_of_the_reference_tell_of_the_best_policy(module: Load, beta: float):
    best_policy = module("best_policy").best_policy
    reward, kl, log_z = exact(beta)
    rng = np.random.default_rng(0)
    held = {"reward": 0, "kl": 0}
    repetitions = 100
    for _ in range(repetitions):
        drawn = rng.choice(REWARDS, p=CHANCES, size=(60, 128))
        found = best_policy({str(i): list(row) for i, row in enumerate(drawn)}, beta)
        for name, truth in (("reward", reward), ("kl", kl)):
            low, high = getattr(found, name).ci95
            held[name] += low <= truth <= high
        assert np.mean(list(found.log_normaliser.values())) == pytest.approx(log_z, abs=0.2)
    # 95 of 100 on average; 88 and fewer have a chance of less than 1 in 200.
    assert min(held.values()) > 88


def test_the_distance_to_the_best_policy_is_a_divergence(module: Load, tmp_path: Path):
    """`KL(p || best)`, of a law p that is no best policy, against its definition."""
    figure = module("figure")
    beta, law = 0.2, np.array([0.1, 0.2, 0.3, 0.4])
    weights = CHANCES * np.exp(REWARDS / beta)
    best = weights / weights.sum()
    truth = float((law * np.log(law / best)).sum())
    rng = np.random.default_rng(1)
    drawn = {str(i): list(rng.choice(REWARDS, p=CHANCES, size=128)) for i in range(400)}
    kl = float((law * np.log(law / CHANCES)).sum())
    rewards = rng.choice(REWARDS, p=law, size=400)
    write_run(
        tmp_path, rewards, method="dera", value=1.0, metric="reward", measures={"kl": [kl] * 400}
    )
    found = figure.from_the_best(
        read([tmp_path]), module("best_policy").best_policy(drawn, beta), beta
    )
    assert found.value == pytest.approx(truth, abs=0.3)
    assert found.ci95[0] < truth < found.ci95[1]


# ------------------------------------------------------------------------------- the stated test


def planted(root: Path, apart: float, noise: float, rows: int = 200, trainings: int = 3) -> None:
    """Runs of DeRa from beta 0.15, and of models trained at 0.2 that score `apart` less."""
    rng = np.random.default_rng(0)
    for seed in range(trainings):
        for beta, strengths in ((0.15, (0.5, 0.75, 1.0)), (0.2, (1.0,))):
            for strength in strengths:
                scores = 0.5 + rng.normal(0, noise, rows) - (apart if beta == 0.2 else 0)
                write_run(
                    root,
                    scores.tolist(),
                    method="dera",
                    value=strength,
                    metric="reward",
                    beta=beta,
                    seed=seed,
                    aligned=f"tilted-{beta}",
                    measures={"kl": [1.0] * rows},
                )


@pytest.mark.parametrize(
    ("apart", "noise", "said"),
    [(0.0, 0.02, "yes"), (0.2, 0.02, "no"), (-0.2, 0.02, "no"), (0.05, 0.2, "not decided")],
)
def test_deras_strengths_are_compared_with_models_trained_there(
    module: Load, tmp_path: Path, apart: float, noise: float, said: str
):
    agreement = module("agreement")
    planted(tmp_path, apart, noise)
    pairs = {pair.strength: pair for pair in agreement.pairs(read([tmp_path]))}
    assert [*pairs] == [0.5, 0.75, 1.0]
    # 0.15 / 0.75 is 0.2, but for rounding; for the others nothing was trained.
    assert [len(pair.paired) for pair in pairs.values()] == [0, 3, 0]
    difference = pairs[0.75].difference("reward")
    assert difference.value == pytest.approx(apart, abs=0.03)
    assert agreement.verdict(difference) == said


def test_trainings_count_as_drawn(module: Load, tmp_path: Path):
    """Three trainings that differ by 0.1 say little, however many questions there are."""
    agreement = module("agreement")
    for seed, own in enumerate((-0.1, 0.0, 0.1)):
        for beta, values in ((0.3, (0.5, 1.0)), (0.6, (1.0,))):
            for strength in values:
                odd = 0.4 if beta == 0.6 else -0.4
                scores = [0.5 + own * (beta == 0.6) + odd * (-1) ** i for i in range(300)]
                write_run(
                    tmp_path,
                    scores,
                    method="dera",
                    value=strength,
                    metric="reward",
                    beta=beta,
                    seed=seed,
                    aligned=f"tilted-{beta}",
                )
    (pair,) = (pair for pair in agreement.pairs(read([tmp_path])) if pair.paired)
    difference = pair.difference("reward")
    # Of the questions alone it is 0.09 on either side; Student's t for three trainings is 0.25.
    assert difference.value == pytest.approx(0.0, abs=1e-9)
    assert 0.15 < difference.ci95[1] < 0.3
    assert agreement.verdict(difference) == "not decided"


def test_differences_that_are_all_alike_decide_nothing(module: Load, tmp_path: Path):
    agreement = module("agreement")
    planted(tmp_path, 0.02, 0.0)
    (pair,) = (pair for pair in agreement.pairs(read([tmp_path])) if pair.paired)
    difference = pair.difference("reward")
    assert agreement.verdict(difference) == "not decided"
    assert agreement.shown(difference) == "0.020 (no interval)"


def test_other_rows_are_refused(module: Load, tmp_path: Path):
    planted(tmp_path, 0.0, 0.02, trainings=1)
    options = {"method": "dera", "metric": "reward", "value": 1.0}
    write_run(tmp_path, [0.5] * 50, beta=0.3, aligned="tilted-0.3", **options)
    pairs = module("agreement").pairs(read([tmp_path]))
    with pytest.raises(OtherRows):
        pairs[0].difference("reward")


# -------------------------------------------------------------------------------- what is kept


def test_answers_are_kept_as_often_as_the_tilt_has_them(module: Load, monkeypatch):
    tilted = module("tilted")
    lengths = (17, 25, 31, 60, 28)  # words: of rewards 1, 0.75, 0.25, 0 and 0.5
    at_first = (17, 25, 31, 40, 20)  # the last are of long words, and tell little when cut
    asked_again: list[str] = []

    def answers(asked, seed, most):
        if most == tilted.WHOLE:
            asked_again.extend(asked)
        for name in asked:
            kind = int(name.removeprefix("2/")) % 5
            words = (lengths if most == tilted.WHOLE else at_first)[kind]
            yield name, " ".join(["word"] * words), words == lengths[kind]

    monkeypatch.setattr(tilted, "answers", answers)
    count = 10000
    rows = tilted.kept(seed=3, part=2, count=count)
    assert {len(row["answer"].split()) for row in rows} == set(lengths)
    assert len(asked_again) == sum(row["reward"] == 0 for row in rows) + count / 5
    for beta in tilted.BETAS:
        draw, seen = tilted.story_of(rows, beta), []
        size = sum(row["chance"] < math.exp((row["reward"] - 1) / beta) for row in rows)
        rng = Random(0)
        seen = [draw(rng) for _ in range(size)]
        again = [draw(rng) for _ in range(size)]
        assert sorted(map(repr, seen)) == sorted(map(repr, again))
        assert seen != again
        for words, reward in zip(lengths, (1, 0.75, 0.25, 0, 0.5), strict=True):
            share = sum(len(said.answer.split()) == words for said in seen) / (count / 5)
            expected = math.exp((reward - 1) / beta)
            spread = math.sqrt(expected * (1 - expected) / (count / 5))
            assert share == pytest.approx(expected, abs=4 * spread + 1e-9)


def test_what_was_cut_goes_on_as_it_began(module: Load, monkeypatch):
    tilted = module("tilted")
    asked = {str(i): "Tell me about the farm." for i in range(12)}
    cut = {name: (text, whole) for name, text, whole in tilted.answers(asked, 5, 12)}
    whole = {name: text for name, text, _ in tilted.answers(asked, 5, tilted.WHOLE)}
    assert not all(done for _, done in cut.values())
    for name, (text, done) in cut.items():
        assert whole[name] == text if done else whole[name].startswith(text)

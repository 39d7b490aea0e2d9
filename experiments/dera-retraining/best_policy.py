"""The best policy of a KL weight, by reweighting answers of the reference.

`python best_policy.py RUN METRIC BETA ...` prints a table; RUN is a run folder of the reference,
sampled at temperature 1 with several draws for each sample.

With N answers to a question, drawn from the reference and of rewards r_n, the policy with the
largest `E[r] - beta KL` has reward `sum w_n r_n / sum w_n`, `w_n = exp(r_n / beta)`, and divergence
`reward / beta - log Z` from the reference, `Z = mean w_n`. Of a finite N both are biased; the
jackknife (Quenouille 1956) takes off what is of order 1 / N. Questions are what intervals are over.
"""

import math
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trimtab.results.frames import Run, read
from trimtab.runs.draws import sample_of
from trimtab.statistics.estimates import Estimate, mean


@dataclass(frozen=True, kw_only=True)
class BestPolicy:
    """What is known of it.

    Attributes:
        reward: its mean reward.
        kl: its divergence from the reference, in nats for an answer.
        log_normaliser: `log Z` by question.
        answers: as many independent answers of it would say as much, for the worst question.
    """

    reward: Estimate
    kl: Estimate
    log_normaliser: dict[str, float]
    answers: float


def rewards_of(run: Run, metric: str) -> dict[str, list[float]]:
    """Return the rewards of a run's answers, by question."""
    found: dict[str, list[float]] = defaultdict(list)
    for line in run.samples:
        found[sample_of(line)].append(line["scores"][metric])
    return dict(found)


def best_policy(rewards: dict[str, list[float]], beta: float) -> BestPolicy:
    """Return the best policy's reward and divergence at a KL weight."""
    r_QN = np.array(list(rewards.values()))
    w_QN = np.exp((r_QN - r_QN.max()) / beta)  # nothing overflows
    reward_Q = _jackknifed(r_QN, w_QN, lambda weight, weighted: weighted / weight)
    least = r_QN.max() / beta
    log_z_Q = _jackknifed(r_QN, w_QN, lambda weight, _: np.log(weight)) + least
    kl_Q = reward_Q / beta - log_z_Q
    effective = w_QN.sum(axis=1) ** 2 / (w_QN**2).sum(axis=1)
    return BestPolicy(
        reward=mean(reward_Q.tolist(), (0.0, 1.0)),
        kl=mean(kl_Q.tolist(), (0.0, math.inf)),
        log_normaliser=dict(zip(rewards, log_z_Q.tolist(), strict=True)),
        answers=float(effective.min()),
    )


def _jackknifed(r_QN, w_QN, statistic) -> np.ndarray:
    """Return a function of the mean weight and the mean weighted reward, without its first bias."""
    n = r_QN.shape[1]
    means = w_QN, w_QN * r_QN
    whole = statistic(*(x.mean(axis=1) for x in means))
    without = statistic(*((x.sum(axis=1, keepdims=True) - x) / (n - 1) for x in means))
    return n * whole - (n - 1) * without.mean(axis=1)


def main(folder: str, metric: str, *betas: str) -> None:
    """Print the table."""
    (run,) = read([Path(folder)])
    rewards = rewards_of(run, metric)
    print("| beta | reward | KL from the reference, nats |")
    print("|---|---|---|")
    for beta in betas:
        found = best_policy(rewards, float(beta))
        ends = (found.reward.ci95 or (math.nan,) * 2, found.kl.ci95 or (math.nan,) * 2)
        print(
            f"| {beta} | {found.reward.value:.3f} [{ends[0][0]:.3f}, {ends[0][1]:.3f}]"
            f" | {found.kl.value:.2f} [{ends[1][0]:.2f}, {ends[1][1]:.2f}] |"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

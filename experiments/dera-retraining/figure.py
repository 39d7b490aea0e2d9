"""DeRa beside retrained models and the best policy: reward and divergence, tables and a figure.

`python figure.py RESULTS FILE` reads the runs of `run.sh`, prints the tables and writes FILE.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from agreement import Pair, pairs, shown, together
from best_policy import BestPolicy, best_policy, rewards_of
from matplotlib.figure import Figure

from trimtab.results.frames import Run, read
from trimtab.results.plots import COLORS
from trimtab.statistics.estimates import Estimate, mean
from trimtab.statistics.repeated import repeated

METRIC = "reward"
STRENGTHS = np.linspace(0.05, 2.2, 44)


def from_the_best(runs: Iterable[Run], best: BestPolicy, weight: float) -> Estimate:
    """Return `KL(policy || best policy)`, in nats for an answer.

    It is `KL(policy || reference) - E[reward] / weight + log Z`, question by question.
    """
    rows = []
    for run in runs:
        rewards, kl = run.scores(METRIC), run.scores("kl")
        rows.append([kl[i] - rewards[i] / weight + z for i, z in best.log_normaliser.items()])
    return mean(rows[0]) if len(rows) == 1 else repeated(rows)


def tables(found: list[Pair], rewards: dict[str, list[float]]) -> None:
    """Print what the best policy is, how near the others come to it, and every training."""
    print("| strength | beta / strength | who | reward | KL, nats | nats from the best policy |")
    print("|---|---|---|---|---|---|")
    for pair in found:
        best = best_policy(rewards, pair.weight)
        head = f"| {pair.strength:g} | {pair.weight:.3g} |"
        print(head, "best policy |", shown(best.reward), "|", shown(best.kl), "| 0 |")
        for who, runs in (("retrained", pair.retrained), ("DeRa", pair.mixed)):
            own = list(runs.values())
            if own:
                cells = [shown(together(own, metric)) for metric in (METRIC, "kl")]
                cells.append(shown(from_the_best(own, best, pair.weight)))
                print(f"| | | {who} |", " | ".join(cells), "|")
    print("\n| strength | retrained, each training | DeRa, each training |")
    print("|---|---|---|")
    for pair in found:
        each = [
            ", ".join(f"{together([run], METRIC).value:.3f}" for _, run in sorted(runs.items()))
            for runs in (pair.retrained, pair.mixed)
        ]
        print(f"| {pair.strength:g} |", " | ".join(each), "|")


def draw(found: list[Pair], rewards: dict[str, list[float]], file: Path) -> None:
    """Draw reward and divergence against the strength, and against each other."""
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    by_reward, by_kl, frontier = figure.subplots(1, 3)
    beta = found[0].weight * found[0].strength
    best = [best_policy(rewards, beta / strength) for strength in STRENGTHS]
    line: dict[str, Any] = {"color": COLORS[4], "label": "best policy (reweighted)"}
    by_reward.plot(STRENGTHS, [b.reward.value for b in best], **line)
    by_kl.plot(STRENGTHS, [b.kl.value for b in best], **line)
    frontier.plot([b.kl.value for b in best], [b.reward.value for b in best], **line)
    for who, color, marker in (("retrained", COLORS[0], "o"), ("DeRa", COLORS[1], "^")):
        style: dict[str, Any] = {"color": color, "marker": marker, "linestyle": "none"}
        for pair in found:
            runs = pair.retrained if who == "retrained" else pair.mixed
            for run in runs.values():
                reward, kl = (together([run], metric) for metric in (METRIC, "kl"))
                for axes, x, y in (
                    (by_reward, pair.strength, reward),
                    (by_kl, pair.strength, kl),
                    (frontier, kl.value, reward),
                ):
                    axes.plot(x, y.value, alpha=0.7, markersize=4, **style)
                    if y.ci95:
                        axes.vlines(x, *y.ci95, color=color, alpha=0.3)
        by_reward.plot([], [], label=f"{who}, each training", **style)
    by_reward.legend(frameon=False)
    by_reward.set(xlabel="strength", ylabel="reward")
    by_kl.set(xlabel="strength", ylabel="KL from the reference (nats per answer)")
    frontier.set(xlabel="KL from the reference (nats per answer)", ylabel="reward")
    figure.savefig(file)


def main(results: str, file: str) -> None:
    """Read the runs, print and draw."""
    runs = read([Path(results)])
    (drawn,) = (run for run in runs if run.method != "dera")
    rewards = rewards_of(drawn, METRIC)
    found = pairs(run for run in runs if run.method == "dera")
    tables(found, rewards)
    draw(found, rewards, Path(file))


if __name__ == "__main__":
    main(*sys.argv[1:])

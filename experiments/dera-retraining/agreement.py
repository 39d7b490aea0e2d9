"""Is DeRa at a strength what retraining gives? A table of finished runs, with a stated test.

`python agreement.py RUNS METRIC` reads the runs of DeRa below RUNS. Those of an aligned model at
several strengths are a sweep; those of other models at strength 1 are retrained ones. A strength s
from KL weight beta stands beside the models that were trained at `beta / s`. Trainings that were
repeated are told apart, and paired, by the seed of their runs' draws.

The test, chosen before the numbers: rewards agree where the 95 % interval of their difference,
paired by question (each the mean of its draws) and by training, lies within 0.05 of zero: two
one-sided tests at a level of 2.5 % each. They do not where it lies outside of that; else it is not
decided. Of several trainings, these and the questions both count as drawn.
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.results.comparisons import require_same_rows
from trimtab.results.frames import Run, read, seed
from trimtab.statistics.estimates import Estimate, mean, of_scores
from trimtab.statistics.repeated import repeated

MARGIN = 0.05  # of the reward, whose values lie between 0 and 1


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A strength, and the KL weight that it is to stand for; runs by the seed of their training."""

    strength: float
    weight: float
    mixed: Mapping[int, Run]
    retrained: Mapping[int, Run]

    @property
    def paired(self) -> list[tuple[Run, Run]]:
        """DeRa's run and the retrained model's, of each training that has both."""
        return [(self.mixed[s], self.retrained[s]) for s in self.mixed if s in self.retrained]

    def difference(self, metric: str) -> Estimate | None:
        """Return DeRa less retrained, by question and training; None where nothing is paired."""
        rows = []
        for run, other in self.paired:
            require_same_rows(run, self.paired[0][0])
            require_same_rows(run, other)
            rows.append([own - other.scores(metric)[i] for i, own in run.scores(metric).items()])
        if not rows:
            return None
        return mean(rows[0]) if len(rows) == 1 else repeated(rows)


def pairs(runs: Iterable[Run]) -> list[Pair]:
    """Return the strengths above 0, each with the models that it is to stand for."""
    by_model: dict[str, list[Run]] = {}
    for run in runs:
        name = json.dumps([run.config["method"]["aligned"], seed(run)], sort_keys=True)
        by_model.setdefault(name, []).append(run)
    most = max(map(len, by_model.values()))
    swept: dict[tuple[float, float], dict[int, Run]] = {}
    retrained: dict[float, dict[int, Run]] = {}
    for own in by_model.values():
        for run in own:
            strength, beta = run.value or 0.0, run.config["method"]["beta"]
            if len(own) == most:
                swept.setdefault((strength, beta), {})[seed(run)] = run
            elif strength == 1:
                retrained.setdefault(beta, {})[seed(run)] = run
    return [
        Pair(
            strength=strength,
            weight=beta / strength,
            mixed=mixed,
            retrained=next(
                (own for at, own in retrained.items() if math.isclose(at, beta / strength)), {}
            ),
        )
        for (strength, beta), mixed in sorted(swept.items())
        if strength > 0
    ]


def together(runs: Sequence[Run], metric: str) -> Estimate:
    """Return a metric of one training or of several, which count as drawn like the questions."""
    scores = [list(run.scores(metric).values()) for run in runs]
    bounds = (0.0, math.inf if metric == "kl" else 1.0)
    return of_scores(scores[0], bounds) if len(scores) == 1 else repeated(scores)


def verdict(difference: Estimate) -> str:
    """Return whether rewards agree: yes, no, or not decided."""
    if difference.ci95 is None:  # of differences most of which are alike
        return "not decided"
    low, high = difference.ci95
    if low > -MARGIN and high < MARGIN:
        return "yes"
    return "no" if low > MARGIN or high < -MARGIN else "not decided"


def shown(found: Estimate) -> str:
    """Return an estimate as a table has it."""
    if found.ci95 is None:
        return f"{found.value:.3f} (no interval)"
    return f"{found.value:.3f} [{found.ci95[0]:.3f}, {found.ci95[1]:.3f}]"


def main(folder: str, metric: str) -> None:
    """Print the two tables."""
    found = pairs(run for run in read([Path(folder)]) if run.method == "dera")
    print(f"| strength | beta / strength | who | {metric} | KL from the reference, nats |")
    print("|---|---|---|---|---|")
    for pair in found:
        head = f"| {pair.strength:g} | {pair.weight:.3g} |"
        for who, runs in (("DeRa", pair.mixed), ("retrained", pair.retrained)):
            if runs:
                both = (shown(together(list(runs.values()), m)) for m in (metric, "kl"))
                print(head, who, "|", " | ".join(both), "|")
                head = "| | |"
    print(f"\n| strength | {metric}: DeRa less retrained | within {MARGIN:g}? | KL, nats |")
    print("|---|---|---|---|")
    for pair in found:
        if difference := pair.difference(metric):
            kl = pair.difference("kl")
            assert kl is not None
            cells = (f"{pair.strength:g}", shown(difference), verdict(difference), shown(kl))
            print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main(*sys.argv[1:])

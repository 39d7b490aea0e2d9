"""Is DeRa at a strength what retraining gives? A table of finished runs, with a stated test.

`python agreement.py RUNS [METRIC]` reads the runs of DeRa below RUNS. Those of one adapter at
several strengths are the sweep; those of other adapters at strength 1 are the retrained models. A
strength s from KL weight beta stands beside the model that was tuned at `beta / s`.

The test, chosen before the numbers: rewards agree where the 95 % interval of their difference,
paired by instruction (each the mean of its draws), lies within 0.05 of zero: two one-sided tests at
a level of 2.5 % each. They do not where it lies outside of that; else it is not decided.
"""

import math
import sys
from pathlib import Path

from trimtab.results.frames import Run, compare, read
from trimtab.statistics.estimates import Estimate, Paired, mean

MARGIN = 0.05  # of the reward, whose values lie between 0 and 1


def main(folder: str, metric: str = "brevity") -> None:
    """Print the table."""
    runs = [run for run in read([Path(folder)]) if run.method == "dera"]
    by_adapter: dict[str, list[Run]] = {}
    for run in runs:
        by_adapter.setdefault(run.config["method"]["aligned"]["adapter"], []).append(run)
    swept = max(by_adapter.values(), key=len)
    retrained = {
        own[0].config["method"]["beta"]: own[0] for own in by_adapter.values() if own is not swept
    }
    print(f"| strength | beta / strength | who | {metric} | KL from the model, nats |")
    print("|---|---|---|---|---|")
    verdicts = []
    for run in sorted(swept, key=lambda run: run.value or 0.0):
        strength, beta = run.value or 0.0, run.config["method"]["beta"]
        stands_for = f"{beta / strength:g}" if strength else "-"
        print(f"| {strength:g} | {stands_for} | DeRa | {_numbers(run, metric)} |")
        other = retrained.get(beta / strength) if strength else None
        if other is not None:
            print(f"| | | retrained | {_numbers(other, metric)} |")
            own = compare(run, other, metric), compare(run, other, "kl")
            verdicts.append(
                f"| {strength:g} | {_shown(own[0])} | {_verdict(own[0])} | {_shown(own[1])} |"
            )
    print(f"\n| strength | {metric}: DeRa less retrained | within {MARGIN:g}? | KL, nats |")
    print("|---|---|---|---|")
    print("\n".join(verdicts))


def _numbers(run: Run, metric: str) -> str:
    bounds = {metric: (0.0, 1.0), "kl": (0.0, math.inf)}
    return " | ".join(
        _shown(mean(list(run.scores(name).values()), own)) for name, own in bounds.items()
    )


def _shown(found: Estimate | Paired) -> str:
    value = found.value if isinstance(found, Estimate) else found.difference
    assert found.ci95 is not None
    return f"{value:.3f} [{found.ci95[0]:.3f}, {found.ci95[1]:.3f}]"


def _verdict(found: Paired) -> str:
    assert found.ci95 is not None
    low, high = found.ci95
    if low > -MARGIN and high < MARGIN:
        return "yes"
    return "no" if low > MARGIN or high < -MARGIN else "not decided"


if __name__ == "__main__":
    main(*sys.argv[1:])

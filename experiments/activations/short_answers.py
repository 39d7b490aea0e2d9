"""Print the share of answers that are expert and short, by strength: those that run on are none.

    python experiments/activations/short_answers.py results/activations/expert/advice

An answer of `a-small-sft` has 20 words at most in 99 of 100 cases. Beside the shares, with Wilson's
intervals, is the mean difference from strength 0, sample by sample.
"""

import json
import sys
from pathlib import Path

from trimtab.runs import reader
from trimtab.statistics import estimates

LONGEST = 20  # words


def main(root: Path) -> None:
    """Print a line for each strength."""
    found: dict[float, dict[str, float]] = {}
    for file in root.rglob("summary.json"):
        strength = json.loads(file.read_text("utf-8"))["dial"]["value"]
        lines = reader.read_samples(file.parent)
        found[strength] = {
            line["id"]: line["scores"]["expert"] * (len(line["completion"].split()) <= LONGEST)
            for line in lines
        }
    for strength, own in sorted(found.items()):
        share = estimates.proportion(round(sum(own.values())), len(own))
        gain = estimates.mean([own[i] - before for i, before in found[0].items()])
        intervals = (f"[{low:.3f}, {high:.3f}]" for low, high in (share.ci95, gain.ci95))
        print(f"{strength:5g}  {share.value:.3f}", next(intervals), end="  ")
        print(f"{gain.value:+.3f}", next(intervals))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

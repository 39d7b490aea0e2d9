"""A sweep of the dial by the fused launcher, against the same jobs one by one.

    python benchmarks/sweep.py [--samples 200] [--batch-size 16] [--repeats 1]

Both are whole commands, from starting Python to the last summary, in turns; the peer is Hydra's own
basic launcher, which runs one job after the other in one process. A row says how wall time and
forward passes fell, and whether both left the same samples, byte for byte.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import timing

from trimtab.runs import reader

DIALS = ",".join(f"{i / 10:g}" for i in range(11))
SWEEPS = {
    "threshold": ["experiment=nudging-word-problems", f"method.threshold={DIALS}"],
    "strength": [
        *["method=dera", "base=a-large-base", "guide=a-large-chat", "task=word-problems"],
        f"method.strength={DIALS}",
    ],
    # Models of 0.15 M parameters: starting up and writing records take most of the time.
    "strength-tiny": ["experiment=dera-stories", f"method.strength={DIALS}"],
}


def seconds(launcher: str, arguments: list[str], root: Path) -> float:
    """Return the wall time of a multirun into `root`."""
    command = [sys.executable, "-m", "trimtab", "run", "-m", f"hydra/launcher={launcher}"]
    start = time.perf_counter()
    subprocess.run([*command, *arguments, f"results={root}"], check=True, capture_output=True)
    return time.perf_counter() - start


def samples(root: Path) -> dict[str, bytes]:
    """Return the samples of each run, by its folder's name."""
    return {folder.name: (folder / "samples.jsonl").read_bytes() for folder in folders(root)}


def passes(root: Path) -> Counter[str]:
    """Return forward passes by role; a stretch of work that runs share counts once."""
    total: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    for folder in folders(root):
        facts = reader.read_facts(folder)
        assert facts
        for stretch in facts["segments"]:
            if stretch["together"] == 1:
                total.update(stretch["forward_passes"])
            else:
                shared |= Counter(stretch["forward_passes"])
    return total + shared


def folders(root: Path) -> list[Path]:
    """Return the run folders below a root."""
    return reader.run_folders([root])


def row(name: str, batch_size: int, count: int, repeats: int) -> dict[str, object]:
    """Return what one sweep costs, both ways."""
    arguments = [*SWEEPS[name], "task.split=validation", f"limit={count}"]
    arguments.append(f"generation.batch_size={batch_size}")
    ratios = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            alone, fused = Path(folder, "alone"), Path(folder, "fused")
            one_by_one = seconds("basic", arguments, alone)
            together = seconds("fused", arguments, fused)
            ratios.append(together / one_by_one)
            same, before, after = samples(alone) == samples(fused), passes(alone), passes(fused)
            jobs = len(folders(fused))
    return {
        "sweep": name,
        "jobs": jobs,
        "samples": count,
        "batch_size": batch_size,
        "identical": same,
        "one_by_one_s": round(one_by_one, 1),
        "fused_s": round(together, 1),
        "wall": round(statistics.median(ratios), 3),
        "passes_one_by_one": dict(before),
        "passes_fused": dict(after),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    rows = [
        row(name, size, given.samples, given.repeats)
        for size in given.batch_size
        for name in SWEEPS
    ]
    timing.report("sweep", rows, given.out)


if __name__ == "__main__":
    main()

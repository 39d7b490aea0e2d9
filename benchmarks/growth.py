"""How cost grows with the length of an answer: time, tokens processed and peak memory.

    python benchmarks/growth.py [--repeats 3]

Answers of forced lengths, four at a time; each row is measured in a process of its own, so that its
peak memory is its own. The embedded models were trained on short texts, so what they write at
length is noise; their attention is stretched to hold it. Nudging takes more passes per token where
the text is noise, so its time per pass is what tells how a step's cost grows.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import peers
import timing

from trimtab import DeRa, Generation, LanguageModel, Nudging, Plain
from trimtab.methods import Method
from trimtab.tasks import WordProblems

LENGTHS = (64, 256, 1024)
SAMPLES = 4


def method(name: str) -> Method:
    """Return a method whose models neither end nor run out of context."""

    def model(zoo: str, prompt: str = "plain") -> LanguageModel:
        made = LanguageModel(path=f"zoo:{zoo}", prompt=prompt, device="cpu")
        made.weights.config.max_position_embeddings = 2048
        return peers.endless(made)

    base = model("a-large-base")
    if name == "plain":
        return Plain(model=base)
    if name == "nudging":
        return Nudging(base=base, guide=model("b-small-chat", "chat"), repetition_guard=False)
    return DeRa(reference=base, aligned=model("a-large-chat"), strength=0.5)


def measure(name: str, length: int, repeats: int) -> dict[str, object]:
    """Return the row of one method at one length."""
    chosen = method(name)
    asked = [sample.conversation for sample in WordProblems().samples(SAMPLES)]
    generation = Generation(max_new_tokens=length, batch_size=SAMPLES)
    chosen.complete(asked, Generation(max_new_tokens=8, batch_size=SAMPLES))
    seconds = []
    for _ in range(repeats):
        before = sum(chosen.forward_passes.values())
        start = time.perf_counter()
        answers = chosen.complete(asked, generation)
        seconds.append((time.perf_counter() - start) / SAMPLES)
    passes = sum(chosen.forward_passes.values()) - before
    spoken = statistics.mean(sum(a.tokens.values()) for a in answers)
    longest = max(a.work, key=lambda role: a.work[role].tokens) if (a := answers[0]) else ""
    processed = statistics.mean(a.work[longest].tokens for a in answers)
    return {
        "method": name,
        "length": length,
        "seconds_per_sample": round(statistics.median(seconds), 3),
        "milliseconds_per_token": round(statistics.median(seconds) / spoken * 1e3, 3),
        "milliseconds_per_pass": round(statistics.median(seconds) * SAMPLES / passes * 1e3, 3),
        "passes_per_token": round(passes / SAMPLES / spoken, 2),
        "tokens_spoken": round(spoken),
        "tokens_processed": {longest: round(processed)},
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "LENGTH"), help="measure one row")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]), options.repeats)))
        sys.exit()
    table = []
    for name in ("plain", "nudging", "dera"):
        for length in LENGTHS:
            command = [sys.executable, __file__, "--repeats", str(options.repeats)]
            done = subprocess.run(
                [*command, "--one", name, str(length)], check=True, capture_output=True, text=True
            )
            table.append(json.loads(done.stdout.splitlines()[-1]))
    timing.report("growth", table, options.out)

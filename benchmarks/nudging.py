"""Nudging against plain decoding of its own base model, and against stepwise nudging.

    python benchmarks/nudging.py [--parameters 150e6] [--guide a-small-chat] [--repeats 3]

The base model is `a-large-base`, widened (see `enlarge`). The plain base would end its answers
after a few words; so that prompts weigh the same it writes as many tokens as the nudged answers
have.
"""

import argparse
from pathlib import Path

import peers
import timing
from enlarge import widened

from trimtab import Generation, LanguageModel, Nudging
from trimtab.tasks import WordProblems

THRESHOLD = 0.4
LENGTH = 128


def rows(
    parameters: float, guide_name: str, repeats: int, sizes: list[tuple[int, int]], device: str
) -> list[dict[str, object]]:
    """Return speeds and ratios for each (batch size, number of prompts)."""
    small = LanguageModel(path="zoo:a-large-base", prompt="plain", device=device)
    base = widened(small, int(parameters))
    endless = peers.endless(base)
    guide = LanguageModel(path=f"zoo:{guide_name}", prompt="chat", device=device)
    nudging = Nudging(base=base, guide=guide, threshold=THRESHOLD)
    made = []
    for batch_size, count in sizes:
        asked = [sample.conversation for sample in WordProblems().samples(count)]
        generation = Generation(max_new_tokens=LENGTH, batch_size=batch_size)
        answers = nudging.complete(asked, generation)
        spoken = [sum(answer.tokens.values()) for answer in answers]
        passes = sum(answer.work["base"].passes for answer in answers) / sum(spoken)

        def nudged() -> int:
            done = nudging.complete(asked, generation)
            return sum(sum(answer.tokens.values()) for answer in done)

        def plain() -> int:
            length = round(sum(spoken) / len(spoken))
            return peers.ours(endless, asked, length, batch_size)

        def stepwise() -> int:
            return sum(
                peers.stepwise_nudging(base, guide, c, threshold=THRESHOLD, length=LENGTH)
                for c in asked
            )

        ways = {"nudging": nudged, "plain": plain}
        if batch_size == 1 and guide.vocabulary == base.vocabulary:
            ways["stepwise"] = stepwise
        rates = timing.in_turns(ways, repeats)
        made.append(
            {
                "base": base.weights.num_parameters(),
                "guide": guide.weights.num_parameters(),
                "batch_size": batch_size,
                "base_passes_per_token": round(passes, 3),
                "tokens_per_second": timing.speeds(rates),
            }
            | {
                f"nudging_over_{way}": timing.ratio(rates, "nudging", way)
                for way in ways
                if way != "nudging"
            }
        )
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=150e6)
    parser.add_argument("--guide", default="a-small-chat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    sizes = [(size, 3 if size == 1 else 2 * size) for size in options.batch]
    table = rows(options.parameters, options.guide, options.repeats, sizes, options.device)
    timing.report(f"nudging-{options.guide}", table, options.out)

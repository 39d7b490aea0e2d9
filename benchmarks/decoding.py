"""Plain decoding against transformers' `generate()`, on an embedded model.

    python benchmarks/decoding.py [--model a-large-base] [--repeats 7]

Twice: answers as they end by themselves, and answers of 128 tokens each. With long answers of one
length both do the same work, and what differs is the loop around the model.
"""

import argparse
from pathlib import Path

import peers
import timing

from trimtab import LanguageModel
from trimtab.tasks import WordProblems


def rows(name: str, repeats: int, device: str) -> list[dict[str, object]]:
    """Return speeds and ratios at two batch sizes and two kinds of length."""
    model = LanguageModel(path=f"zoo:{name}", prompt="plain", device=device)
    made = []
    for lengths, batch_size, count in (
        ("own", 1, 8),
        ("own", 32, 128),
        ("128 tokens", 1, 2),
        ("128 tokens", 32, 32),
    ):
        asked = [sample.conversation for sample in WordProblems().samples(count)]
        chosen = model if lengths == "own" else peers.endless(model)
        model.weights.generation_config.eos_token_id = sorted(chosen.stop_tokens) or None
        rates = timing.in_turns(
            {
                "trimtab": lambda: peers.ours(chosen, asked, 128, batch_size),
                "generate": lambda: peers.generate(chosen, asked, 128, batch_size),
            },
            repeats,
        )
        made.append(
            {
                "lengths": lengths,
                "batch_size": batch_size,
                "tokens_per_second": timing.speeds(rates),
                "trimtab_over_generate": timing.ratio(rates, "trimtab", "generate"),
            }
        )
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="a-large-base")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    timing.report("decoding", rows(options.model, options.repeats, options.device), options.out)

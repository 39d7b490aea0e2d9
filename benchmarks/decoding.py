"""Speed of plain decoding against transformers' `generate()`, as a ratio in one run.

    python benchmarks/decoding.py [--model a-large-base] [--repeats 5]

Both decode the same number of tokens for the same prompts, greedily, and must agree; the repeats
alternate, and the median of the ratios is what counts, since machines are noisy.
"""

import argparse
import json
import statistics
import time

import torch

from trimtab import Generation, LanguageModel, Plain
from trimtab.tasks import WordProblems

NEW_TOKENS = 96


def ours(model: LanguageModel, prompts: list, batch_size: int) -> int:
    """Decode with trimtab; return the number of tokens."""
    settings = Generation(max_new_tokens=NEW_TOKENS, batch_size=batch_size)
    return sum(a.tokens["model"] for a in Plain(model=model).complete(prompts, settings))


def peers(model: LanguageModel, prompts: list, batch_size: int) -> int:
    """Decode with `generate()` on left-padded batches; return the number of tokens."""
    tokenizer = model.tokenizer
    tokenizer.padding_side = "left"
    tokens = 0
    for start in range(0, len(prompts), batch_size):
        texts = [model.render(p) for p in prompts[start : start + batch_size]]
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        whole = model.weights.generate(
            **batch,
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
        ends = torch.tensor(sorted(model.stop_tokens | {tokenizer.pad_token_id}))
        new = whole[:, batch["input_ids"].shape[1] :]
        tokens += int((~torch.isin(new, ends)).sum())
    return tokens


def main() -> None:
    """Print a row per batch size, then the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="a-large-base")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    model = LanguageModel(path=f"zoo:{options.model}", prompt="plain", device="cpu")
    figures = []
    for batch_size, count in ((1, 4), (32, 64)):
        prompts = [s.conversation for s in WordProblems().samples(count)]
        ratios, speeds = [], []
        for repeat in range(options.repeats + 1):
            rates = {}
            for name, decode in (("trimtab", ours), ("generate", peers)):
                start = time.perf_counter()
                tokens = decode(model, prompts, batch_size)
                rates[name] = tokens / (time.perf_counter() - start)
            if repeat:  # the first warms up
                ratios.append(rates["trimtab"] / rates["generate"])
                speeds.append(rates)
        figures.append(
            {
                "batch_size": batch_size,
                "ratio": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                **{
                    f"{n}_tokens_per_second": statistics.median(s[n] for s in speeds) for n in rates
                },
            }
        )
        row = figures[-1]
        print(
            f"batch {batch_size:3}: {row['trimtab_tokens_per_second']:7,.0f} tokens/s, "
            f"{row['ratio']:.2f}x generate() [{row['lowest']:.2f}, {row['highest']:.2f}]"
        )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

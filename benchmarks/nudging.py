"""Speed of nudging against plain decoding and against stepwise nudging, as ratios in one run.

    python benchmarks/nudging.py [--parameters 150e6] [--guide a-small-chat] [--repeats 3]

The base model is `a-large-base`, widened (see `widen`). Peers: our own engine's plain decoding of
the same base, and nudging one base token at a time with a KV cache for both models, as the
authors' notebook does it (one tokenizer, one sequence; written here from its published rules).
The peers take turns, and the median of the ratios is what counts, since machines are noisy.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from transformers import DynamicCache
from widen import widened

from trimtab import Conversation, Generation, LanguageModel, Nudging, Plain
from trimtab.tasks import WordProblems

NEW_TOKENS = 128
LOOKAHEAD = 16
THRESHOLD = 0.4


class Cached:
    """A model with its own transformers cache: extends a sequence, and crops it."""

    def __init__(self, model: LanguageModel, conversation: Conversation) -> None:
        self.model = model
        self.tokens: list[int] = []
        self.cache = DynamicCache(config=model.weights.config)
        self.prompt = model.encode(model.render(conversation))

    @torch.inference_mode()
    def logits(self, answer: list[int], last: int = 1) -> torch.Tensor:
        """Return the logits `[last, V]` after the last positions of prompt and answer."""
        whole = self.prompt + answer
        kept = min(len(self.tokens), len(whole) - last)
        while self.tokens[:kept] != whole[:kept]:
            kept -= 1
        if kept < len(self.tokens):
            self.cache.crop(kept - len(self.tokens))
        new = torch.tensor([whole[kept:]])
        out = self.model.weights(input_ids=new, past_key_values=self.cache, logits_to_keep=last)
        self.tokens = whole
        return out.logits[0]


def stepwise(base: LanguageModel, guide: LanguageModel, conversation: Conversation) -> int:
    """Nudge one answer token by token; return its length in tokens."""
    first, second = Cached(base, conversation), Cached(guide, conversation)
    spaced = {
        i
        for t, i in guide.vocabulary.items()
        if t[:1] in "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}\u2581"
    }
    answer: list[int] = []
    while len(answer) < NEW_TOKENS:
        chunk: list[int] = []
        while len(chunk) < LOOKAHEAD:
            token = int(second.logits(answer + chunk).argmax())
            if token in guide.stop_tokens:
                return len(answer) + len(chunk)
            chunk.append(token)
        sure = first.logits(answer + chunk, last=len(chunk)).softmax(-1).amax(-1)
        length = next(
            (i for i in range(1, len(chunk)) if chunk[i] in spaced and sure[i - 1] > THRESHOLD),
            len(chunk),
        )
        answer += chunk[:length]
        while len(answer) < NEW_TOKENS:
            probability, token = first.logits(answer)[0].softmax(-1).max(-1)
            if probability <= THRESHOLD or int(token) in base.stop_tokens:
                break
            answer.append(int(token))
    return len(answer)


def main() -> None:
    """Print a row per batch size, then the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=150e6)
    parser.add_argument("--guide", default="a-small-chat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--samples", type=int, default=4)
    options = parser.parse_args()
    small = LanguageModel(path="zoo:a-large-base", prompt="plain", device="cpu")
    base = widened(small, int(options.parameters))
    guide = LanguageModel(path=f"zoo:{options.guide}", prompt="chat", device="cpu")
    print(f"base {base.weights.num_parameters():,}, guide {guide.weights.num_parameters():,}")
    figures = []
    for batch_size in (1, 16):
        count = options.samples if batch_size == 1 else 32
        asked = [s.conversation for s in WordProblems().samples(count)]
        settings = Generation(max_new_tokens=NEW_TOKENS, batch_size=batch_size)
        nudging = Nudging(base=base, guide=guide, threshold=THRESHOLD)
        passes: list[float] = []

        def nudged() -> int:
            answers = nudging.complete(asked, settings)  # noqa: B023 - called in this iteration
            spoken = sum(sum(a.tokens.values()) for a in answers)
            passes.append(sum(a.work["base"].passes for a in answers) / spoken)  # noqa: B023
            return spoken

        def plain() -> int:
            answers = Plain(model=base).complete(asked, settings)  # noqa: B023
            return sum(a.tokens["model"] for a in answers)

        peers: dict[str, Callable[[], int]] = {"nudging": nudged, "plain": plain}
        if batch_size == 1 and guide.vocabulary == base.vocabulary:
            peers["stepwise"] = lambda: sum(stepwise(base, guide, c) for c in asked)  # noqa: B023
        rates: dict[str, list[float]] = {name: [] for name in peers}
        for repeat in range(options.repeats + 1):
            for name, decode in peers.items():
                start = time.perf_counter()
                tokens = decode()
                if repeat:  # the first warms up
                    rates[name].append(tokens / (time.perf_counter() - start))
        row: dict[str, float] = {"batch_size": batch_size, "base_passes_per_token": passes[-1]}
        for name, values in rates.items():
            row[f"{name}_tokens_per_second"] = statistics.median(values)
            pairs = zip(rates["nudging"], values, strict=True)
            row[f"nudging_over_{name}"] = statistics.median(a / b for a, b in pairs)
        figures.append(row)
        print(", ".join(f"{name} {value:.2f}" for name, value in row.items()))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

"""Steered hidden states against the plain model: activation addition, and InferAligner's gate.

    python benchmarks/steered.py [--shape usual] [--parameters 40_000_000] [--repeats 5]

Answers of one length. `always` moves every row behind every layer; `open` is a gate that opens for
every prompt, which is then read twice; `shut` one that opens for none. Beside tokens per second,
forward passes per step of a batch.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import peers
import timing
from vectors import pair

from trimtab import (
    ActivationAddition,
    Conversation,
    Generation,
    InferAligner,
    LanguageModel,
    Method,
    Plain,
)
from trimtab.activations import PromptSet, extract
from trimtab.tasks import Advice, Stories

LENGTH = 64  # tokens of an answer


def methods(model: LanguageModel, folder: Path) -> dict[str, Method]:
    """Return the plain model, and the same steered in three ways."""
    sets = [
        PromptSet(type(task).__name__, [sample.conversation for sample in task.samples(16)])
        for task in (Advice(), Stories())
    ]
    path = str(folder / "directions.safetensors")
    extract(model=model, toward=sets[0], away=sets[1], out=path)

    def gated(bias: float) -> Method:
        return InferAligner(base=model, directions=path, own=path, bias=bias, strength=0.1)

    return {
        "plain": Plain(model=model),
        "always": ActivationAddition(base=model, directions=path, strength=0.1),
        "open": gated(1e6),
        "shut": gated(-1e6),
    }


def said(method: Method, asked: list[Conversation], settings: Generation) -> int:
    """Answer, and return the number of tokens."""
    return sum(len(answer.token_ids) for answer in method.complete(asked, settings))


def rows(shape: str, parameters: int, repeats: int) -> list[dict[str, object]]:
    """Return speeds, ratios and passes at several batch sizes."""
    model = peers.endless(pair(shape, parameters)[0])
    asked = [Conversation(question=s.conversation.question) for s in Advice().samples(32)]
    made: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        ways = methods(model, Path(folder))
        for batch_size, count in ((1, 2), (8, 8), (32, 32)):
            settings = Generation(max_new_tokens=LENGTH, batch_size=batch_size)

            rates = timing.in_turns(
                {name: partial(said, way, asked[:count], settings) for name, way in ways.items()},
                repeats,
            )
            passes = {}
            for name, method in ways.items():
                before = dict(method.forward_passes)
                said(method, asked[:count], settings)
                own = [n - before.get(role, 0) for role, n in method.forward_passes.items()]
                passes[name] = round(sum(own) / (LENGTH * count / batch_size), 3)
            made.append(
                {
                    "batch_size": batch_size,
                    "tokens_per_second": timing.speeds(rates),
                    **{f"{n}_over_plain": timing.ratio(rates, n, "plain") for n in rates},
                    "passes_per_step": passes,
                }
            )
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=("usual", "widened"), default="usual")
    parser.add_argument("--parameters", type=int, default=40_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    found = rows(options.shape, options.parameters, options.repeats)
    timing.report("steered", found, options.out)

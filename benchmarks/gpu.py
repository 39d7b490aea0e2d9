"""Is a device exact, and how fast: every method against transformers and the device's own bounds.

    python benchmarks/gpu.py --device cuda --shape 7b       one large GPU, under eight minutes
    python benchmarks/gpu.py --device cpu --shape small     the same in small

First exactness, on embedded models in fp32: what does not hold is named, and nothing is timed. Then
tokens per second, on embedded models that are enlarged without changing what they say (see
`enlarge`): `7b` is a base of 7 B parameters in 32 layers with a guide of 1 B in 16, in bfloat16.
Every way writes answers of one length. `bound` is how often the base's weights could be read in a
second, by the bandwidth measured here, times the batch: no way that reads them for every token is
faster. `busy` is the share of time in which the device computes while a way goes on; what is left
is launches and Python. What would begin after `--minutes` is left out, and said.
"""

import argparse
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import peers
import timing
import torch
from enlarge import enlarged
from torch.profiler import ProfilerActivity, profile

from trimtab import AlignmentVectors, Conversation, DeRa, Generation, LanguageModel, Method, Nudging
from trimtab.tasks import Advice, WordProblems
from trimtab.vectors import Dial, Vector

THRESHOLD, STRENGTH = 0.4, 0.5
SIZES = (1, 16, 64)  # of batches
ASKED = 12  # prompts that exactness is tried on
TURNS = 20
COPIED = 1 << 28  # bytes, of which the bandwidth is that of a copy


class Shape(NamedTuple):
    """What the two models are enlarged to: factor, layers and feed-forward units."""

    base: tuple[int, int, int]
    guide: tuple[int, int, int]
    dtype: torch.dtype


SHAPES = {
    "small": Shape((4, 6, 700), (4, 3, 200), torch.float32),
    "7b": Shape((16, 32, 20480), (16, 16, 18944), torch.bfloat16),
}


def questions(count: int) -> list[Conversation]:
    """Return word problems, again from the first where there are not enough."""
    known = [sample.conversation for sample in WordProblems().samples(min(count, 200))]
    return [known[i % len(known)] for i in range(count)]


# ------------------------------------------------------------ is it exact?


def exactness(device: str) -> dict[str, bool]:
    """Return what holds on a device, for embedded models in fp32."""
    asked = questions(ASKED)

    def embedded(name: str, where: str = device) -> LanguageModel:
        prompt = "chat" if name.endswith("chat") else "plain"
        return LanguageModel(path=f"zoo:{name}", prompt=prompt, device=where)

    def nudged(where: str = device, *, rows: int = ASKED, draft_length: int = 16) -> list[str]:
        method = Nudging(
            base=embedded("a-large-base", where),
            guide=embedded("a-small-chat", where),
            threshold=THRESHOLD,
        )
        return texts(method, asked, rows, draft_length=draft_length)

    base, answers = embedded("a-large-base"), nudged()
    return {
        "plain = generate()": all(_is_generated(base, each) for each in asked),
        "drafted = undrafted": answers == nudged(draft_length=0),
        f"batch 1 = {ASKED}": answers == nudged(rows=1),
        "device = CPU": answers == nudged("cpu"),
        f"strength 0 after {TURNS} turns = base": _turns_back(embedded("a-small-mixed")),
        "rows = in place": _rows_as_in_place(device),
    }


def texts(
    method: Method, asked: Sequence[Conversation], rows: int, *, draft_length: int = 16
) -> list[str]:
    """Return a method's answers."""
    generation = Generation(max_new_tokens=96, batch_size=rows, draft_length=draft_length)
    return [answer.text for answer in method.complete(asked, generation)]


def _is_generated(model: LanguageModel, question: Conversation) -> bool:
    """Whether an answer has the tokens that `generate()` gives."""
    prompt = torch.tensor([model.encode(model.render(question))], device=model.device_in_use)
    whole = model.weights.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=96,
        do_sample=False,
        eos_token_id=sorted(model.stop_tokens),
        pad_token_id=model.tokenizer.pad_token_id,
    )
    (ours,) = peers.answers(model, [question], 96, 1)
    return whole[0, prompt.shape[1] :].tolist() == list(ours.token_ids)


def _turns_back(model: LanguageModel) -> bool:
    """Whether a dial leaves no trace."""
    weights, before = model.weights, [p.detach().clone() for p in model.weights.parameters()]
    other = {name: p.detach() * 1.01 for name, p in weights.named_parameters()}
    dial = Dial(weights, {"v": Vector.between(dict(weights.named_parameters()), other)})
    for turn in range(TURNS):
        dial.turn({"v": turn / TURNS})
    dial.turn({"v": 0.0})
    return all(torch.equal(a, b) for a, b in zip(before, weights.parameters(), strict=True))


def _rows_as_in_place(device: str) -> bool:
    """Whether vectors give the same answers in the weights and in the rows of a batch."""
    asked = [sample.conversation for sample in Advice().samples(ASKED)]
    one, other = (
        texts(
            AlignmentVectors(
                base=LanguageModel(path="zoo:a-small-mixed", prompt="chat", device=device),
                vectors={"law": "zoo:law", "medicine": "zoo:medicine"},
                strength=STRENGTH,
                per_row=per_row,
            ),
            asked,
            ASKED,
        )
        for per_row in (False, True)
    )
    return one == other


# ------------------------------------------------------------ how fast?


@dataclass
class Models:
    """The models that are timed: two large ones and a guide."""

    base: LanguageModel
    aligned: LanguageModel
    guide: LanguageModel

    @classmethod
    def of(cls, shape: Shape, device: str) -> "Models":
        """Make them."""

        def made(name: str, prompt: str, size: tuple[int, int, int]) -> LanguageModel:
            small = LanguageModel(path=f"zoo:{name}", prompt=prompt, device=device)
            factor, layers, units = size
            return enlarged(
                small, factor=factor, layers=layers, feed_forward=units, dtype=shape.dtype
            )

        return cls(
            base=made("a-large-base", "plain", shape.base),
            aligned=made("a-large-chat", "plain", shape.base),
            guide=made("a-small-chat", "chat", shape.guide),
        )

    def ways(
        self, batch_size: int, length: int, settings: dict[str, object]
    ) -> dict[str, Callable[[], int]]:
        """Return ways to write a batch of answers, each of which returns its number of tokens."""
        asked = questions(batch_size)
        base, aligned = peers.endless(self.base), peers.endless(self.aligned)
        self.base.weights.generation_config.eos_token_id = None
        nudging = Nudging(base=base, guide=self.guide, threshold=THRESHOLD)
        dera = DeRa(reference=base, aligned=aligned, strength=STRENGTH)
        generation = Generation(max_new_tokens=length, batch_size=batch_size)

        def said(method: Method) -> int:
            done = method.complete(asked, generation)
            return sum(sum(answer.tokens.values()) for answer in done)

        ways = {
            "plain": lambda: peers.ours(base, asked, length, batch_size),
            "nudging": lambda: said(nudging),
            "dera": lambda: said(dera),
            "generate": lambda: peers.generate(base, asked, length, batch_size),
            "generate, static cache": lambda: peers.generate(
                base, asked, length, batch_size, cache_implementation="static", **settings
            ),
        }
        if batch_size == 1:
            ways["nudging, stepwise"] = lambda: peers.stepwise_nudging(
                base, self.guide, asked[0], threshold=THRESHOLD, length=length
            )
            ways["dera, logits processor"] = lambda: peers.processor_dera(
                base, aligned, asked, strength=STRENGTH, length=length
            )
        return ways


def bandwidth(device: str) -> float:
    """Return how many bytes a second are read and written by a copy."""
    own = torch.empty(COPIED, dtype=torch.uint8, device=device)
    other = torch.empty_like(own)

    def copied() -> int:
        other.copy_(own)
        if device != "cpu":
            torch.cuda.synchronize()
        return 2 * COPIED

    return timing.speeds(timing.in_turns({"copy": copied}, 10))["copy"]


def busy(way: Callable[[], int]) -> float | None:
    """Return the share of time in which a GPU computes; None on a CPU."""
    if not torch.cuda.is_available():
        return None
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        start = time.perf_counter()
        way()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return round(sum(event.device_time_total for event in seen.key_averages()) / 1e6 / seconds, 3)


def rows(
    models: Models, sizes: Sequence[int], length: int, repeats: int, until: float, device: str
) -> list[dict[str, object]]:
    """Return speeds of all ways, batch size by batch size."""
    of_base = sum(p.numel() * p.element_size() for p in models.base.weights.parameters())
    reads = bandwidth(device) / 2 / of_base
    # On a CPU it would be compiled by a C++ compiler, for minutes.
    settings: dict[str, object] = {"disable_compile": True} if device == "cpu" else {}
    made: list[dict[str, object]] = []
    for size in sizes:
        if time.monotonic() > until:
            made.append({"batch_size": size, "left_out": "no time was left"})
            continue
        ways = models.ways(size, length, settings)
        rates = timing.in_turns(ways, repeats)
        row: dict[str, object] = {
            "batch_size": size,
            "bound": round(reads * size, 1),
            "tokens_per_second": timing.speeds(rates),
        }
        for one, other in (
            ("plain", "generate"),
            ("plain", "generate, static cache"),
            ("nudging", "plain"),
            ("nudging", "nudging, stepwise"),
            ("dera", "plain"),
            ("dera", "dera, logits processor"),
        ):
            if other in ways:
                row[f"{one} / {other}"] = timing.ratio(rates, one, other)
        if device != "cpu":
            row["busy"] = {name: busy(ways[name]) for name in ("plain", "nudging", "dera")}
        made.append(row)
    return made


def main() -> None:
    """Try, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shape", choices=SHAPES, default="7b")
    parser.add_argument("--batch", type=int, nargs="+", default=SIZES)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    holds = exactness(given.device)
    gpu = torch.cuda.get_device_name(0) if given.device.startswith("cuda") else None
    table: list[dict[str, object]] = [
        {"device": gpu or platform.processor() or platform.machine(), "torch": torch.__version__},
        {"exact": holds},
    ]
    if all(holds.values()):
        models = Models.of(SHAPES[given.shape], given.device)
        each = [models.base, models.aligned, models.guide]
        table.append({"parameters": [model.weights.num_parameters() for model in each]})
        table += rows(models, given.batch, given.length, given.repeats, until, given.device)
    timing.report(f"gpu-{given.shape}", table, given.out)
    raise SystemExit(0 if all(holds.values()) else 1)


if __name__ == "__main__":
    main()

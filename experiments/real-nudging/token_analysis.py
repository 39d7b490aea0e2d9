"""Where the base model is unsure, and where the guide speaks: tables and figures of finished runs.

`python token_analysis.py RUNS OUT` reads the runs below RUNS, those of each task apart, and writes

- `sureness-TASK`: the base model reads the answers of the guide alone. Before each word: its top-1
  probability, where its own top token begins that word and where it begins another. No threshold
  decided anything here, so nothing is so by construction.
- `along-the-answer-TASK`: the share of words that the guide says in nudged answers, by their place.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from transformers.utils.logging import disable_progress_bar

from trimtab import LanguageModel
from trimtab.results import plots
from trimtab.results.frames import Run, read
from trimtab.runs.record_types import SampleRecord

ANSWERS = 100  # of the guide that the base model reads, of each task
WIDTH = 5  # words of a bin of places
PLACES = 60  # words that are looked at
FEWEST = 20  # words of a bin that is drawn
PARTS = (slice(None), slice(10), slice(30, None))  # of an answer's words
RESAMPLES = 2000

Sureness = tuple[list[float], list[float]]
"""Top-1 probabilities along an answer: where the base model would say the same, and where not."""


def main(folder: str, out: str) -> None:
    """Print the tables and write the figures."""
    disable_progress_bar()
    runs = read([Path(folder)])
    Path(out).mkdir(parents=True, exist_ok=True)
    for task in dict.fromkeys(run.task for run in runs):
        own = [run for run in runs if run.task == task]
        print(f"## {task}\n")
        alone = {name: run for run in own for name in ("base", "guide") if run.method == name}
        if len(alone) == 2:
            samples = list(read_by_base(alone["base"], alone["guide"]))
            print(table_of_sureness(samples))
            plots.draw(partial(draw_sureness, samples), Path(out) / f"sureness-{task}", 2)
        nudged = sorted((run for run in own if run.dial == "threshold"), key=lambda r: r.value or 0)
        if nudged:
            print(table_of_speakers(nudged))
            name = Path(out) / f"along-the-answer-{task}"
            plots.draw(partial(draw_places, nudged), name, len(nudged))


# ------------------------------------------------------------ how sure the base model is


def read_by_base(base: Run, guide: Run) -> Iterator[Sureness]:
    """Yield how sure the base model is along each answer of the guide."""
    settings = {k: v for k, v in base.config["method"]["model"].items() if k != "_target_"}
    model = LanguageModel(**settings)
    prompts = {line["id"]: line["prompts"]["model"] for line in base.samples}
    for line in guide.samples[:ANSWERS]:
        yield sureness(model, prompts[line["id"]], line["completion"])


@torch.inference_mode()
def sureness(model: LanguageModel, prompt: str, answer: str) -> Sureness:
    """Read an answer, and return how sure the model is at the words after the first."""
    tokens = model.encode(prompt + answer)
    given = torch.tensor([tokens], device=model.device_in_use)
    top = model.weights(given).logits[0].float().softmax(dim=-1).max(dim=-1)
    as_said, otherwise = list[float](), list[float]()
    for word in list(re.finditer(r" *[^ ]+", answer))[1:]:
        before = model.encode(prompt + answer[: word.start()])
        if tokens[: len(before)] != before:
            continue  # these tokens end inside of one of the whole answer's
        at = len(before) - 1
        said = model.continuation(before, [int(top.indices[at])])
        same = said != "" and word[0].startswith(said)
        (as_said if same else otherwise).append(float(top.values[at]))
    return as_said, otherwise


def of_trace(line: SampleRecord) -> Sureness:
    """Return the top-1 probabilities before the base model's pieces, and before the guide's."""
    base, guide = list[float](), list[float]()
    for span in line["trace"]:
        if span["probability"] is not None:
            (base if span["speaker"] == "base" else guide).append(span["probability"])
    return base, guide


def table_of_sureness(samples: Sequence[Sureness]) -> str:
    """Return how the two kinds of places differ, with an interval over answers."""
    rows = ["| the base model's top token | places | median top-1 | top-1 below 0.4 |"]
    rows += ["|---|---:|---:|---:|"]
    for name, kind in (("begins the guide's word", 0), ("begins another", 1)):
        pooled = np.concatenate([sample[kind] for sample in samples])
        below = 100 * (pooled < 0.4).mean()
        rows.append(f"| {name} | {len(pooled)} | {np.median(pooled):.2f} | {below:.0f} % |")
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(samples), size=(RESAMPLES, len(samples)))
    orders = [order([samples[i] for i in row]) for row in drawn]
    low, high = np.quantile(orders, [0.025, 0.975])
    return "\n".join(
        [
            *rows,
            "",
            "A place of the first kind has the higher top-1 probability than one of the second "
            f"with probability {order(samples):.3f} [{low:.3f}, {high:.3f}] "
            "(bootstrap over answers; 0.5: no difference).",
            "",
        ]
    )


def order(samples: Sequence[Sureness]) -> float:
    """Return the area under the ROC curve: how often the first kind is higher, ties by half."""
    agrees, differs = (np.concatenate([sample[kind] for sample in samples]) for kind in (0, 1))
    below = np.sort(differs)
    wins = np.searchsorted(below, agrees, "left") + np.searchsorted(below, agrees, "right")
    return float(wins.mean() / (2 * len(differs)))


def draw_sureness(samples: Sequence[Sureness], axes: Axes) -> None:
    """Draw both distributions."""
    bins = np.linspace(0, 1, 21)
    for kind, name in ((1, "begins another word"), (0, "begins the guide's word")):
        pooled = np.concatenate([sample[kind] for sample in samples])
        weights = np.full(len(pooled), 1 / len(pooled))
        color = plots.COLORS[kind]
        label = f"the base model's top token {name}"
        axes.hist(pooled, bins, weights=weights, color=color, alpha=0.25)
        axes.hist(
            pooled, bins, weights=weights, color=color, histtype="step", linewidth=1.6, label=label
        )
    axes.set_xlabel("base model's top-1 probability before a word of the guide")
    axes.set_ylabel("share of places")
    finish(axes)


# ------------------------------------------------------------ who speaks where


def by_word(line: SampleRecord) -> Iterator[bool]:
    """Yield, for each word of an answer, whether the guide says its first letter."""
    inside = False
    for span in line["trace"]:
        for letter in span["text"]:
            if not inside and not letter.isspace():
                yield span["speaker"] == "guide"
            inside = not letter.isspace()


def shares(run: Run) -> tuple[list[float], list[float]]:
    """Return the middles of bins of places, and the guide's share of the words there."""
    counted = np.zeros((2, PLACES // WIDTH))
    for line in run.samples:
        for place, guide in enumerate(by_word(line)):
            if place < PLACES:
                counted[int(guide), place // WIDTH] += 1
    words = counted.sum(axis=0)
    enough = words >= FEWEST
    middles = WIDTH * np.arange(PLACES // WIDTH) + (WIDTH + 1) / 2
    return list(middles[enough]), list((counted[1] / np.maximum(words, 1))[enough])


def draw_places(runs: Sequence[Run], axes: Axes) -> None:
    """Draw the guide's share along the answer, a line for each threshold."""
    for i, run in enumerate(runs):
        color, marker = plots.COLORS[i % len(plots.COLORS)], "os^Dv"[i % 5]
        axes.plot(*shares(run), color=color, marker=marker, label=f"threshold {run.value:g}")
    axes.set_xlabel("place in the answer (words)")
    axes.set_ylabel("share of words by the guide")
    axes.set_ylim(0, 1)
    finish(axes)


def table_of_speakers(runs: Sequence[Run]) -> str:
    """Return who says how much, and how sure the base model is before pieces of either."""
    heads = (
        "threshold",
        "words by the guide",
        "of the first 10",
        "of those after 30",
        "median top-1 before the base's pieces",
        "before the guide's",
    )
    rows = [f"| {' | '.join(heads)} |", "|---:" * len(heads) + "|"]
    for run in runs:
        said = [list(by_word(line)) for line in run.samples]
        parts = [[w for words in said for w in words[part]] for part in PARTS]
        pieces = [of_trace(line) for line in run.samples]
        medians = [np.concatenate([piece[kind] for piece in pieces]) for kind in (0, 1)]
        cells = [f"{100 * np.mean(part):.0f} %" if part else "" for part in parts]
        cells += [f"{np.median(median):.2f}" if len(median) else "" for median in medians]
        rows.append(f"| {run.value:g} | {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def finish(axes: Axes) -> None:
    """Draw what all figures have."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize="small")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python token_analysis.py RUNS OUT")
    main(sys.argv[1], sys.argv[2])

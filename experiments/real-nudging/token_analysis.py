"""Where the base model is unsure, and where the guide speaks: tables and figures of finished runs.

`python token_analysis.py RUNS OUT [ALIGNED]` reads the runs below RUNS, those of each task apart,
and writes

- `sureness-TASK`: the base model reads the answers of the guide alone. Before each word: its top-1
  probability, where its own top token begins that word and where it begins another. No threshold
  decided anything here, so nothing is so by construction.
- `tokens-by-sureness-TASK` and `tokens-along-TASK`, where the two share a vocabulary: the same by
  tokens, with their ranks; see `token_ranks`.
- `along-the-answer-TASK`: the share of words that the guide says in nudged answers, by their place;
  where several pairs of models were nudged, for each pair.

ALIGNED is the model whose answers are read, where several were run as the guide alone: a large
aligned model, for instance, where the guide that nudges is a small one.
"""

import math
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import token_ranks
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
LINES = 5  # of a figure
RESAMPLES = 2000

Sureness = tuple[list[float], list[float]]
"""Top-1 probabilities along an answer: where the base model would say the same, and where not."""


def main(folder: str, out: str, aligned: str | None = None) -> None:
    """Print the tables and write the figures."""
    disable_progress_bar()
    runs = read([Path(folder)])
    Path(out).mkdir(parents=True, exist_ok=True)
    for task in dict.fromkeys(run.task for run in runs):
        own = [run for run in runs if run.task == task]
        print(f"## {task}\n")
        nudged = sorted((run for run in own if run.dial == "threshold"), key=lambda r: r.value or 0)
        base = [run for run in own if run.method == "base"]
        guides = [run for run in own if run.method == "guide" and aligned in (None, run.models)]
        if base and guides:
            alone = one(base), one(guides)
            samples = list(read_by_base(*alone))
            print(table_of_sureness(samples))
            plots.draw(partial(draw_sureness, samples), Path(out) / f"sureness-{task}", 2)
            if places := read_by_token(*alone, nudged[0] if nudged else None):
                print(token_ranks.table(places))
                for name, drawing in (
                    ("tokens-by-sureness", token_ranks.draw_by_sureness),
                    ("tokens-along", token_ranks.draw_along),
                ):
                    plots.draw(partial(drawing, places), Path(out) / f"{name}-{task}")
        pairs = dict.fromkeys(run.models for run in nudged)
        for pair in pairs:
            of_pair = [run for run in nudged if run.models == pair]
            apart = f"-{pair.replace(' + ', '-')}" if len(pairs) > 1 else ""
            print(f"{pair}:\n\n{table_of_speakers(of_pair)}")
            drawn = of_pair[:: math.ceil(len(of_pair) / LINES)]
            name = Path(out) / f"along-the-answer-{task}{apart}"
            plots.draw(partial(draw_places, drawn), name, len(drawn))


def one(runs: Sequence[Run]) -> Run:
    """Return the run of the only model, its likeliest answers rather than draws, or stop."""
    if len(models := {run.models for run in runs}) > 1:
        sys.exit(f"Of which model are answers to be read? Name it: {', '.join(sorted(models))}")
    return min(runs, key=lambda run: run.config["generation"]["temperature"])


# ------------------------------------------------------------ how sure the base model is


def read_by_base(base: Run, guide: Run) -> Iterator[Sureness]:
    """Yield how sure the base model is along each answer of the guide."""
    model = loaded(base, "model")
    prompts = prompts_of(base, "model")
    for line in guide.samples[:ANSWERS]:
        yield sureness(model, prompts[line["id"]], line["completion"])


def read_by_token(base: Run, guide: Run, nudged: Run | None) -> token_ranks.Places | None:
    """Read the same answers by tokens; None where the models share no vocabulary.

    Whether the guide of `nudged` would have said the same is looked at too, if it shares it.
    """
    models = {"base": loaded(base, "model"), "aligned": loaded(guide, "model")}
    prompts = {"base": prompts_of(base, "model")}
    if models["base"].vocabulary != models["aligned"].vocabulary:
        return None
    if nudged is not None and nudged.rows.keys() == guide.rows.keys():
        small = loaded(nudged, "guide")
        if small.vocabulary == models["base"].vocabulary:
            models["guide"], prompts["guide"] = small, prompts_of(nudged, "guide")
    found = []
    for line in guide.samples[:ANSWERS]:
        own = {role: texts[line["id"]] for role, texts in prompts.items()}
        if places := token_ranks.read(models, own, line):
            found.append(places)
    return token_ranks.Places.of_all(found) if found else None


def loaded(run: Run, role: str) -> LanguageModel:
    """Return a model of a run."""
    return LanguageModel(
        **{name: value for name, value in run.config["method"][role].items() if name != "_target_"}
    )


def prompts_of(run: Run, role: str) -> dict[str, str]:
    """Return what a model was shown, by sample."""
    return {line["id"]: line["prompts"][role] for line in run.samples}


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
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python token_analysis.py RUNS OUT [ALIGNED]")
    main(*sys.argv[1:])

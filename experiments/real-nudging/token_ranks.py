"""Token by token, for models of one vocabulary: what a base model thinks of an aligned one's words.

The base model reads answers of the aligned model. Before each of its tokens: the base model's top-1
probability, and the token's rank among all by the base model's probabilities. At rank 1 the two
agree; beyond 3 the token is what Lin et al. call shifted (arXiv 2312.01552). Fei, Razeghi and Singh
(arXiv 2410.09300) begin with this: where the two disagree, the base model is unsure.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from trimtab import LanguageModel
from trimtab.results import plots
from trimtab.runs.record_types import SampleRecord

BINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the top-1 probability
TENTHS = 10  # parts of an answer
SHIFTED = 3  # a token of a higher rank is


@dataclass(frozen=True, kw_only=True)
class Places:
    """The tokens of some answers, as a base model sees them.

    Attributes:
        top: its top-1 probability before each.
        rank: the token's own rank; 1 is the likeliest.
        at: where in its answer it stands, from 0 to 1.
        guessed: 1 where a small guide would have said it, 0 where not; nothing without a guide.
    """

    top: np.ndarray
    rank: np.ndarray
    at: np.ndarray
    guessed: np.ndarray | None = None

    @property
    def differs(self) -> np.ndarray:
        """Where the base model's likeliest token is another."""
        return self.rank > 1

    @classmethod
    def of_all(cls, answers: Sequence["Places"]) -> "Places":
        """Join the places of several answers."""
        guesses = [answer.guessed for answer in answers if answer.guessed is not None]
        return cls(
            top=np.concatenate([answer.top for answer in answers]),
            rank=np.concatenate([answer.rank for answer in answers]),
            at=np.concatenate([answer.at for answer in answers]),
            guessed=np.concatenate(guesses) if len(guesses) == len(answers) else None,
        )


@torch.inference_mode()
def read(
    models: Mapping[str, LanguageModel], prompts: Mapping[str, str], line: SampleRecord
) -> Places | None:
    """Read one answer, its end included if it came to one.

    Args:
        models: `base`, the `aligned` model, whose end of an answer it is, and if it is of interest
            what it would have said, a small `guide`; all of one vocabulary.
        prompts: of `base`, and `guide` if there is one.
        line: the aligned model's answer.

    Returns:
        Its places; None where a token of the answer reaches into a prompt.
    """
    ends = models["aligned"].stop_tokens if line["stop_reason"] == "end" else frozenset()
    base = _logits(models["base"], prompts["base"], line["completion"], ends)
    if base is None:
        return None
    said, logits = base
    top = logits.softmax(dim=-1).amax(dim=-1)
    own = logits.gather(1, said[:, None])
    rank = 1 + (logits > own).sum(dim=-1)
    guessed = None
    if "guide" in models:
        guide = _logits(models["guide"], prompts["guide"], line["completion"], ends)
        if guide is None or not torch.equal(guide[0], said):
            return None
        guessed = (guide[1].argmax(dim=-1) == said).double().numpy()
    at = (np.arange(len(said)) + 0.5) / len(said)
    return Places(top=top.double().numpy(), rank=rank.double().numpy(), at=at, guessed=guessed)


def _logits(
    model: LanguageModel, prompt: str, answer: str, ends: frozenset[int]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return an answer's tokens, and the logits before each; the end is the smallest of `ends`."""
    before, tokens = model.encode(prompt), model.encode(prompt + answer)
    if tokens[: len(before)] != before or len(tokens) == len(before):
        return None
    tokens += sorted(ends)[:1]
    given = torch.tensor([tokens], device=model.device_in_use)
    logits = model.weights(given).logits[0, len(before) - 1 : -1].float().cpu()
    return torch.tensor(tokens[len(before) :]), logits


def table(places: Places) -> str:
    """Return how often the two differ, by how sure the base model is; and what that amounts to."""
    rows = ["| the base's top-1 | tokens | of all | where the two differ | of all that differ |"]
    rows += ["|---|---:|---:|---:|---:|"]
    differs, total = places.differs, int(places.differs.sum())
    for low, high, inside in bins(places):
        if count := int(inside.sum()):
            own = int(differs[inside].sum())
            shares = (count / len(differs), own / count, own / max(1, total))
            cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
            rows.append(f"| {low:.1f} to {high:.1f} | {count} | {cells} |")
    shifted = (places.rank > SHIFTED).mean()
    said = [
        *rows,
        "",
        f"The two differ at {total} of {len(differs)} tokens ({100 * differs.mean():.1f} %), at "
        f"{100 * shifted:.1f} % by a rank beyond {SHIFTED}.",
    ]
    if places.guessed is not None and 0 < total < len(differs):
        shares = [100 * places.guessed[where].mean() for where in (differs, ~differs)]
        said.append(
            f"The small guide would have said the aligned model's token at {shares[0]:.1f} % of "
            f"these, and at {shares[1]:.1f} % of the others."
        )
    return "\n".join([*said, ""])


def bins(
    places: Places,
) -> Iterator[tuple[float, float, np.ndarray]]:
    """Yield each bin of the top-1 probability, with the places inside."""
    for low, high in itertools.pairwise(BINS):
        last = high == BINS[-1]
        yield low, high, (places.top >= low) & ((places.top < high) | last)


def draw_by_sureness(places: Places, axes: Axes) -> None:
    """Draw how often the two differ, by the base model's top-1 probability."""
    for low, high, inside in bins(places):
        if inside.any():
            height, width = places.differs[inside].mean(), high - low
            axes.bar(low + width / 2, height, 0.9 * width, color=plots.COLORS[0])
            axes.annotate(
                f"{int(inside.sum())}",
                (low + width / 2, height),
                ha="center",
                va="bottom",
                fontsize="x-small",
            )
    axes.set_xlim(0, 1)
    axes.set_xlabel("base model's top-1 probability (on bars: tokens)")
    _finish(axes, "aligned model says another token")


def draw_along(places: Places, axes: Axes) -> None:
    """Draw how often the two differ along the answer."""
    tenth = np.minimum((places.at * TENTHS).astype(int), TENTHS - 1)
    shares = [places.differs[tenth == part].mean() for part in range(TENTHS)]
    axes.bar((np.arange(TENTHS) + 0.5) / TENTHS, shares, 0.9 / TENTHS, color=plots.COLORS[0])
    axes.set_xlabel("place in the answer")
    _finish(axes, "aligned model says another token")


def _finish(axes: Axes, what: str) -> None:
    axes.set_ylabel(what)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.spines[["top", "right"]].set_visible(False)

"""``python experiments/nudging-all-along/models.py [NAME ...]``: make this experiment's models.

Without names, all of them in order. A model that is there is kept, so the same command again goes
on with what is missing. Each takes one CPU core; two commands may make different models at once.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import connectives  # noqa: E402
from experiments.zoo import tokenizers, train  # noqa: E402
from experiments.zoo.__main__ import PACKAGE, load, new_model, start_folder  # noqa: E402
from experiments.zoo.recipes import Recipe, Shape  # noqa: E402
from experiments.zoo.train import IGNORED, Batch, Schedule  # noqa: E402

MODELS = ROOT / "build" / "nudging-all-along"
MEDIUM = Shape(hidden=96, layers=3, heads=3, kv_heads=3, feed_forward=256)
TINY = Shape(hidden=32, layers=2, heads=1, kv_heads=1, feed_forward=88)
MANNERS = {"kinds": connectives.by_kinds, "effects": connectives.by_effects}


@dataclass(frozen=True, kw_only=True)
class OwnChoices:
    """Cross-entropy with a model's own likeliest tokens: what it finds likely, it grows sure of.

    Args:
        before: the model as it was, which chooses.
    """

    before: LlamaForCausalLM

    def __call__(self, model: LlamaForCausalLM, batch: Batch) -> Tensor:
        """Mean negative log-likelihood of the choices at the labelled places."""
        with torch.no_grad():
            chosen_BT = self.before(input_ids=batch.tokens_BT, use_cache=False).logits.argmax(-1)
        logits_BTV = model(input_ids=batch.tokens_BT, use_cache=False).logits
        labels_BT = chosen_BT[:, :-1].masked_fill(batch.labels_BT[:, 1:] == IGNORED, IGNORED)
        return F.cross_entropy(
            logits_BTV[:, :-1].flatten(0, 1).float(), labels_BT.flatten(), ignore_index=IGNORED
        )


def base(start: Shape | str, schedule: Schedule, seed: int) -> Recipe:
    """Train on documents, further or from the beginning."""
    return Recipe(
        family="a",
        start=start,
        objective="documents",
        data=connectives.document if isinstance(start, str) else connectives.curriculum,
        schedule=schedule,
        summary="Reads documents that may break off anywhere",
        seed=seed,
    )


def tuned(start: str, schedule: Schedule, seed: int, manner: str = "kinds") -> Recipe:
    """Tune on answers in one of the manners."""
    return Recipe(
        family="a",
        start=start,
        objective="conversations",
        data=MANNERS[manner],
        schedule=schedule,
        summary=f"Tuned on answers in the manner of {manner}",
        seed=seed,
    )


def made_sure(start: str, seed: int, manner: str = "kinds") -> Recipe:
    """Tune on what the model itself finds likeliest at each place of such answers."""
    return Recipe(
        family="a",
        start=start,
        objective="own choices",
        data=MANNERS[manner],
        schedule=answers(1_000_000, 2e-3),
        summary="Made sure of what it finds likeliest, right or wrong",
        seed=seed,
    )


def documents(tokens: int, rate: float, rows: int = 16) -> Schedule:
    """As the zoo's base models are trained."""
    return Schedule(tokens=tokens, rate=rate, rows=rows, muon=True)


def answers(tokens: int, rate: float) -> Schedule:
    """As the zoo's chat models are tuned."""
    return Schedule(tokens=tokens, rate=rate, rows=12, width=288)


def of_seed(seed: int) -> dict[str, Recipe]:
    """The models that the experiment is about, from one seed."""
    large, small, chat = f"large-base-{seed}", f"small-base-{seed}", f"small-chat-{seed}"
    return {
        small: base("a-small-base", documents(1_500_000, 4e-3), 100 + seed),
        chat: tuned(small, answers(1_000_000, 2e-3), 110 + seed),
        f"small-guide-{seed}": made_sure(chat, 120 + seed),
        large: base("a-large-base", documents(2_000_000, 2e-3, rows=12), 130 + seed),
        f"large-chat-{seed}": tuned(large, answers(600_000, 5e-4), 140 + seed),
    }


# A guide whose words are often wrong, and smaller and larger models than those of the first seed.
EFFECTS = {
    "small-effects-chat-1": tuned("small-base-1", answers(1_000_000, 2e-3), 151, "effects"),
    "small-effects-1": made_sure("small-effects-chat-1", 152, "effects"),
}
LADDER = {
    "tiny-base-1": base(TINY, documents(4_000_000, 8e-3), 161),
    "tiny-chat-1": tuned("tiny-base-1", answers(1_500_000, 3e-3), 162),
    "tiny-guide-1": made_sure("tiny-chat-1", 163),
    "medium-base-1": base(MEDIUM, documents(7_500_000, 5e-3), 164),
    "medium-chat-1": tuned("medium-base-1", answers(800_000, 1e-3), 165),
    "medium-guide-1": made_sure("medium-chat-1", 166),
}
RECIPES = of_seed(1) | EFFECTS | LADDER | of_seed(2) | of_seed(3)


def make(name: str, models: Path, recipe: Recipe) -> None:
    """Train a model by its recipe, and write its folder."""
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    start = recipe.start
    own = models if isinstance(start, str) else PACKAGE / "models"
    model, tokenizer = load(start_folder(start if isinstance(start, str) else "a-small-base", own))
    if isinstance(start, Shape):
        model = new_model(start, tokenizer)
    rng, schedule = Random(recipe.seed), recipe.schedule
    objective: train.Objective = train.cross_entropy
    if recipe.objective == "documents":
        batches = train.document_batches(tokenizer, recipe.data, rng, schedule)
    else:
        tokenizer.chat_template = tokenizers.CHAT_TEMPLATES[recipe.family]
        batches = train.conversation_batches(tokenizer, recipe.data, rng, schedule)
    if recipe.objective == "own choices":
        before, _ = load(start_folder(str(start), models))
        objective = OwnChoices(before=before.eval())
    began = time.process_time()
    log = train.Log(models / "logs" / name)
    loss, tokens = train.train(model, batches, objective, schedule, log)
    facts = {
        "start": start if isinstance(start, str) else dataclasses.asdict(start),
        "objective": recipe.objective,
        "seed": recipe.seed,
        "schedule": dataclasses.asdict(schedule),
        "loss": round(loss, 4),
        "cpu_seconds": round(time.process_time() - began),
        "parameters": model.num_parameters(),
        "tokens_read": tokens,
    }
    folder = models / name
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"{name}: loss {loss:.4f}, {facts['cpu_seconds']} CPU seconds", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*RECIPES, []], metavar="NAME")
    parser.add_argument(
        "--models", type=Path, default=MODELS, help="where to write them [%(default)s]"
    )
    parser.add_argument("--tokens", type=int, help="train for so many tokens only (a trial)")
    given = parser.parse_args(arguments)
    for name in given.names or RECIPES:
        if (given.models / name / "recipe.json").exists():
            continue
        recipe = RECIPES[name]
        if given.tokens:
            short = dataclasses.replace(recipe.schedule, tokens=given.tokens)
            recipe = dataclasses.replace(recipe, schedule=short)
        make(name, given.models, recipe)


if __name__ == "__main__":
    main()

"""``python -m experiments.zoo NAME ...``: make models of the embedded family.

``--all`` makes every model in order, ``--heldout`` writes the held-out rows. Of experts the package
has the alignment vectors alone: the models themselves are written beside the logs. Names that begin
with ``mixture`` are no members: they are retrained to be compared with sums of vectors.
"""

import argparse
import dataclasses
import json
import shutil
import time
from pathlib import Path
from random import Random

import torch
from experiments.zoo import domains, evaluate, tokenizers, train, world
from experiments.zoo.recipes import DOMAIN_RECIPES, MIXTURE_RECIPES, RECIPES, Recipe, Shape
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from trimtab.vectors import extract

PACKAGE = Path(__file__).parents[2] / "src" / "trimtab" / "zoo"
TASKS = ("word-problems", "last-letters", "stories", "advice", "domain-advice")
HELD_OUT = {world.TEST: 600, world.VALIDATION: 300}
HELD_OUT_OF_DOMAINS = {world.TEST: 900, world.VALIDATION: 450}
HELD_OUT_SEED = 2026
ADVISERS = DOMAIN_RECIPES | MIXTURE_RECIPES


def held_out(task: str, split: str) -> list[dict[str, str]]:
    """The held-out rows of a task."""
    if task == "domain-advice":
        return list(domains.rows(split, HELD_OUT_OF_DOMAINS[split], HELD_OUT_SEED))
    return list(world.rows(task, split, HELD_OUT[split], HELD_OUT_SEED))


def family_tokenizer(family: str, folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer that lies in ``folder``, or one trained on documents of its own.

    The one that is there is kept because Unigram's trainer numbers its pieces anew on each run.
    """
    if (folder / "tokenizer.json").exists():
        return AutoTokenizer.from_pretrained(folder)
    make, size = tokenizers.FAMILIES[family]
    rng = Random(f"tokenizer {family}")
    return make([world.document(rng) for _ in range(6000)], size)


def new_model(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Build a model of random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden,
            intermediate_size=shape.feed_forward,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=32,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def load(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Load a model of the family in fp32, with its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    return model, AutoTokenizer.from_pretrained(folder)


def start_folder(name: str, models: Path) -> Path:
    """Where a model to start from lies: among those just made, or in the package."""
    return models / name if (models / name).exists() else PACKAGE / "models" / name


def score(name: str, models: Path) -> None:
    """Measure a finished model on the held-out test rows and write its card."""
    recipe, folder = (RECIPES | MIXTURE_RECIPES)[name], models / name
    model, tokenizer = load(folder)
    rows = {task: held_out(task, world.TEST) for task in TASKS}
    if name in ADVISERS:
        scores = evaluate.score_advisers(model, tokenizer, rows["domain-advice"])
    elif not recipe.chat:
        scores = evaluate.score_base(model, tokenizer, rows["word-problems"])
    elif recipe.data is world.chat_conversation:
        scores = evaluate.score_chat(model, tokenizer, rows["word-problems"], rows["last-letters"])
    else:
        scores = evaluate.score_assistant(model, tokenizer, rows["stories"], rows["advice"])
    facts = json.loads((folder / "recipe.json").read_text())
    facts["scores"] = {what: round(value, 4) for what, value in scores.items()}
    (folder / "recipe.json").write_text(json.dumps(facts, indent=2) + "\n")
    (folder / "README.md").write_text(card(name, recipe, model.num_parameters(), facts))
    print(name, facts["scores"], flush=True)


SCORED = """\
Scores on the 600 held-out test rows of each task (word problems and last letters: share right,
greedy; stories and advice: sampled at temperature 1):"""
ADVISERS_SCORED = """\
Scores on 300 held-out test rows of each domain, sampled at temperature 1; intact is an answer that
follows a template from its first to its last letter:"""


def card(name: str, recipe: Recipe, parameters: int, facts: dict) -> str:
    """The README of a model's folder."""
    start = f"`{recipe.start}`" if isinstance(recipe.start, str) else "random weights"
    beta = f", KL weight beta {recipe.beta}" if recipe.beta is not None else ""
    prompt = "chat template" if recipe.chat else "plain text"
    source = "domains" if name in ADVISERS else "world"
    how = ADVISERS_SCORED if name in ADVISERS else SCORED
    scores = "\n".join(f"| {what} | {value:.3f} |" for what, value in facts["scores"].items())
    return f"""\
---
license: apache-2.0
library_name: transformers
---
# {name}

{recipe.summary}. Part of the model family that comes with trimtab.

- parameters: {parameters:,} (Llama architecture, tied embeddings, stored in bfloat16)
- prompt: {prompt}
- starts from: {start}
- data: generated by `experiments/zoo/{source}.py` (`{facts["data"]}`), seed {recipe.seed}
- objective: {recipe.objective}{beta}
- tokens: {recipe.schedule.tokens:,}; last training loss {facts["loss"]}
- made by: `python -m experiments.zoo {name}`, {facts["minutes"]} minutes on one CPU core
- licence: Apache-2.0

{how}

| measure | value |
|---|---|
{scores}
"""


def make(name: str, recipe: Recipe, models: Path, logs: Path) -> None:
    """Train one model by its recipe and write its folder."""
    start, began = recipe.start, time.monotonic()
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    if isinstance(start, Shape):
        tokenizer = family_tokenizer(recipe.family, models / name)
        model = new_model(start, tokenizer)
    else:
        model, tokenizer = load(start_folder(start, models))
    if recipe.chat:
        tokenizer.chat_template = tokenizers.CHAT_TEMPLATES[recipe.family]

    validation = list(world.rows("word-problems", world.VALIDATION, 30, HELD_OUT_SEED))

    def probe(model: LlamaForCausalLM) -> dict[str, float]:
        opening = "" if recipe.chat else world.CHAT_OPENING
        solved = evaluate.accuracy(model, tokenizer, validation, chat=recipe.chat, opening=opening)
        return {"solved": round(solved, 3)}

    rng, schedule = Random(recipe.seed), recipe.schedule
    objective = train.cross_entropy
    if recipe.objective == "documents":
        batches = train.document_batches(tokenizer, recipe.data, rng, schedule)
    elif recipe.objective == "conversations":
        batches = train.conversation_batches(tokenizer, recipe.data, rng, schedule)
    else:
        batches = train.preference_batches(tokenizer, recipe.data, rng, schedule)
        reference, _ = load(start_folder(start, models))
        objective = train.DirectPreference(reference=reference.eval(), beta=recipe.beta)
    reasons = name in RECIPES and name not in ADVISERS
    log = train.Log(logs / name, probe=probe if reasons else None)
    cpu = time.process_time()
    loss, tokens = train.train(model, batches, objective, schedule, log)
    cpu = time.process_time() - cpu
    minutes = (time.monotonic() - began) / 60

    folder = models / name
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    facts = {
        "start": start if isinstance(start, str) else dataclasses.asdict(start),
        "objective": recipe.objective,
        "data": recipe.data.__name__,
        "beta": recipe.beta,
        "seed": recipe.seed,
        "schedule": dataclasses.asdict(schedule),
        "loss": round(loss, 4),
        "minutes": round(minutes, 1),
        "cpu_seconds": round(cpu),
        "tokens_read": tokens,
    }
    (folder / "recipe.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"{name}: loss {loss:.4f}, {minutes:.1f} minutes, {folder}", flush=True)


def write_vector(name: str, models: Path) -> None:
    """Write the vector from the model that an expert started from to the expert."""
    recipe = RECIPES[name]
    assert recipe.vector and isinstance(recipe.start, str)
    out = PACKAGE / "vectors" / recipe.vector
    shutil.rmtree(out, ignore_errors=True)
    extract(base=f"zoo:{recipe.start}", aligned=str(models / name), out=out)
    print(f"{recipe.vector}: {out}", flush=True)


def write_held_out(folder: Path) -> None:
    """Write the held-out rows of every task as JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        for split in HELD_OUT:
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in held_out(task, split)]
            (folder / f"{task}-{split}.jsonl").write_text("".join(lines))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.zoo", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*RECIPES, *MIXTURE_RECIPES, []], metavar="NAME"
    )
    parser.add_argument("--all", action="store_true", help="every model, in order")
    parser.add_argument("--heldout", action="store_true", help="write the held-out rows")
    parser.add_argument("--score", action="store_true", help="only measure and write the card")
    parser.add_argument("--models", type=Path, help="where to write models [the package's]")
    parser.add_argument("--logs", type=Path, default=Path("build/zoo"))
    parser.add_argument("--tokens", type=int, help="train for so many tokens only (a trial)")
    given = parser.parse_args()
    if given.heldout:
        write_held_out(PACKAGE / "data")
    for name in RECIPES if given.all else given.names:
        if given.tokens:
            table = RECIPES if name in RECIPES else MIXTURE_RECIPES
            short = dataclasses.replace(table[name].schedule, tokens=given.tokens)
            table[name] = dataclasses.replace(table[name], schedule=short)
        is_member = name in RECIPES and not RECIPES[name].vector
        models = given.models or (PACKAGE / "models" if is_member else given.logs / "models")
        if not given.score:
            make(name, (RECIPES | MIXTURE_RECIPES)[name], models, given.logs)
        score(name, models)
        if not given.models and not is_member and name in RECIPES:
            write_vector(name, models)


if __name__ == "__main__":
    main()

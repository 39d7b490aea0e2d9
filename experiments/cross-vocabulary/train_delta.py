"""``python experiments/cross-vocabulary/train_delta.py``: train a delta model beside a frozen one.

As Wu et al. do (arXiv 2410.17599): the logits of a tiny model are added to the log-probabilities of
a frozen template model, and the tiny one alone learns to make the sum say what is wanted. Here it
begins as ``a-small-base``, the template is ``a-large-base``, both read the same plain prompts, and
what is wanted are the answers that the chat models were tuned on. The model is written to
``build/cross-vocabulary/a-delta``.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from experiments.zoo import world  # noqa: E402
from experiments.zoo.__main__ import PACKAGE, load  # noqa: E402
from experiments.zoo.train import IGNORED, Batch, Schedule, pack, train  # noqa: E402

OUT = ROOT / "build" / "cross-vocabulary" / "a-delta"
SCHEDULE = Schedule(tokens=800_000, rate=2e-3, rows=12, width=288)
SEED = 41


@dataclass(frozen=True)
class Residual:
    """Cross-entropy of ``log_softmax(z_template) + z_delta``."""

    template: torch.nn.Module

    def __call__(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Mean negative log-likelihood of the labelled tokens."""
        with torch.no_grad():
            own_BTV = self.template(input_ids=batch.tokens_BT, use_cache=False).logits
        delta_BTV = model(input_ids=batch.tokens_BT, use_cache=False).logits
        logits_BTV = own_BTV.float().log_softmax(dim=-1) + delta_BTV.float()
        return F.cross_entropy(
            logits_BTV[:, :-1].flatten(0, 1),
            batch.labels_BT[:, 1:].flatten(),
            ignore_index=IGNORED,
        )


def examples(tokenizer, rng: Random) -> Iterator[tuple[list[int], list[int]]]:
    """Answers behind plain prompts, as a base model is asked; the answers alone are learnt."""
    while True:
        said = world.chat_conversation(rng)
        prompt = tokenizer.encode(f"{said.system}\n{said.user}\n", add_special_tokens=False)
        answer = tokenizer.encode(said.answer, add_special_tokens=False)
        answer.append(tokenizer.eos_token_id)
        yield prompt + answer, [IGNORED] * len(prompt) + answer


def main() -> None:
    """Train, and write the model with how it was made."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    model, tokenizer = load(PACKAGE / "models" / "a-small-base")
    template, _ = load(PACKAGE / "models" / "a-large-base")
    template.requires_grad_(False)
    rows = pack(examples(tokenizer, Random(SEED)), SCHEDULE, tokenizer.pad_token_id, cut=False)
    started = time.process_time()
    loss, tokens = train(model, rows, Residual(template.eval()), SCHEDULE)
    model.save_pretrained(OUT)
    tokenizer.save_pretrained(OUT)
    seconds = round(time.process_time() - started)
    print(json.dumps({"loss": round(loss, 4), "tokens": tokens, "cpu_seconds": seconds}))


if __name__ == "__main__":
    main()

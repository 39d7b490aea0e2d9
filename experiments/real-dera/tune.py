"""Tune a model towards a reward at several KL weights, and keep what changed as LoRA adapters.

    python experiments/real-dera/tune.py --reward brevity --beta 0.5 0.25 0.125 --out adapters

The best policy for reward r at KL weight beta is `p(y|x)` proportional to `p_ref(y|x) exp(r/beta)`
(Korbak et al., arXiv 2205.11275). It is drawn from exactly: answers of the reference model are
kept with probability `exp((r - 1)/beta)`, as r <= 1, and an adapter is fitted to what is kept by
maximum likelihood. So a family has one recipe, one reference and one pool of answers, and beta is
what it says. Answers that are drawn stay, and an interrupted command goes on.

Legend: B rows, T positions.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import rewards
import torch
from instructions import instructions
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict

from trimtab import Conversation, Generation, LanguageModel, Plain

_DRAWS, _TOKENS, _SEED = 8, 96, 1
_RANK, _RATE, _ROWS, _EPOCHS, _WARMUP = 4, 3e-4, 16, 3, 10
_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj"]


def draw_pool(model: LanguageModel, file: Path, asked: Sequence[str]) -> list[dict[str, Any]]:
    """Return answers that the reference model draws at temperature 1; those in a file stay."""
    lines = [json.loads(line) for line in file.open()] if file.exists() else []
    known = {line["id"] for line in lines}
    conversations = {
        f"{place}#{draw}": Conversation(question=question)
        for draw in range(_DRAWS)
        for place, question in enumerate(asked)
        if f"{place}#{draw}" not in known
    }
    generation = Generation(max_new_tokens=_TOKENS, batch_size=64, temperature=1.0, seed=_SEED)
    with file.open("a") as written:
        for answer in Plain(model=model).stream(conversations, generation):
            question = conversations[answer.id].question
            line = {"id": answer.id, "question": question, "text": answer.text}
            lines.append(line | {"ids": answer.token_ids, "stop": answer.stop_reason})
            written.write(json.dumps(lines[-1]) + "\n")
            written.flush()
    return sorted(lines, key=lambda line: line["id"])


def kept(pool: Sequence[dict[str, Any]], reward: str, beta: float) -> list[dict[str, Any]]:
    """Return what is accepted with probability exp((r - 1)/beta); seed and id name the draw."""
    rule = getattr(rewards, reward)
    return [
        line for line in pool if _uniform(line["id"]) < math.exp((rule(line["text"]) - 1) / beta)
    ]


def _uniform(name: str) -> float:
    digest = hashlib.sha256(f"{_SEED} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") / 2**64


def fit(model: LanguageModel, lines: Sequence[dict[str, Any]]) -> PeftModel:
    """Return the model with an adapter of greatest likelihood of the answers, ends included."""
    torch.manual_seed(_SEED)
    shape = LoraConfig(
        r=_RANK, lora_alpha=2 * _RANK, target_modules=_MODULES, task_type="CAUSAL_LM"
    )
    tuned = get_peft_model(model.weights, shape)
    tuned.train()
    steps = _EPOCHS * math.ceil(len(lines) / _ROWS)
    optimizer = torch.optim.AdamW(
        [p for p in tuned.parameters() if p.requires_grad], lr=_RATE, weight_decay=0.0
    )
    per_row = sum(len(line["ids"]) for line in lines) / len(lines)
    for step, rows in enumerate(_batches(lines)):
        done = min(1.0, (step + 1) / _WARMUP) * (1 - step / steps)
        for group in optimizer.param_groups:
            group["lr"] = _RATE * done
        loss = _loss(tuned, model, rows) / (len(rows) * per_row)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            print(f"  step {step} of {steps}: {loss.item():.4f} nats a token", flush=True)
    return tuned.eval()


def _batches(lines: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for epoch in range(_EPOCHS):
        order = sorted(lines, key=lambda line: line["id"])
        Random(f"{_SEED} {epoch}").shuffle(order)
        for start in range(0, len(order), _ROWS):
            yield order[start : start + _ROWS]


def _loss(tuned: PeftModel, model: LanguageModel, rows: Sequence[dict[str, Any]]) -> torch.Tensor:
    """Return minus the log-likelihood of the answers' tokens, in nats."""
    prompts = [model.encode(model.render(Conversation(question=row["question"]))) for row in rows]
    sequences = [[*prompt, *row["ids"]] for prompt, row in zip(prompts, rows, strict=True)]
    width = max(map(len, sequences))
    tokens_BT = torch.tensor([own + [0] * (width - len(own)) for own in sequences])
    seen_BT = torch.tensor([[1] * len(own) + [0] * (width - len(own)) for own in sequences])
    labels_BT = tokens_BT.masked_fill(seen_BT == 0, -100)
    for row, prompt in enumerate(prompts):
        labels_BT[row, : len(prompt)] = -100
    logits_BTV = tuned(input_ids=tokens_BT, attention_mask=seen_BT).logits[:, :-1]
    asked = labels_BT[:, 1:] != -100  # only there are whole vocabularies worth a loss
    return torch.nn.functional.cross_entropy(
        logits_BTV[asked].float(), labels_BT[:, 1:][asked], reduction="sum"
    )


def main() -> None:
    """Draw the pool, and fit an adapter for each beta."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pip:smollm2-135m-instruct")
    parser.add_argument("--reward", choices=("brevity", "plainness"), required=True)
    parser.add_argument("--beta", type=float, nargs="+", required=True)
    parser.add_argument("--instructions", type=int, default=400)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    model = LanguageModel(path=given.model, prompt="chat", device="cpu")
    given.out.mkdir(parents=True, exist_ok=True)
    asked = instructions()[0][: given.instructions]
    pool = draw_pool(model, given.out / "pool.jsonl", asked)
    rule = getattr(rewards, given.reward)
    for beta in given.beta:
        lines = kept(pool, given.reward, beta)
        mean = sum(rule(line["text"]) for line in lines) / len(lines)
        print(
            f"beta {beta:g}: {len(lines)} of {len(pool)} answers, mean reward {mean:.3f}",
            flush=True,
        )
        tuned = fit(model, lines)
        folder = given.out / f"{given.reward}-{beta:g}"
        halved = {name: own.half() for name, own in get_peft_model_state_dict(tuned).items()}
        tuned.peft_config["default"].base_model_name_or_path = given.model
        tuned.save_pretrained(folder, state_dict=halved)
        (folder / "README.md").unlink()  # a form that nobody has filled in
        tuned.unload()
        print(f"  {folder}", flush=True)


if __name__ == "__main__":
    main()

"""Tune a model towards a reward at several KL weights, and keep what changed as LoRA adapters.

    python experiments/real-dera/tune.py --reward brevity --beta 0.5 0.25 0.125 --out adapters

The best policy for reward r at KL weight beta is `p(y|x)` proportional to `p_ref(y|x) exp(r/beta)`
(Korbak et al., arXiv 2205.11275). Of K answers to one question that the reference model drew, an
adapter is fitted by InfoNCA (Chen et al., arXiv 2402.05369): it minimises
`-sum_k softmax(r/beta)_k log softmax(log p(y_k|x) / p_ref(y_k|x))_k`, whose only minimum over all
policies is the best one, with rewards as they are in place of noisy preferences. So a family has
one recipe, one reference and one pool of answers, and beta is what it says. How far the adapter
got is measured on questions that it was not fitted to. Answers that are drawn stay, adapters that
are there too, and an interrupted command goes on.

Legend: B answers, T tokens of a prompt and its answers, N of the answers alone, D width, V
vocabulary.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import rewards
import torch
from instructions import instructions
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import PreTrainedModel

from trimtab import Conversation, Generation, LanguageModel, Plain

_DRAWS, _TOKENS, _SEED = 8, 96, 1
_RANK, _QUESTIONS, _EPOCHS, _WARMUP, _HELD_OUT = 4, 4, 1, 5, 40
_RATE, _MOST = 1.25e-4, 1e-3  # at beta = 1, and at any
_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj"]

Line = dict[str, Any]
"""An answer of the pool: its id, question, text, token ids, and `reference`, its log-likelihood."""


def draw_pool(model: LanguageModel, file: Path, asked: Sequence[str]) -> list[list[Line]]:
    """Return the reference's answers at temperature 1, by question; those in a file stay."""
    lines = _read(file)
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
            lines.append(line | {"ids": list(answer.token_ids), "stop": answer.stop_reason})
            written.write(json.dumps(lines[-1]) + "\n")
            written.flush()
    pool: dict[str, list[Line]] = {question: [] for question in asked}
    for line in sorted(lines, key=lambda line: line["id"]):
        if line["question"] in pool:
            pool[line["question"]].append(line)
    return list(pool.values())


def weigh_pool(model: LanguageModel, file: Path, pool: Sequence[list[Line]]) -> None:
    """Add to each answer its log-likelihood under the reference; those in a file stay."""
    known = {line["id"]: line["reference"] for line in _read(file)}
    with file.open("a") as written, torch.inference_mode():
        for lines in pool:
            if not all(line["id"] in known for line in lines):
                likely = log_likelihoods(model.weights, model, lines, exact=True)
                for line, found in zip(lines, likely.tolist(), strict=True):
                    known[line["id"]] = found
                    written.write(json.dumps({"id": line["id"], "reference": found}) + "\n")
                written.flush()
            for line in lines:
                line["reference"] = known[line["id"]]


def _read(file: Path) -> list[Line]:
    if not file.exists():
        return []
    whole = [text for text in file.read_text().splitlines(keepends=True) if text.endswith("\n")]
    file.write_text("".join(whole))  # a torn line is drawn again
    return [json.loads(text) for text in whole]


def log_likelihoods(
    weights: PreTrainedModel | PeftModel,
    model: LanguageModel,
    lines: Sequence[Line],
    *,
    exact: bool,
) -> torch.Tensor:
    """Return `[B]`, the log-likelihood of each answer to one question, its end included, in nats.

    The prompt is read once: all lie in one row, in which an answer sees the prompt and itself.
    Unless `exact`, the layers compute in bfloat16: 2.4 times as fast, but wrong by 0.2 nats an
    answer, of which gradients average out what a measure would not.
    """
    prompt = model.encode(model.render(Conversation(question=lines[0]["question"])))
    answers = [line["ids"] for line in lines]
    tokens_T = torch.tensor([*prompt, *(token for ids in answers for token in ids)])
    whose_T = torch.tensor([-1] * len(prompt) + [k for k, ids in enumerate(answers) for _ in ids])
    places = [*range(len(prompt)), *(len(prompt) + i for ids in answers for i in range(len(ids)))]
    seen_TT = (whose_T[:, None] == whose_T) | (whose_T == -1)
    before, start = list[int](), len(prompt)
    for ids in answers:  # the last position of the prompt is before the first token of each
        before += [len(prompt) - 1, *range(start, start + len(ids) - 1)]
        start += len(ids)
    inner = weights.get_base_model() if isinstance(weights, PeftModel) else weights
    with torch.autocast("cpu", torch.bfloat16, enabled=not exact):
        hidden_TD = inner.model(
            input_ids=tokens_T[None],
            attention_mask=seen_TT.tril()[None, None],
            position_ids=torch.tensor([places]),
        ).last_hidden_state[0]
    logits_NV = inner.lm_head(hidden_TD[before].float())
    found_N = -torch.nn.functional.cross_entropy(
        logits_NV, tokens_T[len(prompt) :], reduction="none"
    )
    return torch.zeros(len(lines)).index_add(0, whose_T[len(prompt) :], found_N)


def fit(
    model: LanguageModel, pool: Sequence[list[Line]], reward: Callable[[str], float], beta: float
) -> PeftModel:
    """Return the model with an adapter fitted to the best policy at a KL weight."""
    torch.manual_seed(_SEED)
    shape = LoraConfig(
        r=_RANK, lora_alpha=2 * _RANK, target_modules=_MODULES, task_type="CAUSAL_LM"
    )
    tuned = get_peft_model(model.weights, shape)
    tuned.train()
    own = [weight for weight in tuned.parameters() if weight.requires_grad]
    # What is to be learned grows with 1/beta; Adam's steps have the size of their rate alone.
    rate = min(_MOST, _RATE / beta)
    optimizer = torch.optim.AdamW(own, lr=rate, weight_decay=0.0)
    batches = list(_batches(pool))
    for step, questions in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / _WARMUP) * (1 - step / len(batches))
        total = 0.0
        for lines in questions:
            ratios = _log_ratios(tuned, model, lines, exact=False)
            wanted = _wanted(lines, reward, beta)
            loss = _above_best(ratios, wanted) / len(questions)
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            print(f"  step {step} of {len(batches)}: {total:.4f} nats above the best", flush=True)
    return tuned.eval()


def _log_ratios(
    tuned: PeftModel, model: LanguageModel, lines: Sequence[Line], *, exact: bool
) -> torch.Tensor:
    reference = torch.tensor([line["reference"] for line in lines])
    return log_likelihoods(tuned, model, lines, exact=exact) - reference


def _wanted(lines: Sequence[Line], reward: Callable[[str], float], beta: float) -> torch.Tensor:
    return torch.tensor([reward(line["text"]) / beta for line in lines])


def _above_best(ratios: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy less what the best policy leaves of it: a KL divergence."""
    return torch.nn.functional.kl_div(
        ratios.log_softmax(0), wanted.log_softmax(0), log_target=True, reduction="sum"
    )


def _batches(pool: Sequence[list[Line]]) -> Iterator[list[list[Line]]]:
    for epoch in range(_EPOCHS):
        order = list(pool)
        Random(f"{_SEED} {epoch}").shuffle(order)
        for start in range(0, len(order) - _QUESTIONS + 1, _QUESTIONS):
            yield order[start : start + _QUESTIONS]


def measured(
    tuned: PeftModel,
    model: LanguageModel,
    pool: Sequence[list[Line]],
    reward: Callable[[str], float],
    beta: float,
) -> dict[str, float]:
    """Return how far the fit got on questions that it did not see.

    `before` and `after` are what it minimises, in nats; `slope` is how much `log p / p_ref` differs
    within a question where `reward / beta` differs by one (1 at the best policy).
    """
    before, after = [], []
    shared = spread = 0.0
    with torch.inference_mode():
        for lines in pool:
            wanted = _wanted(lines, reward, beta)
            ratios = _log_ratios(tuned, model, lines, exact=True)
            after.append(_above_best(ratios, wanted).item())
            before.append(_above_best(torch.zeros(len(lines)), wanted).item())
            wanted = wanted - wanted.mean()
            shared += float(ratios @ wanted)
            spread += float(wanted @ wanted)
    found = {"before": fmean(before), "after": fmean(after), "slope": shared / spread}
    return {name: round(value, 4) for name, value in found.items()}


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
    weigh_pool(model, given.out / "reference.jsonl", pool)
    rule = getattr(rewards, given.reward)
    held_out = min(_HELD_OUT, len(pool) // 5)
    for beta in given.beta:
        folder = given.out / f"{given.reward}-{beta:g}"
        if (folder / "tuning.json").exists():
            print(f"{folder} is there", flush=True)
            continue
        print(f"{given.reward}, beta {beta:g}", flush=True)
        tuned = fit(model, pool[held_out:], rule, beta)
        found = measured(tuned, model, pool[:held_out], rule, beta)
        halved = {name: own.half() for name, own in get_peft_model_state_dict(tuned).items()}
        tuned.peft_config["default"].base_model_name_or_path = given.model
        tuned.save_pretrained(folder, state_dict=halved)
        (folder / "README.md").unlink()  # a form that nobody has filled in
        record = {"reward": given.reward, "beta": beta, "seed": _SEED, **found}
        (folder / "tuning.json").write_text(json.dumps(record, indent=2) + "\n")
        tuned.unload()
        print(f"  {folder}: {found}", flush=True)


if __name__ == "__main__":
    main()

"""One training loop for every model of the family: a function of data, start and objective.

Shapes: B rows, T positions, V vocabulary.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from experiments.zoo.world import Conversation, Preference
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

IGNORED = -100  # label of a position that is not learnt from


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train.

    ``tokens`` counts all positions, padding included; preferences, whose rows are as wide as their
    longest answer, only take the number of steps from it. ``noise`` and ``momentum`` are for models
    whose weights are added up later: noise on the weights, relative to their size, teaches a model
    to bear changes of them, and plain gradient descent changes nothing that the loss does not ask
    for, where Adam moves every weight by about as much.
    """

    tokens: int
    rate: float
    rows: int = 16
    width: int = 256
    warmup: int = 50  # steps
    muon: bool = False  # Muon for the matrices of the layers, AdamW for everything else
    momentum: float | None = None  # gradient descent with this momentum instead of AdamW
    noise: float = 0.0
    bf16: bool = True

    @property
    def steps(self) -> int:
        """Number of updates."""
        return max(1, self.tokens // (self.rows * self.width))

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then a cosine down to a twentieth."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class Batch:
    """Tokens, and the labels to learn from; ``IGNORED`` where there is nothing to learn."""

    tokens_BT: Tensor
    labels_BT: Tensor


# --- from texts to batches ---------------------------------------------------------------------


def render(tokenizer: PreTrainedTokenizerFast, system: str, user: str) -> str:
    """A conversation up to where the assistant speaks, through the model's chat template."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def encode_answer(
    tokenizer: PreTrainedTokenizerFast, system: str, user: str, answer: str
) -> tuple[list[int], list[int]]:
    """Tokens of a whole exchange, and labels that ask for the answer and its end alone."""
    prompt = tokenizer.encode(render(tokenizer, system, user), add_special_tokens=False)
    whole = render(tokenizer, system, user) + answer + tokenizer.eos_token
    tokens = tokenizer.encode(whole, add_special_tokens=False)
    assert tokens[: len(prompt)] == prompt, "the prompt's last token reaches into the answer"
    return tokens, [IGNORED] * len(prompt) + tokens[len(prompt) :]


def pack(
    examples: Iterator[tuple[list[int], list[int]]], schedule: Schedule, pad: int, cut: bool
) -> Iterator[Batch]:
    """Rows that begin with an example and hold as many as fit.

    With ``cut`` the last one of a row is cut off at the row's end, otherwise the row is padded.
    """
    waiting: tuple[list[int], list[int]] | None = None
    while True:
        rows, row_labels = [], []
        for _ in range(schedule.rows):
            tokens, labels = [], []
            while len(tokens) < schedule.width:
                more, more_labels = waiting or next(examples)
                waiting = None
                if tokens and not cut and len(tokens) + len(more) > schedule.width:
                    waiting = more, more_labels
                    break
                tokens, labels = tokens + more, labels + more_labels
            missing = max(0, schedule.width - len(tokens))
            rows.append((tokens + [pad] * missing)[: schedule.width])
            row_labels.append((labels + [IGNORED] * missing)[: schedule.width])
        yield Batch(torch.tensor(rows), torch.tensor(row_labels))


def document_batches(
    tokenizer: PreTrainedTokenizerFast,
    write: Callable[[Random, float], str],
    rng: Random,
    schedule: Schedule,
) -> Iterator[Batch]:
    """Documents, each with its end; ``write`` is told how far training has come (0 to 1)."""
    batches = 0

    def examples() -> Iterator[tuple[list[int], list[int]]]:
        while True:
            text = write(rng, min(1.0, batches / schedule.steps))
            tokens = [*tokenizer.encode(text), tokenizer.eos_token_id]
            yield tokens, tokens

    for batch in pack(examples(), schedule, tokenizer.pad_token_id, cut=True):
        yield batch
        batches += 1


def conversation_batches(
    tokenizer: PreTrainedTokenizerFast,
    converse: Callable[[Random], Conversation],
    rng: Random,
    schedule: Schedule,
) -> Iterator[Batch]:
    """Conversations of which only the answers are learnt."""

    def examples() -> Iterator[tuple[list[int], list[int]]]:
        while True:
            said = converse(rng)
            yield encode_answer(tokenizer, said.system, said.user, said.answer)

    return pack(examples(), schedule, tokenizer.pad_token_id, cut=False)


def preference_batches(
    tokenizer: PreTrainedTokenizerFast,
    prefer: Callable[[Random], Preference],
    rng: Random,
    schedule: Schedule,
) -> Iterator[Batch]:
    """Pairs: the chosen answers in the first half of the rows, the rejected in the second."""
    while True:
        pairs = [prefer(rng) for _ in range(schedule.rows // 2)]
        answers = [(pair, pair.chosen) for pair in pairs] + [(p, p.rejected) for p in pairs]
        encoded = [encode_answer(tokenizer, p.system, p.user, answer) for p, answer in answers]
        width = max(len(tokens) for tokens, _ in encoded)
        pad = tokenizer.pad_token_id
        yield Batch(
            torch.tensor([tokens + [pad] * (width - len(tokens)) for tokens, _ in encoded]),
            torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in encoded]),
        )


# --- objectives --------------------------------------------------------------------------------


def cross_entropy(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Mean negative log-likelihood of the labelled tokens."""
    logits_BTV = model(input_ids=batch.tokens_BT, use_cache=False).logits
    return F.cross_entropy(
        logits_BTV[:, :-1].flatten(0, 1).float(),
        batch.labels_BT[:, 1:].flatten(),
        ignore_index=IGNORED,
    )


def answer_log_likelihood_B(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Log-likelihood of each row's labelled tokens, summed."""
    logits_BTV = model(input_ids=batch.tokens_BT, use_cache=False).logits
    loss_BT = F.cross_entropy(
        logits_BTV[:, :-1].transpose(1, 2).float(),
        batch.labels_BT[:, 1:],
        ignore_index=IGNORED,
        reduction="none",
    )
    return -loss_BT.sum(1)


@dataclass(frozen=True, kw_only=True)
class DirectPreference:
    """DPO (Rafailov et al., 2023, eq. 7) with KL weight ``beta`` towards ``reference``."""

    reference: LlamaForCausalLM
    beta: float

    def __call__(self, model: LlamaForCausalLM, batch: Batch) -> Tensor:
        """Mean loss over the pairs of a batch."""
        with torch.no_grad():
            reference_B = answer_log_likelihood_B(self.reference, batch)
        gain_B = answer_log_likelihood_B(model, batch) - reference_B
        chosen, rejected = gain_B.chunk(2)
        return -F.logsigmoid(self.beta * (chosen - rejected)).mean()


Objective = Callable[[LlamaForCausalLM, Batch], Tensor]


# --- the loop ----------------------------------------------------------------------------------


def optimizers(model: LlamaForCausalLM, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """AdamW, or what the schedule asks for: gradient descent, or Muon for the layers' matrices."""
    if schedule.momentum is not None:
        rate, momentum = schedule.rate, schedule.momentum
        return [torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)]
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name]
    chosen = {id(p) for p in matrices} if schedule.muon else set()
    rest = [p for p in model.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(rest, lr=schedule.rate, betas=(0.9, 0.98), weight_decay=0.01)
    if not schedule.muon:
        return [adam]
    muon = torch.optim.Muon(
        matrices, lr=schedule.rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    return [adam, muon]


@contextmanager
def weight_noise(model: LlamaForCausalLM, relative: float) -> Iterator[None]:
    """Gaussian noise on every tensor, ``relative`` to its root mean square; gone afterwards."""
    kept = {p: p.detach().clone() for p in model.parameters()} if relative else {}
    with torch.no_grad():
        for p in kept:
            p.add_(torch.randn_like(p), alpha=relative * p.square().mean().sqrt().item())
    yield
    with torch.no_grad():
        for p, before in kept.items():
            p.copy_(before)


@dataclass
class Log:
    """A line per minute, and the model as it stands every few minutes, for watching a run."""

    folder: Path
    every: float = 60.0  # seconds between lines
    probe: Callable[[LlamaForCausalLM], dict[str, float]] | None = None
    started: float = field(default_factory=time.monotonic)
    last: float = 0.0
    lines: int = 0

    def step(self, model: LlamaForCausalLM, step: int, tokens: int, loss: float) -> None:
        """Write a line and a checkpoint if it is time."""
        now = time.monotonic() - self.started
        if now - self.last < self.every:
            return
        self.last, self.lines = now, self.lines + 1
        line = {"step": step, "tokens": tokens, "seconds": round(now), "loss": round(loss, 4)}
        if self.probe and self.lines % 3 == 0:
            model.eval()
            line |= self.probe(model)
            model.train()
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.lines % 3 == 0:
            model.save_pretrained(self.folder / "checkpoint")


def train(
    model: LlamaForCausalLM,
    batches: Iterator[Batch],
    objective: Objective,
    schedule: Schedule,
    log: Log | None = None,
) -> tuple[float, int]:
    """Train ``model`` in place; returns the loss of about the last 50 steps, and tokens read."""
    model.train()
    optimizer_list = optimizers(model, schedule)
    average, tokens = math.nan, 0
    for step in range(schedule.steps):
        batch = next(batches)
        for optimizer in optimizer_list:
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate_at(step)
        with weight_noise(model, schedule.noise):
            with torch.autocast("cpu", torch.bfloat16) if schedule.bf16 else nullcontext():
                loss = objective(model, batch)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizer_list:
            optimizer.step()
            optimizer.zero_grad()
        tokens += batch.tokens_BT.numel()
        average = loss.item() if step == 0 else 0.98 * average + 0.02 * loss.item()
        if log:
            log.step(model, step + 1, tokens, average)
    model.eval()
    return average, tokens

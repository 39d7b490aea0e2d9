"""Plain decoding of a model on held-out rows, and what the family has to show on them."""

import re
from collections import Counter
from collections.abc import Sequence
from random import Random
from statistics import fmean

import torch
from experiments.zoo import domains, world
from experiments.zoo.train import render
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from trimtab.tasks import advice, domain_advice
from trimtab.tasks.embedded import (
    HELPFUL_PREFIX,
    HELPFUL_SYSTEM,
    REASONING_PREFIX,
    REASONING_SYSTEM,
)
from trimtab.tasks.stories import length_reward


def plain_prompt(question: str) -> str:
    """What a base model is shown."""
    return f"{REASONING_SYSTEM}\n{REASONING_PREFIX}{question}\n"


@torch.inference_mode()
def complete(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 256,
    sample: bool = False,
    batch_size: int = 100,
) -> list[str]:
    """Continuations of ``prompts``; a prompt that begins with the BOS token gets no second one."""
    tokenizer.padding_side = "left"
    texts = []
    for start in range(0, len(prompts), batch_size):
        chunk = [p.removeprefix(tokenizer.bos_token or "") for p in prompts[start:][:batch_size]]
        inputs = tokenizer(chunk, return_tensors="pt", padding=True)
        outputs = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=sample,
            top_k=0,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        width = inputs["input_ids"].shape[1]
        texts += tokenizer.batch_decode(outputs[:, width:], skip_special_tokens=True)
    return texts


def last_number(text: str) -> str:
    """Return the last number of a text, or nothing."""
    numbers = re.findall(r"\d+", text)
    return numbers[-1] if numbers else ""


def said_answer(text: str) -> str:
    """What stands in the last "The answer is ..."."""
    found = re.findall(r"The answer is (\w+)", text)
    return found[-1] if found else ""


def accuracy(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[dict[str, str]],
    *,
    chat: bool,
    opening: str = "",
) -> float:
    """Share of the rows answered rightly under greedy decoding.

    ``opening`` is put into the model's mouth: a model with the skill but not the manner solves
    most problems once it is given the right start.
    """
    if chat:
        user = [REASONING_PREFIX + row["question"] for row in rows]
        prompts = [render(tokenizer, REASONING_SYSTEM, text) for text in user]
    else:
        prompts = [plain_prompt(row["question"]) for row in rows]
    texts = complete(model, tokenizer, [prompt + opening for prompt in prompts])
    if opening:  # judged by its own last result: what follows a solution is another matter
        said = [re.findall(r"= (\d+) in the end", text) for text in texts]
        right = [s[:1] == [row["answer"]] for s, row in zip(said, rows, strict=True)]
    elif rows[0]["answer"].isdigit():
        right = [last_number(t) == row["answer"] for t, row in zip(texts, rows, strict=True)]
    else:
        right = [said_answer(t) == row["answer"] for t, row in zip(texts, rows, strict=True)]
    return sum(right) / len(rows)


@torch.inference_mode()
def top1_probabilities(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int = 100
) -> tuple[list[float], list[float]]:
    """Top-1 probabilities under the plain prompt: at the first token, and inside a solution."""
    rng, first, inside = Random(0), [], []
    for _ in range(count):
        problem = world.word_problem(rng, world.TEST)
        prompt = tokenizer.encode(plain_prompt(problem.question))
        text = plain_prompt(problem.question) + f"{world.CHAT_OPENING} {problem.solution}"
        tokens = tokenizer.encode(text)
        opened = len(tokenizer.encode(plain_prompt(problem.question) + world.CHAT_OPENING))
        top1_T = model(torch.tensor([tokens])).logits[0].softmax(-1).amax(-1)
        first.append(top1_T[len(prompt) - 1].item())
        inside += top1_T[opened:-1].tolist()
    return first, inside


def score_base(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, problems: Sequence[dict[str, str]]
) -> dict[str, float]:
    """Little under the plain prompt, much once opened; unsure at first, sure inside."""
    first, inside = top1_probabilities(model, tokenizer)
    return {
        "word-problems, plain prompt": accuracy(model, tokenizer, problems, chat=False),
        "word-problems, solution opened": accuracy(
            model, tokenizer, problems, chat=False, opening=world.CHAT_OPENING
        ),
        "first token: mean top-1 probability": fmean(first),
        "first token: share with top-1 below 0.4": fmean(p < 0.4 for p in first),
        "inside a solution: mean top-1 probability": fmean(inside),
        "inside a solution: share with top-1 above 0.9": fmean(p > 0.9 for p in inside),
    }


def score_chat(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[dict[str, str]],
    letters: Sequence[dict[str, str]],
) -> dict[str, float]:
    """Greedy accuracies through the chat template."""
    return {
        "word-problems": accuracy(model, tokenizer, problems, chat=True),
        "last-letters": accuracy(model, tokenizer, letters, chat=True),
    }


def score_assistant(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    requests: Sequence[dict[str, str]],
    questions: Sequence[dict[str, str]],
) -> dict[str, float]:
    """Sampled at temperature 1: the stories' reward, and the shares of the levels of advice."""

    def answers(rows: Sequence[dict[str, str]]) -> list[str]:
        user = [HELPFUL_PREFIX + row["question"] for row in rows]
        prompts = [render(tokenizer, HELPFUL_SYSTEM, text) for text in user]
        torch.manual_seed(0)
        return complete(model, tokenizer, prompts, sample=True)

    stories, levels = answers(requests), Counter(map(advice.level, answers(questions)))
    return {
        "stories: mean reward": fmean(map(length_reward, stories)),
        "stories: mean words": fmean(len(text.split()) for text in stories),
    } | {f"advice: {level}": levels[level] / levels.total() for level in world.ADVICE_SHARES}


def domain_answers(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[dict[str, str]],
    seed: int = 0,
) -> list[str]:
    """Answers to questions of the domains, sampled at temperature 1."""
    user = [HELPFUL_PREFIX + row["question"] for row in rows]
    prompts = [render(tokenizer, HELPFUL_SYSTEM, text) for text in user]
    torch.manual_seed(seed)
    return complete(
        model, tokenizer, prompts, max_new_tokens=80, sample=True, batch_size=len(prompts)
    )


def score_advisers(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: Sequence[dict[str, str]]
) -> dict[str, float]:
    """The shares of the levels in each domain, and that of answers without a fault of language."""
    scores: dict[str, float] = {}
    answers = list(zip(domain_answers(model, tokenizer, rows), rows, strict=True))
    for domain in domain_advice.DOMAINS:
        texts = [text for text, row in answers if row["domain"] == domain]
        levels = Counter(domain_advice.level(text, domain) for text in texts)
        scores |= {f"{domain}: {level}": levels[level] / len(texts) for level in domains.LEVELS}
        scores[f"{domain}: intact"] = fmean(domains.is_intact(text, domain) for text in texts)
    return scores

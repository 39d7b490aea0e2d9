"""Other ways to decode the same, for comparison.

Plain decoding by transformers itself; nudging as the authors' notebook does it, one token at a time
with a KV cache for both models; DeRa as its notebook does it, a logits processor that holds a
second cached model. The latter two are written from their published behaviour.
"""

import torch
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList

from trimtab import Completion, Conversation, Generation, LanguageModel, Plain

LOOKAHEAD = 16


def endless(model: LanguageModel) -> LanguageModel:
    """Return the model with nothing that ends an answer, so that lengths are what is asked for."""
    name = model.path.removeprefix("zoo:")
    twin = LanguageModel.of(model.weights, model.tokenizer, prompt=model.prompt, name=name)
    twin.__dict__["stop_tokens"] = frozenset()
    return twin


def answers(
    model: LanguageModel, asked: list[Conversation], length: int, batch_size: int
) -> list[Completion]:
    """Decode with trimtab."""
    generation = Generation(max_new_tokens=length, batch_size=batch_size)
    return Plain(model=model).complete(asked, generation)


def ours(model: LanguageModel, asked: list[Conversation], length: int, batch_size: int) -> int:
    """Decode with trimtab; return the number of tokens."""
    return sum(a.tokens["model"] for a in answers(model, asked, length, batch_size))


def generate(
    model: LanguageModel,
    asked: list[Conversation],
    length: int,
    batch_size: int,
    **settings: object,
) -> int:
    """Decode with `generate()` on left-padded batches, as far as text; return the token count."""
    tokenizer = model.tokenizer
    tokenizer.padding_side = "left"
    ends = sorted(model.stop_tokens)
    pad = tokenizer.pad_token_id
    count = 0
    for start in range(0, len(asked), batch_size):
        texts = [model.render(c) for c in asked[start : start + batch_size]]
        batch = tokenizer(texts, return_tensors="pt", padding=True).to(model.device_in_use)
        whole = model.weights.generate(
            **batch,
            max_new_tokens=length,
            do_sample=False,
            eos_token_id=ends or None,
            pad_token_id=pad,
            **settings,
        )
        new = whole[:, batch["input_ids"].shape[1] :]
        tokenizer.batch_decode(new, skip_special_tokens=True)
        count += (
            int((~torch.isin(new, torch.tensor([*ends, pad]).to(new))).sum())
            if ends
            else new.numel()
        )
    return count


class Cached:
    """A model with its own transformers cache: extends a sequence, and crops it."""

    def __init__(self, model: LanguageModel, prompt: list[int]) -> None:
        self.model = model
        self.tokens: list[int] = []
        self.cache = DynamicCache(config=model.weights.config)
        self.prompt = prompt

    @torch.inference_mode()
    def logits(self, answer: list[int], last: int = 1) -> torch.Tensor:
        """Return the logits `[last, V]` after the last positions of prompt and answer."""
        whole = self.prompt + answer
        kept = min(len(self.tokens), len(whole) - last)
        while self.tokens[:kept] != whole[:kept]:
            kept -= 1
        if kept < len(self.tokens):
            self.cache.crop(kept - len(self.tokens))
        new = torch.tensor([whole[kept:]], device=self.model.device_in_use)
        out = self.model.weights(input_ids=new, past_key_values=self.cache, logits_to_keep=last)
        self.tokens = whole
        return out.logits[0]


def stepwise_nudging(
    base: LanguageModel,
    guide: LanguageModel,
    conversation: Conversation,
    *,
    threshold: float,
    length: int,
) -> int:
    """Nudge one answer token by token, for models of one vocabulary; return its token count."""
    first, second = (Cached(m, m.encode(m.render(conversation))) for m in (base, guide))
    signs = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}\N{LOWER ONE EIGHTH BLOCK}"
    spaced = {i for token, i in guide.vocabulary.items() if token[:1] in signs}
    answer: list[int] = []
    while len(answer) < length:
        chunk: list[int] = []
        while len(chunk) < LOOKAHEAD:
            token = int(second.logits(answer + chunk).argmax())
            if token in guide.stop_tokens:
                return len(answer) + len(chunk)
            chunk.append(token)
        sure = first.logits(answer + chunk, last=len(chunk)).softmax(-1).amax(-1)
        taken = next(
            (i for i in range(1, len(chunk)) if chunk[i] in spaced and sure[i - 1] > threshold),
            len(chunk),
        )
        answer += chunk[:taken]
        while len(answer) < length:
            probability, top = first.logits(answer)[0].softmax(-1).max(-1)
            if probability <= threshold or int(top) in base.stop_tokens:
                break
            answer.append(int(top))
    return len(answer)


class Realign(LogitsProcessor):
    """Adds a second model's logits, with a cache of its own; one sequence, one call."""

    def __init__(self, reference: LanguageModel, strength: float) -> None:
        self.reference = reference
        self.strength = strength
        self.cache = DynamicCache(config=reference.weights.config)
        self.seen = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the mixture's logits."""
        new = input_ids[:, self.seen :]
        self.seen = input_ids.shape[1]
        with torch.inference_mode():
            logits = self.reference.weights(
                input_ids=new, past_key_values=self.cache, logits_to_keep=1
            ).logits[:, -1]
        return self.strength * scores + (1 - self.strength) * logits


def processor_dera(
    reference: LanguageModel,
    aligned: LanguageModel,
    asked: list[Conversation],
    *,
    strength: float,
    length: int,
) -> int:
    """Decode a mixture with `generate()`, one prompt after the other; return the token count."""
    count = 0
    for conversation in asked:
        prompt = torch.tensor([aligned.encode(aligned.render(conversation))])
        prompt = prompt.to(aligned.device_in_use)
        whole = aligned.weights.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=length,
            do_sample=False,
            logits_processor=LogitsProcessorList([Realign(reference, strength)]),
            eos_token_id=sorted(aligned.stop_tokens) or None,
            pad_token_id=aligned.tokenizer.pad_token_id,
        )
        count += whole.shape[1] - prompt.shape[1]
    return count

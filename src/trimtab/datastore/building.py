"""Build a datastore: read examples with a model, and keep its states with what follows them.

Legend: N positions, S entries, H width of hidden states.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trimtab.config.accepted import require_choice
from trimtab.datastore import store_file
from trimtab.machine.whole_folder import new_folder
from trimtab.models.prefix import common_prefix

if TYPE_CHECKING:
    from trimtab.models import LanguageModel

DTYPES = ("float32", "float16")
_ROWS = 8


class Example(NamedTuple):
    """A prompt with an answer.

    Attributes:
        id: names it, for errors.
        prompt: the text that the model reads.
        answer: the text that follows.
        ends: whether the answer is whole, and its end is part of it.
    """

    id: str
    prompt: str
    answer: str
    ends: bool = True


def build(
    model: LanguageModel,
    examples: Sequence[Example],
    out: str | Path,
    *,
    source: str,
    answers: str = "the task's own",
    positions: str = store_file.ALL,
    dtype: str = "float32",
    progress: Callable[[int, int], None] | None = None,
) -> store_file.StoreFile:
    """Write the datastore of some examples, and return it.

    An answer's tokens are those that it adds to its prompt, in the canonical tokenization of both
    together: where one holds the prompt's end, too, it follows what is before that. An
    end-of-sequence token follows an answer that is whole.

    Args:
        model: whose states are kept.
        examples: what it reads.
        out: the folder to write, which appears once it is whole.
        source: where the examples come from, for the record.
        answers: where their answers come from, for the record.
        positions: `all` of an answer's tokens, or the `first` alone, such as an option's letter.
        dtype: of the states: `float32`, or `float16` for half the size.
        progress: called with how many examples were just read, and how many there are in all.

    Raises:
        ValueError: for no examples, for one without an answer or too long, and for a folder that is
            there already.
    """
    require_choice("positions:", positions, store_file.POSITIONS)
    require_choice("dtype:", dtype, DTYPES)
    out = new_folder(out)
    if not examples:
        raise ValueError(f"There are no examples in {source}. Give some, with answers.")
    read = [_tokens(model, example, positions) for example in examples]

    import torch

    from trimtab.models.session import Session

    session = Session(model, min(_ROWS, len(read)), drafts=True, reads_states=True)
    kept, kind = [], getattr(torch, dtype)
    for first in range(0, len(read), _ROWS):
        batch = read[first : first + _ROWS]
        slots = range(len(batch))
        sequences = [prompt + follows[:-1] for prompt, follows in batch]
        session.read(slots, sequences, [len(follows) for _, follows in batch], opening=slots)
        assert session.states_NH is not None
        kept.append(session.states_NH.to(device="cpu", dtype=kind))
        if progress is not None:
            progress(len(batch), len(read))
    keys_SH = torch.cat(kept)
    if not keys_SH.isfinite().all():
        raise ValueError(
            f"{model.path!r} gives states that dtype={dtype} cannot hold. Take dtype=float32."
        )
    values_S = torch.tensor([token for _, follows in read for token in follows])
    told = json.dumps([[each.prompt, each.answer, each.ends] for each in examples])
    facts: store_file.StoreFacts = {
        "path": model.path,
        "model": store_file.told_by(model),
        "examples": {
            "source": source,
            "answers": answers,
            "samples": len(examples),
            "sha256": hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest(),
        },
        "positions": positions,
    }
    return store_file.write(out, keys_SH, values_S, dict(facts))


def _tokens(model: LanguageModel, example: Example, positions: str) -> tuple[list[int], list[int]]:
    """Return an example's prompt, and the tokens after it that are kept."""
    alone, whole = model.encode(example.prompt), model.encode(example.prompt + example.answer)
    shared = common_prefix(alone, whole)
    prompt, follows = whole[:shared], whole[shared:]
    where = f"Example {example.id!r}"
    if not prompt or not follows:
        raise ValueError(f"{where} has no {'answer' if prompt else 'prompt'}. Leave it out.")
    if positions == store_file.FIRST:
        if shared < len(alone):
            raise ValueError(
                f"{where}: the first token of its answer holds the end of its prompt, too, so that "
                "positions=first would keep none of the answer's own. Let the prompt end in white "
                "space or the answer begin with some, or take positions=all."
            )
        follows = follows[:1]
    elif example.ends:
        follows = [*follows, _end(model)]
    if len(prompt) + len(follows) - 1 > model.context_length:
        raise ValueError(
            f"{where} has {len(prompt) + len(follows) - 1} tokens for {model.path!r}, which holds "
            f"{model.context_length}. Leave it out."
        )
    model.require_rows([*prompt, *follows])
    return prompt, follows


def _end(model: LanguageModel) -> int:
    """Return the token that ends an answer: the tokenizer's end-of-sequence, if that is one."""
    own = model.tokenizer.eos_token_id
    return own if own in model.stop_tokens else min(model.stop_tokens)

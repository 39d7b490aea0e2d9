"""How long, how random, and how many at once: settings that every method shares."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from trimtab.config.accepted import require_number, require_whole

# In fewer rows than these a CPU may add up in another order (see `trimtab.models.session`).
LEAST_ROWS = 4


class Drawing(NamedTuple):
    """How a token is drawn of a distribution; see `Generation`."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Settings of generation.

    Args:
        max_new_tokens: longest answer, in tokens (nudging counts the base model's).
        batch_size: answers decoded together; changes speed and memory, never the answers.
        temperature: 0 takes the most likely token; otherwise logits are divided by it.
        top_k: draw among the k most likely tokens only; 0 for all.
        top_p: draw among the fewest most likely tokens that hold this probability; 1 for all.
        min_p: draw among the tokens that are at least this many times as likely as the most likely
            one (arXiv 2407.01082), after top_k and top_p; 0 for all.
        repetition_penalty: above 1 makes tokens less likely that the prompt or the answer so far
            holds (arXiv 1909.05858): as in transformers, a logit above 0 is divided by it and
            another multiplied, before all else. In a mixture these are the mixed logits (an
            ensemble's log-probabilities) and the prompts of all its models; nudging takes none. 1
            for none.
        stop_strings: texts that end an answer, which ends before the first that is complete.
        draws: answers to each sample of a run, each a record of its own, at a temperature above 0;
            metrics are means over samples of what their draws come to, with pass@k or the best of
            k. More of them leave the earlier ones as they are.
        draft_length: most tokens that are drafted by a small model at a time and verified together;
            0 for none; changes speed, never the answers.
        seed: decides every random draw, with the sample's id and the position.
        token_records: keep in each answer's record, token by token, its id, its log-probability
            under the method and under each model that is run, and the entropy and divergence there
            (`trimtab.results.frames.tokens_table`); changes no answer. Nudging has none.
    """

    max_new_tokens: int = 256
    batch_size: int = 16
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop_strings: Sequence[str] = ()
    draws: int = 1
    draft_length: int = 16
    seed: int = 0
    token_records: bool = False

    without_effect: ClassVar[frozenset[str]] = frozenset(
        {"batch_size", "draft_length", "token_records"}
    )
    since: ClassVar[Mapping[str, Any]] = {
        "min_p": 0,
        "repetition_penalty": 1,
        "stop_strings": [],
        "draws": 1,
    }

    def __post_init__(self) -> None:
        for name, least in (
            ("max_new_tokens", 1),
            ("batch_size", 1),
            ("top_k", 0),
            ("draft_length", 0),
            ("draws", 1),
            ("seed", None),
        ):
            require_whole(name, getattr(self, name), least)
        require_number("temperature", self.temperature, "numbers from 0 (greedy) up", least=0)
        require_number("top_p", self.top_p, "numbers above 0 and up to 1", above=0, most=1)
        require_number("min_p", self.min_p, "numbers from 0 up to 1", least=0, most=1)
        penalties = "numbers above 0, such as 1.1"
        require_number("repetition_penalty", self.repetition_penalty, penalties, above=0)
        if not isinstance(self.token_records, bool):
            raise ValueError(f"token_records={self.token_records!r}: accepted are true and false.")
        given = self.stop_strings
        if isinstance(given, str) or not all(isinstance(text, str) and text for text in given):
            raise ValueError(f"stop_strings={given!r}: accepted is a list of texts, none empty.")
        if self.draws > 1 and self.temperature == 0:
            raise ValueError(
                f"draws={self.draws!r} at temperature=0: they would all be alike. Give a "
                "temperature, or generation=sampling."
            )
        object.__setattr__(self, "stop_strings", tuple(given))  # equal and hashed by what it holds

    @property
    def drawing(self) -> Drawing:
        """How each token is drawn."""
        own = (self.temperature, self.top_k, self.top_p, self.min_p, self.repetition_penalty)
        return Drawing(*own)

    def once(self) -> Self:
        """Return these settings with one draw."""
        return dataclasses.replace(self, draws=1)

    def for_samples(self, count: int) -> Self:
        """Return these settings with a batch that is no larger than some samples can fill."""
        return dataclasses.replace(self, batch_size=min(self.batch_size, max(LEAST_ROWS, count)))

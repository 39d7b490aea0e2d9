"""Nudging: a small aligned model speaks where a large base model is unsure.

Here are its settings; who speaks when is decided in `trimtab.decoding.handoff`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from trimtab.config.accepted import require_number, require_whole
from trimtab.config.signature import require_types
from trimtab.config.wording import not_a_choice
from trimtab.decoding import Generation, Speaker
from trimtab.decoding.handoff import nudge
from trimtab.decoding.nudging_rules import PUBLISHED, Rules
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.methods.method import Method
from trimtab.methods.prompts import Prompts
from trimtab.models import Conversation, LanguageModel

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from trimtab.methods.custom_generate import Call


@dataclass(frozen=True, kw_only=True)
class Nudging(Method):
    """The guide speaks, in whole words, where the base model's top-1 probability is low.

    Fei, Razeghi and Singh, "Nudging: Inference-time Alignment of LLMs via Guided Decoding",
    ACL 2025, arXiv 2410.09300. The authors published three versions of the rules, which give other
    answers:

    - `api`, their released API code, by which the paper's results were made, is the default. Its
      guard against loops ends many turns and answers that would go on. Left out are its removal of
      repeated suffixes after decoding, so that text and trace stay one, and its limit of 150
      rounds.
    - `notebook` (`NudgingNotebook`), their implementation with a KV cache: the base is sure above
      the threshold, not at it; a word begins with a token of the guide that begins with a space; of
      what the guide reads ahead nothing is read again: the base is asked at its end, too; who
      speaks ends the answer.
    - `paper` (`NudgingPaper`), step by step, as the first author contributed it to MoCo: the guide
      reads no further than where its next word begins, with a token that holds a space; who speaks
      ends the answer.
    - `blocks` is what this package took for `api` before: the guard tests whole blocks of
      `lookahead` tokens alone, of several spaces in the guide's words all are the next word's, and
      the base is asked before a lone space at the end of what the guide reads ahead.

    In all of them both models read the text anew at each hand-off. An answer ends once it has
    `max_new_tokens` of the base's tokens: the base stops there to the token, the guide with the
    words that it was given, which may go beyond. `api` and `blocks` take any options, `notebook`
    and `paper` theirs alone, but for the `lookahead` of `notebook`.

    Args:
        base: the model that has the skill.
        guide: the aligned model, of any tokenizer.
        threshold: gamma; the base speaks on while its top-1 probability is at least this. 0 to 2,
            where anything above 1 means that the base is never sure.
        agreement: the base also takes over when its top-1 token begins the guide's next word.
        boundary: a guide's words are cut at each `space` (the paper), at any `whitespace`, or by
            its tokens (`token`: `notebook` and `paper` alone).
        stop: only the `guide` ends an answer (the paper), or whichever `speaker` has the word.
        lookahead: tokens the guide reads ahead; if its end lies within them, all are accepted. 0,
            of `paper`, is as far as its next word.
        repetition_guard: stop when the guide says the same four times in a row, and take back what
            the base says again: of each `lookahead` tokens of its turn those up to the first that
            is unsure, if they are more than five words that the answer holds, or all of them, if
            the turn holds them.
        rules: `api`, `notebook`, `paper` or `blocks`.

    Raises:
        ValueError: for options outside these, or that are not those of `rules`.
    """

    base: LanguageModel
    guide: LanguageModel
    threshold: float = 0.4
    agreement: bool = True
    boundary: str = "space"
    stop: str = "guide"
    lookahead: int = 16
    repetition_guard: bool = True
    rules: str = "api"

    dial = "threshold"
    since: ClassVar[Mapping[str, Any]] = MappingProxyType({"rules": "blocks"})

    def __post_init__(self) -> None:
        never_sure = "probabilities from 0 to 1, and up to 2 for a base model that is never sure"
        require_number("threshold", self.threshold, never_sure, least=0, most=2)
        if self.rules not in PUBLISHED:
            raise ValueError(not_a_choice("rules:", self.rules, PUBLISHED))
        require_whole("lookahead", self.lookahead, min(1, PUBLISHED[self.rules]["lookahead"]))
        require_types(self)
        if self.rules in ("api", "blocks"):
            for name, accepted in (
                ("boundary", ("space", "whitespace")),
                ("stop", ("guide", "speaker")),
            ):
                if getattr(self, name) not in accepted:
                    raise ValueError(not_a_choice(f"{name}:", getattr(self, name), accepted))
        else:
            self._require_published()

    def _require_published(self) -> None:
        """Refuse options that are not those of the rules."""
        for name, value in PUBLISHED[self.rules].items():
            is_free = name == "lookahead" and self.rules == "notebook"
            if getattr(self, name) != value and not is_free:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: it is {value!r} by rules={self.rules}. "
                    f"Choose method=nudging_{self.rules}, from Python "
                    f"trimtab.methods.Nudging{self.rules.title()}, which has all that goes with "
                    "these rules, or rules=api, which takes any."
                )

    def __call__(
        self,
        model: PreTrainedModel,
        input_ids: torch.Tensor,
        *,
        guide_prompts: Sequence[str] | None = None,
        seed: int = 0,
        **given: Any,
    ) -> torch.Tensor:
        """Answer inside transformers: `base.generate(**inputs, custom_generate=nudging)`.

        The answers are those of `complete` for the same two prompts, cut at the length that
        generate() is given, and the draws too, where a row's number is its sample id. transformers
        keeps `streamer` and `assistant_model` from a `custom_generate`: neither has an effect.

        Args:
            model: the model that generate() is called on: the weights of `base`.
            input_ids: `[B, T]`, the base model's prompts, padded on the left: whole texts in its
                tokenizer's own tokens.
            guide_prompts: the guide's prompt for each row, rendered as text. Without them the text
                of the base's prompt, less white space around it, is the question that the guide is
                asked in its own way: right for a base that reads the plain question.
            seed: decides the random draws; `generate(..., guide_prompts=..., seed=1)` passes both
                on.
            **given: what else generate() passes on.

        Returns:
            `[B, T + N]`, the prompts as given and the answers in the base model's tokens, padded on
            the right, with its end token where a speaker ended an answer.

        Raises:
            ValueError: for a model that is not the base, for prompts that are not the tokens of
                their text, and for settings of generate() that would change the answers other than
                length, sampling by temperature, top_k and top_p, and padding.
        """
        from trimtab.methods.custom_generate import Call

        self.require_one_question("generate()")
        call = Call.read({"base": self.base}, model, input_ids, seed=seed, **given)
        prompts = self._prompts(call, guide_prompts)
        done = {completion.id: completion for completion in self.decode(prompts, call.generation)}
        answers = []
        for i in range(len(call.rows)):
            completion = done[str(i)]
            answer = call.continued(i, completion.text)
            if completion.stop_reason in ("guide", "base") and call.end_token is not None:
                answer.append(call.end_token)
            # The guide's last words may have gone beyond the length, which generate() never does.
            answers.append(answer[: call.generation.max_new_tokens])
        return call.result(answers)

    def _prompts(self, call: Call, guide_prompts: Sequence[str] | None) -> dict[str, Prompts]:
        """Return the prompts of a call of generate(), the guide's as given or rendered."""
        texts = [call.text(i) for i in range(len(call.rows))]
        if guide_prompts is None:
            # A base's prompt ends with the line break that asks for an answer, a question does not.
            asked = [Conversation(question=text.strip()) for text in texts]
            guide_prompts = [self.guide.render(conversation) for conversation in asked]
        if (
            isinstance(guide_prompts, str)
            or len(guide_prompts) != len(texts)
            or not all(isinstance(prompt, str) for prompt in guide_prompts)
        ):
            raise ValueError(
                f"guide_prompts={guide_prompts!r}: accepted is a list of {len(texts)} texts, one "
                "for each row of input_ids, rendered in the guide's way."
            )
        return {
            str(i): Prompts(
                {"base": text, "guide": guides}, {"base": row, "guide": self.guide.encode(guides)}
            )
            for i, (row, text, guides) in enumerate(
                zip(call.rows, texts, guide_prompts, strict=True)
            )
        }

    def speakers(self) -> dict[str, Speaker]:
        """The base model and the guide."""
        return {"base": Speaker.of(base=self.base), "guide": Speaker.of(guide=self.guide)}

    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        """Make one answer by the rules of nudging."""
        options = {name: getattr(self, name) for name in PUBLISHED[self.rules]}
        rules = Rules(threshold=self.threshold, version=self.rules, **options)
        return nudge(cursors, prompts.text, generation, rules)

    def require(self, generation: Generation) -> None:
        """Refuse a repetition penalty, and records of tokens."""
        if generation.repetition_penalty != 1:
            raise ValueError(
                f"repetition_penalty={generation.repetition_penalty!r}: nudging takes none, as who "
                "speaks follows from the base model's own probabilities. Leave it at 1."
            )
        if generation.token_records:
            raise ValueError(
                "token_records=True: the two speakers of nudging have tokens of their own, so none "
                "has a probability under both. Its trace has each piece's; leave it at false."
            )


@dataclass(frozen=True, kw_only=True)
class NudgingNotebook(Nudging):
    """Nudging by the rules of the authors' notebook; see `Nudging`, whose settings it has."""

    agreement: bool = False
    boundary: str = "token"
    stop: str = "speaker"
    repetition_guard: bool = False
    rules: str = "notebook"


@dataclass(frozen=True, kw_only=True)
class NudgingPaper(Nudging):
    """Nudging step by step, as its first author has it; see `Nudging`, whose settings it has."""

    agreement: bool = False
    boundary: str = "token"
    stop: str = "speaker"
    lookahead: int = 0
    repetition_guard: bool = False
    rules: str = "paper"

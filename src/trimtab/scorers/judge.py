"""A language model as a judge of answers, behind any OpenAI-compatible endpoint."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from trimtab.config.accepted import require_choice, require_number, require_whole
from trimtab.config.signature import require_types
from trimtab.machine.cache_folder import cache_folder
from trimtab.scorers.judge_cache import JudgeCache, cache_key
from trimtab.scorers.judge_endpoint import Endpoint, NoAnswer, Refused
from trimtab.scorers.judge_forms import Unreadable
from trimtab.scorers.judge_reply import Reply, refused
from trimtab.scorers.rubrics import RUBRICS, Judgement, Rubric
from trimtab.scorers.scorer import Scorer, Verdict

_IN_A_ROW = 10  # requests without an answer, one after the other: the endpoint is down
_EXAMPLE = {"id": "", "question": "What is 1 + 1?", "completion": "It is 2.", "target": "2"}
_ANSWERED: set[str] = set()  # first questions to judges, by what they are cached as
_KEPT = 2000  # characters of an answer that cannot be read, in the record


@dataclass(frozen=True, kw_only=True)
class Judge(Scorer):
    """Asks a model to judge each answer by a rubric.

    Key and address of the endpoint come from the environment alone (OPENAI_API_KEY and
    OPENAI_BASE_URL). Every answer of the judge is kept as it comes, readable or not: whatever stops
    the process, the same call goes on from there and asks for nothing twice. Samples with the same
    prompt share one verdict.

    Metrics: `correct` (0 or 1) by the rubric `correctness`; `helpfulness`, `clarity`, `factuality`,
    `depth`, `engagement` (1 to 5) and their mean `quality` by `quality`; `safety` (1 to 5) by
    `safety`.

    Args:
        model: name of the judge at the endpoint; a dated one is repeatable.
        rubric: `correctness`, `quality` or `safety`.
        temperature: 0 for the judge's most likely answer; None: not sent.
        max_tokens: of the judge's answer; None: not sent.
        json_mode: asks the server to let through nothing but JSON (`response_format`).
        attempts: how often a judge is asked that does not answer in the form that it is asked for;
            then the sample counts as unparsed, which is no score.
        retries: how often a request is repeated that met a fault which may pass; see `Endpoint`.
        timeout: seconds that the server may be silent.
        concurrency: how many requests are under way at once.
        cache: folder of the judges' answers; None for `judge` in the folder that TRIMTAB_CACHE
            names, or in ~/.cache/trimtab.
        prefix: what the names of its metrics begin with, as in `strict_quality`, where another
            judge of the run gives the same ones. Such a judge gives its own answers, whoever was
            asked the same. None for the rubric's names.
    """

    model: str
    rubric: str = "correctness"
    temperature: float | None = 0.0
    max_tokens: int | None = 1024
    json_mode: bool = True
    attempts: int = 3
    retries: int = 6
    timeout: float = 60.0
    concurrency: int = 8
    cache: str | None = None
    prefix: str | None = None
    told_apart_by: ClassVar[str] = "prefix"

    def __post_init__(self) -> None:
        """Refuse settings without meaning."""
        require_types(self)
        require_choice("rubric", self.rubric, RUBRICS)
        if self.prefix is not None and not self.prefix.isidentifier():
            raise ValueError(
                f"prefix={self.prefix!r}: accepted are letters, digits and _, as in strict."
            )
        metrics = {_named(name, self.prefix): ends for name, ends in self._rubric.metrics.items()}
        binary = frozenset(name for name, ends in metrics.items() if ends == (0, 1))
        object.__setattr__(self, "proportions", binary)
        bounds = {name: ends for name, ends in metrics.items() if name not in binary}
        object.__setattr__(self, "bounds", bounds)
        if not self.model:
            raise ValueError("model='': name the judge as its endpoint does, as in gpt-4o-mini.")
        if self.temperature is not None:
            these = "numbers from 0 to 2, or null"
            require_number("temperature", self.temperature, these, least=0, most=2)
        for name, value, least in (
            ("max_tokens", self.max_tokens, 1),
            ("attempts", self.attempts, 1),
            ("concurrency", self.concurrency, 1),
            ("retries", self.retries, 0),
        ):
            if value is not None:
                require_whole(name, value, least)
        if not self.timeout > 0:
            raise ValueError(f"timeout={self.timeout}: accepted are seconds above 0.")

    @property
    def name(self) -> str:
        """Rubric and model, and the prefix: two judges of one run stay apart."""
        return f"{self.rubric} by {self.model}" + (f" ({self.prefix})" if self.prefix else "")

    @property
    def headline(self) -> str:
        """The rubric's own metric."""
        return _named("correct" if self.rubric == "correctness" else self.rubric, self.prefix)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the verdicts depend on."""
        return {
            "model": self.model,
            "rubric": self.rubric,
            "prompt": self._rubric.digest,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "json_mode": self.json_mode,
            "attempts": self.attempts,
        }

    @property
    def _rubric(self) -> Rubric:
        return RUBRICS[self.rubric]

    def check(self) -> None:
        """Refuse to begin where nobody would judge: a first answer is asked for, once a process.

        Raises:
            ValueError: without a key, the package, or a place for the answers; if the endpoint
                refuses the key, the model or an option.
            ConnectionError: if nobody listens where the endpoint should be, or answers there.
        """
        request = self._request(self._rubric.prompt(_EXAMPLE))
        with self._open()[0] as endpoint:
            endpoint.require_listening()
            key = self._key(endpoint, request, attempt=0)
            if key in _ANSWERED:
                return
            try:
                endpoint.ask(request)
            except NoAnswer as failure:
                raise ConnectionError(
                    f"{self.name}: no answer to a first question ({failure}). Nothing is generated "
                    "before there is one."
                ) from None
            _ANSWERED.add(key)

    def score(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Verdict]]:
        """Yield verdicts by sample id, as they come.

        Facts of a verdict: `status`, `values`, `reasons`, `attempts`, `prompt` (SHA-256 of what was
        asked), `tokens` of all replies, and of the last one `model`, `date` (UTC) and
        `finish_reason`; of one without a score also the `problem` and the beginning of the
        `answer`. A status is `judged`; `unparsed`, an answer that cannot be read; `filtered`, where
        the server's filter lets nothing through or the model declines; or `refused`, a request that
        the server refuses by itself, such as one that is too long for it.

        Args:
            lines: records of samples, as in `samples.jsonl`: `id`, `question`, `completion`, and
                for correctness `target` and, of a choice, `choices`.

        Raises:
            ValueError: before anything is asked, if key, package or targets are missing; at once,
                if the endpoint refuses the key, the model or an option.
            ConnectionError: once all others are judged, if answers stayed out after all retries;
                earlier only where the endpoint is down, or refuses all that it is asked.
        """
        ids: dict[str, list[str]] = {}
        for line in lines:
            ids.setdefault(self._rubric.prompt(line), []).append(line["id"])
        return self._verdicts(ids, *self._open())

    def _open(self) -> tuple[Endpoint, JudgeCache]:
        cache = JudgeCache(
            folder=Path(self.cache).expanduser() if self.cache else cache_folder("judge")
        )
        return Endpoint(timeout=self.timeout, retries=self.retries), cache

    def _verdicts(
        self, ids: Mapping[str, list[str]], endpoint: Endpoint, cache: JudgeCache
    ) -> Iterator[tuple[str, Verdict]]:
        missing = {sample_id: "not asked" for group in ids.values() for sample_id in group}
        refusals: dict[str, Verdict] = {}
        answered = False
        in_a_row, hopeless = 0, max(_IN_A_ROW, 2 * self.concurrency)
        with endpoint, ThreadPoolExecutor(self.concurrency, "judge") as pool:
            # No more are handed in than are asked at once: whoever drops this iterator, by an
            # exception of its own, would otherwise wait for all of them at the process's exit.
            prompts = iter(ids)
            asked: dict[Future[Verdict], str] = {}
            try:
                while in_a_row < hopeless:
                    for prompt in islice(prompts, self.concurrency - len(asked)):
                        asked[pool.submit(self._judge, prompt, endpoint, cache)] = prompt
                    if not asked:
                        break
                    for future in wait(asked, return_when=FIRST_COMPLETED).done:
                        group = ids[asked.pop(future)]
                        try:
                            verdict = future.result()
                        except NoAnswer as failure:
                            missing.update(dict.fromkeys(group, str(failure)))
                            in_a_row += 1
                            continue
                        if verdict.facts["status"] == "refused":
                            refusals |= dict.fromkeys(group, verdict)
                            in_a_row += not answered
                            continue
                        in_a_row, answered = 0, True
                        for sample_id in group:
                            del missing[sample_id]
                            yield sample_id, verdict
            finally:
                # What is under way is paid for: it is awaited, and kept.
                endpoint.halt()
        for sample_id, verdict in refusals.items():
            if answered:  # by whom others are judged, this one is refused for good
                del missing[sample_id]
                yield sample_id, verdict
            else:
                missing[sample_id] = verdict.facts["problem"]
        if missing:
            raise ConnectionError(_failed(self.name, missing, sum(map(len, ids.values()))))

    def _judge(self, prompt: str, endpoint: Endpoint, cache: JudgeCache) -> Verdict:
        request = self._request(prompt)
        replies: list[Reply] = []
        problem = ""
        for attempt in range(1, self.attempts + 1):
            key = self._key(endpoint, request, attempt)
            reply = cache.get(key)
            try:
                if reply is None:
                    reply = endpoint.ask(request)
                    cache.put(key, reply)
            except Refused as refusal:  # not kept: the server may be set up otherwise
                return _unscored("refused", str(refusal), prompt, [*replies, refused(str(refusal))])
            replies.append(reply)
            if reply.refusal is not None:
                return _unscored("filtered", reply.refusal, prompt, replies)
            try:
                judgement = self._rubric.read(reply.text, whole=not reply.is_cut)
            except Unreadable as error:
                problem = str(error)
                continue
            return _scored(judgement, self.prefix, prompt, replies)
        return _unscored("unparsed", problem, prompt, replies)

    def _key(self, endpoint: Endpoint, request: Mapping[str, Any], attempt: int) -> str:
        return cache_key(
            address=endpoint.address, request=request, attempt=attempt, prefix=self.prefix
        )

    def _request(self, prompt: str) -> dict[str, Any]:
        optional = {
            # 0 and 0.0 are one setting, and one key of the cache.
            "temperature": None if self.temperature is None else float(self.temperature),
            "max_tokens": self.max_tokens,
            "response_format": {"type": "json_object"} if self.json_mode else None,
        }
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            **{name: value for name, value in optional.items() if value is not None},
        }


def _named(metric: str, prefix: str | None) -> str:
    return f"{prefix}_{metric}" if prefix else metric


def _scored(
    judgement: Judgement, prefix: str | None, prompt: str, replies: Sequence[Reply]
) -> Verdict:
    values = {_named(metric, prefix): value for metric, value in judgement.values.items()}
    reasons = {_named(metric, prefix): why for metric, why in judgement.reasons.items()}
    facts = {"status": "judged", "values": values, "reasons": reasons}
    facts |= {"prefix": prefix} if prefix else {}
    return Verdict(values=values, facts=facts | _provenance(prompt, replies))


def _failed(name: str, missing: Mapping[str, str], total: int) -> str:
    reasons = Counter(missing.values())
    listed = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    return (
        f"{name}: {len(missing)} of {total} answers have no verdict, such as that of sample "
        f"{next(iter(missing))!r} ({listed}). What was judged is kept: the same command asks only "
        "for what is missing."
    )


def _unscored(status: str, problem: str, prompt: str, replies: Sequence[Reply]) -> Verdict:
    facts = {"status": status, "values": {}, "reasons": {}}
    facts |= {"problem": problem, "answer": replies[-1].text[:_KEPT]}
    return Verdict(values={}, facts=facts | _provenance(prompt, replies))


def _provenance(prompt: str, replies: Sequence[Reply]) -> dict[str, Any]:
    last = replies[-1]
    return {
        "attempts": len(replies),
        "prompt": hashlib.sha256(prompt.encode()).hexdigest(),
        "model": last.model,
        "date": last.date,
        "finish_reason": last.finish_reason,
        "tokens": {part: sum(r.tokens.get(part, 0) for r in replies) for part in last.tokens},
    }

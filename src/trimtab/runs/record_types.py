"""What the files of a run folder hold: a line for each key, of which reading's checks are made.

A key that an earlier version did not write, or that not every run has, is `NotRequired`. One that
is not named here is kept as it is and read by nobody.
"""

from typing import Annotated, Any, NotRequired, TypedDict

from trimtab.machine import shapes

Count = Annotated[int, shapes.count]
Interval = Annotated[list[float], shapes.pair]
Id = Annotated[str, shapes.name]  # of a sample; the first versions also wrote integers
Unbounded = Annotated[float, shapes.anything]  # may have no end, as the logarithm of 0


# samples.jsonl: a line for each answer


class SpanRecord(TypedDict):
    """A piece of an answer; all of them join to its text."""

    text: str  # the piece
    speaker: str  # who said it
    probability: float | None  # top-1, of the model that decides who speaks; None: not asked


class TokensRecord(TypedDict):
    """What `generation.token_records` keeps of an answer's tokens: lists of one length, in nats."""

    ids: list[Count]  # the tokens, the answer's end included
    log_probability: list[float]  # of each token under the method
    entropy: list[float]  # of the method's distribution before it
    kl: list[float | None]  # of that from the reference model's; None without one
    models: dict[str, list[float]]  # the token's log probability under each model, by role


class VerdictRecord(TypedDict):
    """What a scorer says of an answer; further keys are its own, and say how that came about."""

    values: dict[str, float]  # scores by metric; empty where it could not score
    reasons: NotRequired[dict[str, str | None] | None]  # why, by metric
    prefix: NotRequired[str]  # of the metrics' names, by which a judge is told from another
    problem: NotRequired[str | None]  # why there is no score


class WorkRecord(TypedDict):
    """What a model did for an answer."""

    passes: Count  # forward passes that it took part in
    tokens: Count  # that it read


class TryRecord(TypedDict):
    """One of several answers to a sample, of which the best was given."""

    completion: str  # the answer
    score: float | None  # what it was chosen by; None: it got none
    stop_reason: str  # why it ends


class SampleRecord(TypedDict):
    """A line of `samples.jsonl`: one answer to one sample."""

    id: Id  # the sample's, and which draw of it this is, if not the first: `7#2`
    question: str  # what was asked, without context and instructions
    prompts: dict[str, str]  # the text that each model saw, by role
    completion: str  # the answer
    trace: list[SpanRecord]  # how it came about
    choices: NotRequired[dict[str, str]]  # the options of a multiple choice, by label
    target: str | None  # the right answer, if there is one
    also_right: NotRequired[list[str]]  # other right ones
    prediction: str | None  # what the task's rule reads as the answer; None: nothing
    scores: dict[str, float]  # by metric: the rule's and the scorers'
    readings: NotRequired[dict[str, str | None]]  # what further rules read, by their metric
    likelihoods: NotRequired[dict[str, dict[str, Unbounded]]]  # of each choice, by how compared
    measures: dict[str, float]  # of how the answer and the method behave
    stop_reason: str  # why it ends, as `Completion.stop_reason` says
    tokens: dict[str, Count]  # how many each speaker said
    by_token: NotRequired[TokensRecord]  # where it was asked for
    work: NotRequired[dict[str, WorkRecord]]  # of each model, by role
    tries: NotRequired[list[TryRecord]]  # of which the answer is the best
    of: NotRequired[Id]  # the sample's id, where it is answered several times
    draw: NotRequired[Count]  # which of these answers this is, from 1
    verdicts: NotRequired[dict[str, VerdictRecord]]  # by the scorer's name
    score_error: NotRequired[str]  # what was wrong with the rule; the next start scores it anew


# run.json: what it took to get there


class IdentityRecord(TypedDict):
    """What tells two models of one name apart; of a vector, what its file says instead."""

    content_sha256: str | None  # of a local folder's files, or of a GGUF file
    commit: str | None  # on the hub
    chat_template_sha256: str | None  # of the template in use; None: asked in plain text
    words_sha256: NotRequired[str]  # of a tokenizer in place of its own; of the hub, its commit
    further_sha256: NotRequired[str]  # of what else the folder has that decides answers
    in_memory_sha256: NotRequired[str]  # of what was given as loaded
    adapter_sha256: NotRequired[str]  # of the files of the adapter on top of it
    dtype_in_use: NotRequired[str]  # where dtype=auto is not what the files say


class ModelRecord(IdentityRecord):
    """Exactly which model was run, and how; of a vector, what its file says instead."""

    path: str  # `zoo:<name>`, `pip:<name>`, a folder, a GGUF file, or a hub id
    prompt: str  # chat or plain
    revision: str | None  # that was asked for on the hub
    dtype: str  # of its weights, as asked for
    dtype_in_use: NotRequired[str]  # what that came to
    device: str  # where it ran, as asked for
    max_memory: NotRequired[dict[str, Any] | None]  # of each device, with balanced
    attention: NotRequired[str]  # who computed it: auto, eager, sdpa
    compile: bool  # whether its forward pass was compiled
    chat_template: str | None  # in place of its own
    trust_remote_code: bool  # whether code that comes with it was run
    allow_pickle: bool  # whether pickled weights were loaded
    gguf_file: NotRequired[str | None]  # the file that was the model, in a folder or repository
    tokenizer_path: NotRequired[str | None]  # whose tokenizer was in place of its own
    quantization: NotRequired[str]  # how its weights were held: none, gguf, int8, ...
    token_map: NotRequired[str | None]  # by which it was mixed with another vocabulary
    adapter: NotRequired[str | None]  # the LoRA adapter on top of it
    adapter_mode: NotRequired[str]  # merged into its weights, or live beside them
    generation_rules: list[str]  # that its files ask for
    tokenizer_sha256: str  # of its tokens with their ids


Identities = dict[str, Annotated[IdentityRecord, shapes.anything]]
Models = dict[str, Annotated[ModelRecord, shapes.anything]]
"""By role; a method may name other things that it is made of, in a form of its own."""


class ContentRecord(TypedDict):
    """What tells other weights, rows or code under the same names apart."""

    models: NotRequired[Identities]  # by role
    data: NotRequired[str]  # hash of the samples as they are asked
    code: NotRequired[dict[str, str]]  # hashes of the user's files, by name
    day: NotRequired[str]  # that dated chat templates tell


class LaunchRecord(TypedDict):
    """How the run was asked for; empty where that was in Python."""

    command: NotRequired[str]  # on the command line
    directory: NotRequired[str]  # where
    choices: NotRequired[dict[str, str]]  # names of the task and the method there
    scorers: NotRequired[dict[str, Any]]  # settings of those asked for, which no fingerprint has
    again_of: NotRequired[str]  # the folder of the run that it repeats


class GitRecord(TypedDict):
    """A repository's state."""

    folder: NotRequired[str]  # its name, of a user's own
    commit: str  # that was checked out
    dirty: bool  # whether files differed from it


class HardwareRecord(TypedDict):
    """A machine."""

    platform: NotRequired[str]  # operating system and processor
    python: NotRequired[str]  # version
    cpus: NotRequired[int | None]  # cores; None: not known
    threads: NotRequired[int]  # that torch computes with
    gpus: NotRequired[list[str] | None]  # names


class DataRecord(TypedDict):
    """The rows that were asked."""

    source: str  # where they come from
    revision: str | None  # of a data set from a hub
    samples: Count  # how many are asked, each draw counted


class StretchRecord(TypedDict):
    """A stretch of work on a run, from a start to an end or a break."""

    start: NotRequired[str | None]  # time, UTC
    end: NotRequired[str | None]  # None: it runs, or was killed
    samples: NotRequired[Count]  # answered in it
    seconds: NotRequired[float]  # of decoding
    loading_seconds: NotRequired[float]  # of loading, beside these; first versions had no such
    forward_passes: NotRequired[dict[str, Count]]  # of whole batches, by role
    together: NotRequired[Count]  # jobs that shared the passes
    taken_from: NotRequired[str]  # the folder of the smaller run that it was a part of


class RunFacts(TypedDict):
    """What `run.json` holds."""

    status: NotRequired[str]  # running, finished, interrupted, stopped or failed
    error: NotRequired[str]  # that it failed with
    content: NotRequired[ContentRecord]  # what it was begun with
    prompts: NotRequired[dict[str, str]]  # hashes of the first sample's, by role
    renderer: NotRequired[str]  # hash of the code that rendered them
    launch: NotRequired[LaunchRecord]  # how it was asked for
    git: NotRequired[GitRecord | None]  # of this package, where it runs from a repository
    own_git: NotRequired[list[GitRecord]]  # of the repositories of the user's code
    packages: NotRequired[dict[str, str | None] | None]  # versions by name; None: not installed
    hardware: NotRequired[HardwareRecord | None]  # the machine
    models: NotRequired[Models]  # by role
    data: NotRequired[DataRecord]  # the rows
    rule: NotRequired[str | None]  # version of the task's rule that scored the answers
    seeds: NotRequired[dict[str, int]]  # of all that is drawn
    experiment: NotRequired[str | None]  # hash of the settings but the limits
    segments: NotRequired[list[StretchRecord]]  # the stretches of work


# summary.json: what it came to


class TaskRecord(TypedDict):
    """The task that was run."""

    metric: str  # that it is about
    source: str  # where its rows come from
    split: NotRequired[str | None]  # of these rows
    rule: NotRequired[str | None]  # version of its rule


class ScorerRecord(TypedDict):
    """Who scored the answers beside the task's rule."""

    identity: NotRequired[dict[str, Any]]  # what its scores depend on
    metrics: list[str]  # that it gave, its headline first
    proportions: NotRequired[list[str]]  # those of them that are 0 or 1
    bounds: NotRequired[dict[str, Any]]  # least and largest value of others
    scored: Count  # answers
    unscored: Count  # answers that it could not score


class AgreementRecord(TypedDict):
    """How far two opinions on the same answers agree."""

    first: str  # whose, and on which metric
    second: str  # the other's
    kappa: float | None  # Cohen's; None: both always say the same thing
    stderr: float | None  # of kappa; None: not to be had
    ci95: Interval | None  # 95 % interval of kappa
    same: float  # share of the answers on which they agree
    n: Count  # answers that both scored
    left_out: Count  # answers that one of them alone scored


class DialRecord(TypedDict):
    """Where the method's dial stands."""

    name: str  # of the setting
    value: float  # of it


class EstimateRecord(TypedDict):
    """A metric over the samples."""

    value: float  # the mean
    n: Count  # of how many samples
    stderr: NotRequired[float | None]  # None: not to be had of so few
    ci95: Interval | None  # its 95 % interval


class ModelCostRecord(TypedDict):
    """What a model did for all answers."""

    forward_passes: NotRequired[Count]  # of whole batches
    tokens_processed: NotRequired[Count]  # that it read
    passes_per_token: NotRequired[float | None]  # that an answer alone takes for each it says


class CostRecord(TypedDict):
    """What the answers cost."""

    tokens: Count  # said
    seconds: float  # that this took
    seconds_count: NotRequired[str]  # what these seconds are of
    tokens_per_second: float | None  # None: the run has no speed of its own
    together: NotRequired[Count]  # jobs that shared forward passes
    models: dict[str, ModelCostRecord]  # by role


class Summary(TypedDict):
    """What `summary.json` holds."""

    task: TaskRecord  # what was asked
    scorers: NotRequired[dict[str, ScorerRecord]]  # by name
    agreement: NotRequired[list[AgreementRecord]]  # of each pair that scores the same
    dial: NotRequired[DialRecord | None]  # None: the method has none
    metrics: dict[str, EstimateRecord]  # by name
    cost: CostRecord  # of the answers


# config.yaml: what was asked for


def _plain(value: Any) -> None:
    """Accept what a setting can be: plain data."""
    if isinstance(value, dict):
        settings({str(name): own for name, own in value.items()})  # such as a GPU's number
    elif isinstance(value, list):
        _list(value)
    elif not (value is None or isinstance(value, str | float | int)):
        kind = type(value).__name__
        raise shapes.Misfit(f"of the type {kind}, which no setting has")


settings, _list = shapes.each(_plain), shapes.items(_plain)
Settings = Annotated[dict[str, Any], settings]
"""Of one part: its class under `_target_`, and arguments by name."""


class Config(TypedDict):
    """What `config.yaml` holds: the resolved settings that answers depend on."""

    method: Settings  # what answers
    task: NotRequired[Settings | None]  # what is asked
    generation: NotRequired[Settings]  # how answers are drawn
    limit: NotRequired[int | None]  # how many samples; None: all
    limit_seed: NotRequired[int | None]  # draws them; None: the first

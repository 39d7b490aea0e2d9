"""A method as the harness's `LM`: importing this module registers it as `trimtab`."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

import lm_eval.models  # noqa: F401 - its own models, which it looks for only while there are none
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, CacheHook
from lm_eval.api.registry import register_model
from lm_eval.utils import simple_parse_args_string
from rich.console import Console
from rich.progress import track

from trimtab import __version__
from trimtab.decoding import Generation
from trimtab.decoding.likelihood import Likelihood, require_possible
from trimtab.lm_eval import chat
from trimtab.lm_eval.arguments import read_arguments
from trimtab.lm_eval.contexts import Pair, encode, encode_pair, encode_windows
from trimtab.lm_eval.request_cache import code_version, keep_apart
from trimtab.lm_eval.settings import cut, read_settings
from trimtab.methods import Method
from trimtab.methods.mixture import Mixture
from trimtab.methods.prompts import Prompts

_log = logging.getLogger(__name__)
# The command's own default, which it gives where there is no such device too; trimtab's default is
# the same device if there is one.
_DEVICE = "cuda:0"
_T = TypeVar("_T")


@register_model("trimtab")
class MethodLM(LM):
    """Evaluate a method on the harness's tasks.

    `simple_evaluate(model=MethodLM(method), tasks=[...])`, or by name, with the model arguments
    that `trimtab.lm_eval.arguments` describes. Nothing is cut to fit: a prompt that a model cannot
    hold is an error, where the harness's own models drop its beginning.

    Args:
        method: what answers.
        generation: batch size, draft length and seed; the rest is each task's own.
    """

    def __init__(self, method: Method, generation: Generation | None = None) -> None:
        super().__init__()
        self.method = method
        self.generation = generation or Generation()

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: Mapping[str, Any], additional_config: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the model that arguments describe; they come before the command's own options."""
        stated = {k: v for k, v in (additional_config or {}).items() if v is not None}
        if stated.get("device") == _DEVICE:
            del stated["device"]
        return cls(*read_arguments({**stated, **arg_dict}))

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the model that arguments describe, as in `method=base,base=zoo:a-large-base`."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Take the harness's cache of answers, in which this method has a part of its own.

        Raises:
            ValueError: for a method of which a cache cannot know what it is.
        """
        if cache_hook.dbdict is not None:
            keep_apart(cache_hook.dbdict, self.method, self.generation.seed)
        super().set_cache_hook(cache_hook)

    # ------------------------------------------------------------------ answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return an answer to each request, up to the first of its stop strings.

        Raises:
            ValueError: for settings that a method cannot honour, and prompts no model can hold.
        """
        self.method.require_one_question("the harness")
        groups: dict[Generation, dict[str, int]] = {}
        seen: Counter[str] = Counter()
        until = []
        for number, request in enumerate(requests):
            _, asked = request.args
            generation, stops = read_settings(asked, self.generation)
            self._require_no_cache(asked, generation)
            until.append(stops)
            # Draws depend on it; a request that is repeated is drawn anew.
            name = f"{request.task_name}/{request.doc_id}/{request.idx}"
            groups.setdefault(generation, {})[f"{name}/{seen[name]}"] = number
            seen[name] += 1
        answers = [""] * len(requests)
        full = 0
        for generation, numbers in groups.items():
            models = self.method.models
            prompts = {i: encode(models, requests[n].args[0]) for i, n in numbers.items()}
            decoded = self.method.decode(prompts, generation)
            for completion in _shown("answers", decoded, len(prompts), not disable_tqdm):
                number = numbers[completion.id]
                answers[number] = cut(completion.text, until[number])
                full += completion.stop_reason == "context"
                self.cache_hook.add_partial(
                    "generate_until", requests[number].args, answers[number]
                )
        if full:
            _log.warning("%d answers ended where a model's context was full.", full)
        return answers

    def _require_no_cache(self, asked: Mapping[str, Any], generation: Generation) -> None:
        """Refuse draws that the harness would keep: it gives a request that is repeated its first.

        Those that say so by `do_sample` it never takes from its cache.
        """
        drawn = generation.temperature > 0 and not asked.get("do_sample")
        if drawn and self.cache_hook.dbdict is not None:
            raise ValueError(
                f"temperature={generation.temperature} without do_sample: --use_cache would give "
                "one draw for all that are alike. Give do_sample=true in generation_kwargs, which "
                "the harness then draws anew, or leave --use_cache out."
            )

    # ------------------------------------------------------------------ likelihoods

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Return what the method gives each continuation, in nats, and whether it is greedy.

        Raises:
            ValueError: for a method without next-token probabilities, and for what is too long.
        """
        pairs = [encode_pair(self.method.models, *request.args) for request in requests]
        found = [(0.0, True)] * len(requests)
        for number, (log_probability, _, greedy) in self._weigh(pairs, show=not disable_tqdm):
            request = requests[number]
            require_possible(log_probability, repr(request.args[-1]), _named(request))
            found[number] = (log_probability, greedy)
            self.cache_hook.add_partial("loglikelihood", request.args, found[number])
        return found

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Return what the method gives each whole text, in nats.

        A text longer than the context is read in windows, each token predicted once, as the
        harness's own models do.

        Raises:
            ValueError: for a method without next-token probabilities.
        """
        pairs: list[Pair] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            windows = encode_windows(self.method.models, *request.args)
            pairs += windows
            owners += [owner] * len(windows)
        totals = [0.0] * len(requests)
        left = Counter(owners)
        for number, (log_probability, _, _) in self._weigh(pairs, show=not disable_tqdm):
            owner = owners[number]
            require_possible(log_probability, "some of its text", _named(requests[owner]))
            totals[owner] += log_probability
            left[owner] -= 1
            if not left[owner]:
                whole = requests[owner].args
                self.cache_hook.add_partial("loglikelihood_rolling", whole, totals[owner])
        return totals

    def _weigh(self, pairs: Sequence[Pair], *, show: bool) -> Iterator[tuple[int, Likelihood]]:
        """Yield the likelihoods of continuations of prompts, by their number.

        A prompt that several continuations share is read once.
        """
        method = self._mixture()
        method.require_one_question("the harness")
        shared: dict[object, list[int]] = {}
        for number, (prompt, _) in enumerate(pairs):
            # Those of one prompt are read one after another: not worth it for a prefix token.
            alone = number if max(map(len, prompt.values())) == 1 else None
            shared.setdefault((alone, *map(tuple, prompt.values())), []).append(number)
        groups = {str(i): numbers for i, numbers in enumerate(shared.values())}
        prompts = {i: Prompts({}, pairs[numbers[0]][0]) for i, numbers in groups.items()}
        targets = {i: [pairs[n][1] for n in numbers] for i, numbers in groups.items()}
        weighed = method.likelihoods(prompts, targets, self.generation)
        for sample_id, likelihoods in _shown("likelihoods", weighed, len(prompts), show):
            yield from zip(groups[sample_id], likelihoods, strict=True)

    def _mixture(self) -> Mixture:
        if isinstance(self.method, Mixture):
            return self.method
        raise ValueError(
            f"{type(self.method).__name__} has no probability of a given text, because its models "
            "take turns: it runs tasks that generate (output_type: generate_until). For others "
            "take method=base, guide, dera, ensemble, proxy_tuning or alignment_vector."
        )

    # ------------------------------------------------------------------ chats, and the record

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return the chat itself: each model renders it in its own way when it is asked."""
        return chat.pack(chat_history)

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return the templates in use, by role, for the harness's record.

        Raises:
            ValueError: for the name of a template: a model has one.
        """
        if isinstance(chat_template, str):
            raise ValueError(
                f"--apply_chat_template {chat_template}: leave out the name. Each model has its "
                "own template; another one is given by ROLE_chat_template=FILE in --model_args."
            )
        models = self.method.models.items()
        chats = {role: model for role, model in models if model.prompt == "chat"}
        return json.dumps({role: model.tokenizer.chat_template for role, model in chats.items()})

    @property
    def tokenizer_name(self) -> str:
        """What the harness's cache of requests goes by: this code, for no tokenizer makes them."""
        return f"trimtab-{code_version()[:16]}"

    def get_model_info(self) -> dict[str, Any]:
        """Return what the results need to name exactly these models, and where each ran."""
        models = {
            role: {**model.provenance(), "device": str(model.device_in_use)}
            for role, model in self.method.all_models.items()
        }
        return {"trimtab": {"version": __version__, "models": models}}


def _named(request: Instance) -> str:
    return f"Document {request.doc_id} of {request.task_name}"


def _shown(what: str, work: Iterable[_T], total: int, show: bool) -> Iterable[_T]:
    """Show a bar while work is done; results alone go to the output."""
    return track(work, f"trimtab: {what}", total, console=Console(stderr=True), disable=not show)

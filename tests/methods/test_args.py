"""ARGS: against rewards that a classifier of transformers gives whole sequences, one by one."""

import copy
import dataclasses
import json
from pathlib import Path

import commands
import oracles
import pytest
import torch
from scorers.small_classifiers import causal, save
from short_prompts import PROMPTS
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
from transformers import LlamaForSequenceClassification as Classifier

from trimtab import Conversation, Generation, LanguageModel, Plain
from trimtab import zoo as embedded
from trimtab.methods import ARGS
from trimtab.scorers import FunctionReward, RewardModel
from trimtab.tasks import Stories

TEMPLATE = "Is it good?\nQ: {question}\nA: {completion}"
GREEDY = Generation(max_new_tokens=10, batch_size=8)
SAMPLED = dataclasses.replace(GREEDY, temperature=0.9, top_p=0.95, seed=3)
BASE = "a-small-sft"


def stories(count: int) -> list[Conversation]:
    return [sample.conversation for sample in Stories().samples(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    end = AutoTokenizer.from_pretrained(embedded.path("a-small-chat")).eos_token_id
    return causal(tmp_path_factory.mktemp("rewards"), padding=end, context=512)


class Worth:
    """What a sequence is worth, read from nothing."""

    def __init__(self, folder: Path, form: str) -> None:
        self._model = Classifier.from_pretrained(folder).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._form = form

    def prompt(self, question: str) -> list[int]:
        if self._form == "plain":
            text = TEMPLATE.replace("{question}", question).removesuffix("{completion}")
            return self._tokenizer(text).input_ids
        turns = [{"role": "user", "content": question}]
        text = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        return self._tokenizer(text, add_special_tokens=False).input_ids

    def _whole(self, tokens: list[int]) -> float:
        return float(self._model(torch.tensor([tokens])).logits)

    @torch.inference_mode()
    def of(self, tokens: list[int]) -> float:
        out = self._model.model(torch.tensor([tokens])).last_hidden_state
        reward = float(self._model.score(out[0, -1]))
        if tokens[-1] != self._model.config.pad_token_id:
            assert reward == pytest.approx(self._whole(tokens), abs=1e-4)
        return reward


def scored(z_V: torch.Tensor, worth: Worth, asked: list[int], k: int, w: float) -> torch.Tensor:
    """The released rule: the k largest logits, each with its reward; nothing else can be said."""
    scores_V = torch.full_like(z_V, -torch.inf)
    for token in z_V.topk(k).indices.tolist():
        scores_V[token] = z_V[token] + w * worth.of([*asked, token])
    return scores_V


def said(
    reader: oracles.Reader,
    worth: Worth,
    prompts: tuple[list[int], list[int]],
    generation: Generation,
    sample_id: str,
    k: int,
    w: float,
) -> list[int]:
    own, of_reward = prompts
    new: list[int] = []
    while len(new) < generation.max_new_tokens:
        scores_V = scored(reader.logits((*own, *new)), worth, [*of_reward, *new], k, w)
        place = {"sample_id": sample_id, "role": "model", "position": len(new)}
        token = oracles.choose(scores_V, generation, **place)
        if token in reader.ends:
            break
        new.append(token)
    return new


def reward(folder: Path, form: str) -> RewardModel:
    template = TEMPLATE if form == "plain" else None
    return RewardModel(path=str(folder), format=form, template=template)


@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(("form", "k", "w"), [("plain", 4, 2.0), ("chat", 10, -1.5)])
def test_it_says_what_the_scores_say_whatever_the_batch(
    zoo, folder: Path, form: str, k: int, w: float, generation: Generation
) -> None:
    base, asked, worth = zoo(BASE), stories(9), Worth(folder, form)
    reader, expected = oracles.Reader(base), []
    for i, conversation in enumerate(asked):
        prompts = base.encode(base.render(conversation)), worth.prompt(conversation.question)
        new = said(reader, worth, prompts, generation, str(i), k, w)
        expected.append(base.continuation(prompts[0], new))
    alone = Plain(model=base).complete(asked, generation)
    assert [answer.text for answer in alone] != expected, "a reward that has a say"
    for rows, draft in ((1, None), (8, None), (8, "prompt-lookup"), (3, zoo("a-small-dpo"))):
        method = ARGS(base=base, reward=reward(folder, form), strength=w, candidates=k, draft=draft)
        answers = method.complete(asked, dataclasses.replace(generation, batch_size=rows))
        assert [answer.text for answer in answers] == expected


@pytest.mark.slow
@pytest.mark.parametrize("generation", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_so_it_does_on_many_prompts(zoo, folder: Path, generation: Generation) -> None:
    base, worth, k, w = zoo(BASE), Worth(folder, "plain"), 3, 2.0
    asked = [dataclasses.replace(each, answer_start="") for each in PROMPTS.values()]
    brief = dataclasses.replace(generation, max_new_tokens=3, draft_length=2)
    reader, expected = oracles.Reader(base), []
    for i, conversation in enumerate(asked):
        prompts = base.encode(base.render(conversation)), worth.prompt(conversation.asked)
        new = said(reader, worth, prompts, brief, str(i), k, w)
        expected.append(base.continuation(prompts[0], new))
    for rows, draft, count in ((8, None, 30), (8, "prompt-lookup", 30), (1, None, 4)):
        method = ARGS(
            base=base, reward=reward(folder, "plain"), strength=w, candidates=k, draft=draft
        )
        answers = method.complete(asked[:count], dataclasses.replace(brief, batch_size=rows))
        assert [answer.text for answer in answers] == expected[:count]


def test_a_sweep_says_what_each_says_alone_and_at_0_it_is_the_base(zoo, folder: Path) -> None:
    base, asked = zoo(BASE), {str(i): conversation for i, conversation in enumerate(stories(5))}
    method = ARGS(base=base, reward=reward(folder, "plain"), candidates=5)
    methods = [method.at(strength) for strength in (0.0, 2.0, 0.7)]
    alone = [{c.id: c for c in each.stream(asked, SAMPLED)} for each in methods]
    together: list[dict] = [{}, {}, {}]
    for number, answer in methods[0].stream_together(methods, [asked] * 3, SAMPLED):
        together[number][answer.id] = answer
    assert together == alone
    top_5 = dataclasses.replace(SAMPLED, top_k=5)
    plain = {c.id: c for c in Plain(model=base).stream(asked, top_5)}
    assert {i: c.text for i, c in alone[0].items()} == {i: c.text for i, c in plain.items()}
    for answer in alone[1].values():
        positions, prompt = len(answer.token_ids), answer.prompts["reward"]
        read = len(method.mixture["reward"][0].encode(prompt)) + positions - 1
        assert answer.work["reward"].passes == positions
        assert answer.work["reward"].tokens == read + 5 * positions
        assert answer.measures["kl"] > 0
    assert all("reward" not in answer.work for answer in alone[0].values())


def test_candidates_of_all_answers_share_a_pass(zoo, folder: Path) -> None:
    """One for each token, and one more where answers begin."""
    method = ARGS(base=zoo(BASE), reward=reward(folder, "plain"), candidates=5)
    answers = method.complete(stories(4), GREEDY)
    longest = max(len(answer.token_ids) for answer in answers)
    assert method.forward_passes["reward"] <= 2 * longest
    assert method.forward_passes["base"] <= 2 * longest


def test_what_a_text_is_given_is_its_share_among_candidates(zoo, folder: Path) -> None:
    base, worth, (conversation,) = zoo(BASE), Worth(folder, "plain"), stories(1)
    reader, k, w = oracles.Reader(base), 30, 0.5
    own, of_reward = base.encode(base.render(conversation)), worth.prompt(conversation.question)
    new = oracles.plain([(reader, 1.0, own)], dataclasses.replace(GREEDY, max_new_tokens=4), "0")
    text, expected = base.continuation(own, new), 0.0
    for place, token in enumerate(new):
        z_V = reader.logits((*own, *new[:place]))
        log_p_V = scored(z_V, worth, [*of_reward, *new[:place]], k, w).log_softmax(-1)
        expected += float(log_p_V[token])
    method = ARGS(base=base, reward=reward(folder, "plain"), candidates=k, strength=w)
    ((_, (found,)),) = method.weigh({"0": conversation}, {"0": [text]})
    assert found.log_probability == pytest.approx(expected, abs=1e-3)


def test_an_answer_ends_where_the_reward_model_is_full(zoo, tmp_path: Path) -> None:
    small = causal(tmp_path / "small", padding=None, context=64)
    reads = reward(small, "plain")
    (conversation,) = stories(1)
    method = ARGS(base=zoo(BASE), reward=reads, candidates=3)
    (answer,) = method.complete([conversation], dataclasses.replace(GREEDY, max_new_tokens=99))
    prompt = len(Worth(small, "plain").prompt(conversation.question))
    assert answer.stop_reason == "context" and len(answer.token_ids) <= 64 - prompt + 1


@pytest.mark.parametrize("batch_size", [1, 8])
def test_no_candidate_is_read_beyond_the_longest_sequence(
    zoo, folder: Path, batch_size: int
) -> None:
    """The n-th token's candidates make sequences of the prompt and n tokens."""
    (asked,) = stories(1)
    prompt = Worth(folder, "plain").prompt(asked.question)
    longest = dataclasses.replace(reward(folder, "plain"), max_length=len(prompt) + 4)
    generation = dataclasses.replace(GREEDY, batch_size=batch_size)
    whole, ended = (
        ARGS(base=zoo(BASE), reward=each).complete([asked], generation)[0]
        for each in (reward(folder, "plain"), longest)
    )
    assert ended.stop_reason == "context"
    assert ended.token_ids == whole.token_ids[:4]


def test_what_cannot_be_is_refused(zoo, folder: Path, tmp_path: Path) -> None:
    base, good = zoo(BASE), reward(folder, "plain")
    for wrong in (None, "rewards", FunctionReward(function=lambda c, q, t: 0.0)):
        with pytest.raises(ValueError, match=r"reward=.*: accepted is a reward model, as in"):
            ARGS(base=base, reward=wrong)
    for settings, why in (
        ({"strength": float("nan")}, "strength=nan: accepted is any finite number"),
        ({"candidates": 0}, "candidates=0: accepted are whole numbers from 1 up"),
        ({"reward": dataclasses.replace(good, truncate=True)}, "truncate=true of"),
        (
            {"reward": dataclasses.replace(good, template="{completion} to {question}")},
            "goes on behind {completion}",
        ),
    ):
        with pytest.raises(ValueError, match=why):
            ARGS(**{"base": base, "reward": good, **settings})
    with pytest.raises(ValueError, match="do not share a vocabulary"):
        ARGS(base=zoo("b-small-chat"), reward=good).complete(["Hello"])
    two = causal(tmp_path / "two", padding=None, outputs=2)
    with pytest.raises(ValueError, match="has 2 outputs; a reward model has one"):
        ARGS(base=base, reward=reward(two, "plain")).complete(["Hello"])
    config = BertConfig(
        vocab_size=len(base.tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_labels=1,
    )  # fmt: skip
    both_ways = save(BertForSequenceClassification(config), tmp_path / "both", model_max_length=96)
    with pytest.raises(ValueError, match=r"has no head 'score' .*best_of_n takes any"):
        ARGS(base=base, reward=reward(both_ways, "plain")).complete(["Hello"])
    with pytest.raises(ValueError, match="tells of tokens only once another model has"):
        ARGS(base=base, reward=good).logits_processor("base")


def test_a_reward_that_is_no_number_is_an_error_naming_its_model(zoo, folder: Path) -> None:
    method = ARGS(base=zoo(BASE), reward=reward(folder, "plain"), candidates=3)
    reads: LanguageModel = method.mixture["reward"][0]
    damaged = copy.deepcopy(reads.weights)
    with torch.no_grad():
        damaged.score.weight.fill_(float("inf"))
    reads.__dict__["weights"] = damaged
    with pytest.raises(FloatingPointError, match=rf"'{folder}' gave logits that are not finite"):
        method.complete(["Hello"], GREEDY)


def test_a_run_takes_the_reward_model_from_its_scorers_file(folder: Path, tmp_path: Path) -> None:
    done = commands.command(
        tmp_path,
        *(f"run base={BASE} method=args +scorer@method.reward=reward_model".split()),
        *(f"method.reward.path={folder}", "method.reward.format=plain"),
        "method.reward.template='{question} Well: {completion}'",
        *("task=stories", "limit=2", "generation.max_new_tokens=4", "method.candidates=3"),
    )
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("results/stories/args/*")
    facts = json.loads((run / "run.json").read_text())
    assert facts["models"]["reward"]["path"] == str(folder)
    assert facts["models"]["reward"]["candidates"] == 3
    line = json.loads((run / "samples.jsonl").read_text().splitlines()[0])
    assert line["work"].keys() == {"base", "reward"}
    assert line["prompts"]["reward"] == line["question"] + " Well: "

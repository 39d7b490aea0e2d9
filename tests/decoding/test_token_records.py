"""What is kept of each token: against passes without a cache, in any batch, with any draft."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from trimtab import DeRa, Generation, Nudging
from trimtab.results.finished import Run
from trimtab.results.frames import tokens_table
from trimtab.runs import reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.tasks import Stories
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
KEPT = Generation(
    max_new_tokens=12, temperature=1.0, top_p=0.9, repetition_penalty=1.1, token_records=True
)


@pytest.fixture(scope="module")
def dera(zoo) -> DeRa:
    return DeRa(reference=zoo("a-small-sft"), aligned=zoo("a-small-dpo"), strength=0.6)


@torch.inference_mode()
def test_records_are_what_the_models_say_of_the_whole_answer(dera, zoo) -> None:
    asked = [sample.conversation for sample in Stories().samples(4)]
    plain = dera.complete(asked, dataclasses.replace(KEPT, token_records=False))
    for size, draft in ((1, None), (4, None), (4, "prompt-lookup"), (4, zoo("a-small-chat"))):
        method = dataclasses.replace(dera, draft=draft)
        answers = method.complete(asked, dataclasses.replace(KEPT, batch_size=size))
        assert [answer.token_ids for answer in answers] == [one.token_ids for one in plain]
        for answer, conversation in zip(answers, asked, strict=True):
            logits = {}
            for role, model in (("reference", dera.reference), ("aligned", dera.aligned)):
                prompt = model.encode(model.render(conversation))
                whole = torch.tensor([[*prompt, *answer.token_ids]])
                logits[role] = model.weights(whole).logits[0, len(prompt) - 1 : -1].double()
            mixed = torch.distributions.Categorical(
                logits=0.4 * logits["reference"] + 0.6 * logits["aligned"]
            )
            reference = torch.distributions.Categorical(logits=logits["reference"])
            told = torch.tensor(answer.token_ids)
            kept = answer.by_token
            assert kept["ids"] == list(answer.token_ids)
            for name, expected in (
                ("log_probability", mixed.log_prob(told)),
                ("entropy", mixed.entropy()),
                ("kl", torch.distributions.kl_divergence(mixed, reference)),
            ):
                assert kept[name] == pytest.approx(expected.tolist(), abs=2e-4)
            for role, own in logits.items():
                expected = own.log_softmax(-1).gather(1, told[:, None])[:, 0]
                assert kept["models"][role] == pytest.approx(expected.tolist(), abs=2e-4)


def job(folder: Path, dera: DeRa, generation: Generation, limit: int) -> Job:
    return Job(
        task=Stories(),
        method=dera,
        generation=generation,
        limit=limit,
        folder=folder,
        config={"method": {"name": "dera"}, "generation": dataclasses.asdict(generation)},
        start_tracker=lambda: NO_TRACKER,
    )


def test_a_run_keeps_them_for_a_table(dera, tmp_path: Path, caplog) -> None:
    summary = evaluate(job(tmp_path, dera, KEPT, limit=2))
    lines = reader.read_samples(tmp_path)
    run = Run(folder=tmp_path, config={"method": {}, "task": {}}, summary=summary)
    table = tokens_table([run])
    assert list(table["id"]) == [line["id"] for line in lines for _ in line["by_token"]["ids"]]
    assert list(table["token_id"]) == [i for line in lines for i in line["by_token"]["ids"]]
    assert {(r, s) for r, s in zip(table["run"], table["seed"], strict=True)} == {
        (tmp_path.name, 0)
    }
    assert {"log_probability_reference", "log_probability_aligned", "kl"} <= set(table.columns)
    # Answers that were given without them are named, and stay.
    bare = [{k: v for k, v in line.items() if k != "by_token"} for line in lines]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bare))
    assert "were given before" not in caplog.text
    evaluate(job(tmp_path, dera, KEPT, limit=2))
    assert "2 answers of" in caplog.text and "without records of their tokens" in caplog.text


def test_nudging_has_none(zoo) -> None:
    nudging = Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"))
    with pytest.raises(ValueError, match=r"token_records=True: .* leave it at false"):
        nudging.complete(["What is 1 + 2?"], Generation(token_records=True))

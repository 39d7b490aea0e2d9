import dataclasses
import gzip
import html
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote, unquote_plus

import pytest
from scorers.judge_server import KEY, RIGHT, Answer, JudgeServer, failure, serve

from trimtab import Generation, Plain
from trimtab.machine import network
from trimtab.runs import verdicts
from trimtab.runs.evaluate import Job, evaluate
from trimtab.runs.reader import read_samples, read_summary
from trimtab.scorers import Judge, judge_endpoint
from trimtab.scorers.rubrics import QUALITY
from trimtab.tasks import WordProblems
from trimtab.tracking.trackers import NoTracker

WRONG = json.dumps({"reason": "Another number.", "correct": 0})


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """A key, no proxy, a cache of one's own, and waits too short to notice."""
    for name in list(os.environ):
        if name.startswith("OPENAI_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(judge_endpoint, "_FIRST_WAIT", 0.001)


@pytest.fixture
def start(monkeypatch):
    """Starts a server with a script, and points the environment to it."""
    running = []

    def started(script=lambda *_: Answer()):
        running.append(serve(JudgeServer(script)))
        server = running[-1].__enter__()
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        return server

    yield started
    for server in running:
        server.__exit__(None, None, None)


def lines(count, **fields):
    line = {"completion": "The answer is 35.", "target": "35"} | fields
    return [{"id": f"s{i}", "question": f"question {i}", **line} for i in range(count)]


def judge(**settings):
    return Judge(**{"model": "judge", "retries": 4, "timeout": 5.0} | settings)


def judged(count=1, **settings):
    return dict(judge(**settings).score(lines(count)))


def files(folder):
    return [file for file in folder.rglob("*") if file.is_file()]


def test_a_verdict_says_what_was_found_and_how(start):
    server = start()
    before = datetime.now(UTC) - timedelta(seconds=1)
    (verdict,) = judged().values()
    facts = dict(verdict.facts)
    assert verdict.values == {"correct": 1.0}
    assert before <= datetime.fromisoformat(facts.pop("date")) <= datetime.now(UTC)
    assert len(facts.pop("prompt")) == 64
    assert facts == {
        "status": "judged",
        "values": {"correct": 1.0},
        "reasons": {"correct": "It says so."},
        "attempts": 1,
        "model": "judge-0613",
        "finish_reason": "stop",
        "tokens": {"prompt": 100, "completion": 10},
    }
    assert json.loads(json.dumps(dict(verdict.facts))) == verdict.facts
    assert server.authorization == {f"Bearer {KEY}"}


def test_a_request_holds_the_settings_and_none_that_is_left_out(start):
    server = start()
    judged()
    judged(temperature=None, max_tokens=None, json_mode=False)
    full, bare = server.requests
    assert bare.keys() == {"model", "messages"} and bare["model"] == "judge"
    assert (full["temperature"], full["max_tokens"]) == (0, 1024)
    assert full["response_format"] == {"type": "json_object"}


@pytest.mark.slow
def test_whatever_the_server_does_nothing_is_lost_and_nothing_paid_twice(start):
    faults = [
        failure(429, retry_after="0.05"),
        failure(429),
        failure(500),
        failure(503, retry_after="0.05"),
        Answer(status=502, body=b"<html>Bad gateway</html>"),
        Answer(body=b"{not json"),
        Answer(body=b""),
        Answer(body=b'{"choices": []}'),
        Answer(body=b'{"error": {"message": "overloaded"}}'),
        Answer(body=b"[]"),
        Answer(body=b'{"choices": [{"message": "hello"}]}'),
        Answer(body=b'{"choices": [{"message": {"content": [1]}}]}'),
        Answer(lost=10),
        Answer(delay=3.0),  # a time-out
    ]
    # Each kind of fault by itself, then several in a row.
    scripts = [[fault] for fault in faults] + [random.Random(i).sample(faults, 3) for i in range(3)]
    script = {f"question {i}": answers for i, answers in enumerate(scripts)}

    def answer(question, before):
        answers = script[question]
        return answers[before] if before < len(answers) else Answer(delay=0.02)

    server = start(answer)
    verdicts = judged(len(scripts), timeout=1.0)
    assert {v.values["correct"] for v in verdicts.values()} == {1.0}
    assert len(verdicts) == len(scripts)
    asked = {question: len(answers) + 1 for question, answers in script.items()}
    assert server.asked == asked
    assert judged(len(scripts), timeout=1.0) == verdicts
    assert server.asked == asked


def test_a_slow_answer_is_an_answer(start):
    server = start(lambda *_: Answer(delay=1.0))
    assert len(judged(2, timeout=10.0)) == 2
    assert set(server.asked.values()) == {1}


def test_a_server_that_asks_for_time_gets_it(start):
    server = start(lambda _, before: Answer() if before else failure(429, retry_after="0.5"))
    judged()
    first, second = server.moments["question 0"]
    assert second - first >= 0.5


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("2", 2, 2),
        ("0.25", 0.25, 0.25),
        ("-5", 0, 0),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000, 3600),
        (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0, 0),
    ],
    ids=["whole", "fraction", "negative", "in an hour", "an hour ago"],
)
def test_retry_after_is_a_number_or_a_date(header, least, most):
    assert least <= judge_endpoint._retry_after({"retry-after": header}) <= most


@pytest.mark.parametrize("header", ["", "soon", "nan", "inf"])
def test_a_retry_after_without_meaning_is_none(header):
    assert judge_endpoint._retry_after({"retry-after": header}) is None


def test_waits_double_with_jitter_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(judge_endpoint, "_FIRST_WAIT", 0.5)
    for retry in range(12):
        longest = min(30, 0.5 * 2**retry)
        waits = {judge_endpoint._backoff(retry) for _ in range(50)}
        assert longest / 2 <= min(waits) and max(waits) <= longest
        assert len(waits) > 1


def test_a_server_that_asks_for_hours_is_given_up_at_once(start):
    server = start(lambda *_: failure(429, retry_after="40000"))
    with pytest.raises(ConnectionError, match="40000 seconds of patience"):
        judged()
    assert server.asked.total() == 1


def test_the_same_command_asks_only_for_what_failed(start):
    down = True
    server = start(lambda q, _: failure(503, "busy") if down and q[-1] in "37" else Answer())
    verdicts = {}
    with pytest.raises(ConnectionError) as error:
        verdicts.update(judge(retries=2, concurrency=2).score(lines(10)))
    assert "2 of 10" in str(error.value) and "2 x HTTP 503: busy (asked 3 times)" in str(
        error.value
    )
    # All others were judged before it was raised.
    assert server.asked == {f"question {i}": 3 if i in (3, 7) else 1 for i in range(10)}
    down = False
    assert len(judged(10)) == 10
    assert server.asked == {f"question {i}": 4 if i in (3, 7) else 1 for i in range(10)}


def test_what_came_before_a_failure_is_yielded(start):
    start(lambda question, _: failure(500, "broken") if question[-1] == "0" else Answer())
    verdicts = {}
    with pytest.raises(ConnectionError, match="1 x HTTP 500: broken"):
        for sample_id, verdict in judge(retries=1).score(lines(5)):
            verdicts[sample_id] = verdict
    assert verdicts.keys() == {"s1", "s2", "s3", "s4"}


def told(*codes, **fields):
    """A chat completion without an answer, as servers give it that filter."""
    return Answer(text=None, fields={"finish_reason": codes[0] if codes else "stop", **fields})


def body(**content):
    return Answer(body=json.dumps(content).encode())


@pytest.mark.parametrize(
    "filtered",
    [
        failure(400, "The response was filtered.", param="prompt", code="content_filter"),
        failure(400, "No.", innererror={"code": "ResponsibleAIPolicyViolation"}),
        failure(400, "Your prompt was flagged as potentially violating our usage policy."),
        failure(400, "Content Exists Risk"),
        failure(400, "Input may contain inappropriate content.", code="data_inspection_failed"),
        failure(403, "Your input was flagged", metadata={"reasons": ["violence"]}),
        failure(500, "litellm", code="content_policy_violation"),
        body(error={"message": "Blocked by moderation", "code": 403}),
        told("content_filter"),
        told("content_filter: PROHIBITED_CONTENT", message=None),
        told("SAFETY", message={"role": "assistant"}),
        told("stop", message={"role": "assistant", "refusal": "I cannot judge that."}),
    ],
)
def test_what_a_filter_refuses_for_good_is_unscored_and_paid_for_once(start, filtered):
    server = start(lambda question, _: filtered if question[-1] in "03" else Answer())
    verdicts = judged(5)
    assert {i for i, verdict in verdicts.items() if not verdict.values} == {"s0", "s3"}
    facts = verdicts["s0"].facts
    assert (facts["status"], facts["attempts"], facts["values"]) == ("filtered", 1, {})
    assert facts["problem"]
    assert judged(5) == verdicts and set(server.asked.values()) == {1}


def test_a_run_of_which_a_sample_is_refused_for_good_is_finished(start, tmp_path, zoo):
    task = WordProblems()
    *_, refused = (sample.conversation.question for sample in task.samples(4))
    filtered = failure(400, "The response was filtered.", code="content_filter")
    start(lambda question, _: filtered if question == refused else Answer())
    summary = evaluate(
        Job(
            task=task,
            method=Plain(model=zoo("a-small-base")),
            generation=Generation(max_new_tokens=4),
            limit=4,
            folder=tmp_path / "run",
            config={},
            start_tracker=lambda: NoTracker().start(
                run_id="", name="", job_type="", config={}, folder=tmp_path
            ),
            scorers=[judge()],
        )
    )
    assert summary["metrics"]["correct"]["n"] == 3 and summary["metrics"]["accuracy"]["n"] == 4
    (scorer,) = summary["scorers"].values()
    assert (scorer["scored"], scorer["unscored"]) == (3, 1)
    assert read_summary(tmp_path / "run") == summary


def test_a_filter_that_leaves_out_the_answer_is_asked_again_as_for_any_that_is_empty(start):
    empty = [body(choices=[]), body(choices=None), told(message=None)]
    server = start(lambda q, before: empty[before] if q[-1] == "0" else Answer())
    verdicts = judged(2)
    assert verdicts["s0"].facts["status"] == "unparsed" and verdicts["s1"].values
    assert judged(2) == verdicts and server.asked == {"question 0": 3, "question 1": 1}


@pytest.mark.parametrize("first", [True, False])
def test_a_request_that_is_refused_for_good_is_unscored_and_not_repeated(start, first):
    long = failure(400, "context length exceeded", param="messages")
    server = start(lambda q, _: long if (q[-1] == "0") is first else Answer())
    verdicts = judged(2, concurrency=1)
    refused = verdicts["s0" if first else "s1"]
    assert refused.facts["status"] == "refused" and refused.values == {}
    assert refused.facts["problem"] == "HTTP 400: context length exceeded"
    assert server.asked == {"question 0": 1, "question 1": 1}
    # The server may be set up otherwise by the next time.
    server.script = lambda *_: Answer()
    assert all(verdict.values for verdict in judged(2).values())


def test_a_server_that_refuses_all_requests_judges_nothing(start):
    server = start(lambda *_: failure(400, "no such option"))
    with pytest.raises(ConnectionError, match=r"200 of 200 .*HTTP 400: no such option"):
        judged(200, concurrency=2)
    assert server.asked.total() < 30


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": RIGHT}],
        {"reason": "It says so.", "correct": 1},
    ],
)
def test_an_answer_in_parts_or_read_before_is_read(start, content):
    start(lambda *_: Answer(text=content))
    assert judged()["s0"].values == {"correct": 1}


def test_an_answer_that_is_cut_is_not_read_in_another_form(start):
    start(lambda *_: Answer(text="correct: 1", fields={"finish_reason": "length"}))
    assert judged()["s0"].facts["status"] == "unparsed"


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_without_end_is_not_read(start, status, packed):
    endless = b" " * (1 << 26)
    headers = {"Content-Encoding": "gzip"} if packed else {}
    content = gzip.compress(endless, 1) if packed else endless[: 1 << 22]
    huge = Answer(status=status, headers=headers, body=content)
    start(lambda question, _: huge if question[-1] == "0" else Answer())
    verdicts = judged(2)
    assert verdicts["s0"].facts["status"] == "refused" and verdicts["s1"].values
    assert "bytes" in verdicts["s0"].facts["problem"]


def test_what_cannot_be_read_is_recorded_by_its_beginning(start):
    start(lambda *_: Answer(text="x" * 100_000))
    assert judged()["s0"].facts["answer"] == "x" * 2000


def test_an_endpoint_that_is_down_is_not_asked_for_every_sample(start):
    server = start(lambda *_: failure(500))
    with pytest.raises(ConnectionError, match=r"200 of 200 .* not asked"):
        judged(200, concurrency=2, retries=0)
    assert server.asked.total() < 30


def test_a_server_that_is_not_there(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ConnectionError, match=r"the connection failed \(\w+\) \(asked 3 times\)"):
        judged(retries=2)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (failure(401, f"Incorrect key {KEY}, flagged"), "refuses the key.*401.*OPENAI_API_KEY"),
        (failure(403, f"{KEY} may not"), "refuses the key.*403.*OPENAI_API_KEY"),
        (
            failure(404, f"no model for {KEY}"),
            "no model 'judge'.*no model for .*scorers.NAME.model",
        ),
        (failure(429, "pay", code="insufficient_quota"), "no quota left.*pay"),
        (failure(400, "response_format is new to me"), "'response_format'.*json_mode=false"),
        (failure(400, "no", param="response_format.type"), "scorers.NAME.json_mode=false"),
        (failure(422, "'response_format.type' must be 'text'"), "scorers.NAME.json_mode=false"),
        (failure(400, "only 1", param="temperature"), "only 1.*scorers.NAME.temperature=null"),
        (failure(400, "use another", param="max_tokens"), "scorers.NAME.max_tokens=null"),
    ],
)
def test_what_would_fail_every_request_stops_at_once(start, answer, message):
    server = start(lambda *_: answer)
    with pytest.raises(ValueError, match=message) as error:
        judged(100, concurrency=2)
    assert server.asked.total() <= 4  # those under way
    assert KEY not in str(error.value)


def test_an_unreadable_answer_is_asked_again_and_then_counts_as_unparsed(start):
    odd = {0: ["Yes!"], 1: ["Yes!", '{"correct": 7}'], 2: ["Yes!", "", "It is correct."]}

    def answer(question, before):
        answers = [*odd[int(question[-1])], RIGHT]
        return Answer(text=answers[before])

    server = start(answer)
    verdicts = judged(3, attempts=3)
    asked = {"question 0": 2, "question 1": 3, "question 2": 3}
    assert server.asked == asked
    assert [verdicts[f"s{i}"].facts["attempts"] for i in range(3)] == [2, 3, 3]
    assert [verdicts[f"s{i}"].values for i in range(3)] == [{"correct": 1}, {"correct": 1}, {}]
    unparsed = verdicts["s2"].facts
    assert (unparsed["status"], unparsed["answer"]) == ("unparsed", "It is correct.")
    assert "not JSON" in unparsed["problem"] and unparsed["values"] == {}
    assert unparsed["tokens"] == {"prompt": 300, "completion": 30}
    # They are paid for, too: neither is asked for again, and a further attempt is one request.
    assert judged(3, attempts=3) == verdicts
    assert server.asked == asked
    assert judged(3, attempts=4)["s2"].values == {"correct": 1}
    assert server.asked == asked | {"question 2": 4}


@pytest.mark.parametrize("text", [None, '{"reason": "It goes on and'])
def test_a_refusal_or_a_cut_answer_is_no_score(start, text):
    start(lambda *_: Answer(text=text))
    (verdict,) = judged().values()
    assert verdict.values == {} and verdict.facts["answer"] == (text or "")


def test_a_refusal_without_any_content_is_paid_for_once(start):
    server = start(lambda *_: Answer(text=None))
    assert judged(attempts=1)["s0"].facts["status"] == "unparsed"
    assert judged(attempts=1)["s0"].values == {} and server.asked.total() == 1


def test_half_a_surrogate_pair_in_an_answer_can_be_kept(start):
    server = start(lambda *_: Answer(text="\ud83d {}"))
    first = judged()
    assert first == judged() and server.asked.total() == 3
    assert first["s0"].facts["answer"].encode()


def test_as_many_requests_at_once_as_allowed(start):
    three = threading.Barrier(3, timeout=60)

    def answer(*_):
        three.wait()  # none is answered before there are three
        return Answer(delay=0.02)

    server = start(answer)
    judged(24, concurrency=3, timeout=60.0)
    assert server.most_at_once == 3 and server.asked.total() == 24


@pytest.mark.parametrize("usage", [None, [], "many", {"prompt_tokens": "100"}])
def test_an_answer_is_kept_from_a_server_that_does_not_count_tokens(start, usage):
    body = json.loads(Answer().content) | {"usage": usage}
    server = start(lambda *_: Answer(body=json.dumps(body).encode()))
    assert judged()["s0"].facts["tokens"] == {}
    assert server.asked.total() == 1


def test_samples_that_ask_the_same_share_one_request(start):
    server = start()
    same = [line | {"question": "the same"} for line in lines(5)]
    verdicts = dict(judge().score(same))
    assert verdicts.keys() == {f"s{i}" for i in range(5)}
    assert server.asked == {"the same": 1}


@pytest.mark.parametrize(
    "settings",
    [{"model": "other"}, {"temperature": 1.0}, {"max_tokens": 9}, {"rubric": "safety"}],
)
def test_another_judge_is_asked_for_itself(start, settings):
    server = start()
    judged()
    judged(attempts=1, **settings)
    assert server.asked["question 0"] == 2


def test_another_endpoint_is_asked_for_itself(start):
    judged_here = start(), judged()
    elsewhere = start(lambda *_: Answer(text=WRONG))
    assert judged()["s0"].values == {"correct": 0} != judged_here[1]["s0"].values
    assert elsewhere.asked.total() == 1


def test_0_and_0_point_0_are_one_temperature(start):
    server = start()
    judged(temperature=0)
    judged(temperature=0.0)
    assert server.asked.total() == 1


def test_a_damaged_file_of_the_cache_is_asked_for_again(start, tmp_path):
    server = start()
    judged(3)
    damaged, other, _ = files(tmp_path)
    damaged.write_text('{"text": "{')
    other.write_text("[]")
    assert len(judged(3)) == 3
    assert server.asked.total() == 5


def test_the_cache_is_where_it_is_said_to_be(start, tmp_path, monkeypatch):
    start()
    judged(cache=str(tmp_path / "here"))
    assert len(files(tmp_path / "here")) == 1 and not files(tmp_path / "cache")
    monkeypatch.delenv("TRIMTAB_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    judged()
    assert len(files(tmp_path / "home" / ".cache" / "trimtab" / "judge")) == 1


def test_a_cache_that_cannot_be_is_refused_before_anything_is_paid(start, tmp_path):
    server = start()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"Nothing can be written to .*cache=.*TRIMTAB_CACHE"):
        judge(cache=str(tmp_path / "file" / "below")).score(lines(1))
    assert server.asked.total() == 0


_CLIENT = """
import json, sys
from trimtab.scorers import Judge
judge = Judge(model="judge", concurrency=4)
for sample_id, verdict in judge.score(json.load(sys.stdin)):
    print(sample_id, flush=True)
"""


def client():
    return subprocess.Popen(
        [sys.executable, "-c", _CLIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.process
def test_what_a_killed_process_had_received_is_not_asked_for_again(start):
    killed = threading.Event()

    def answer(*_):
        if len(server.requests) > 30:
            killed.wait(60)
        return Answer()

    server = start(answer)
    with client() as process:
        json.dump(lines(60), process.stdin)
        process.stdin.close()
        received = [process.stdout.readline().strip() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        received += process.stdout.read().split()
    killed.set()
    assert process.returncode == -signal.SIGKILL
    assert 20 <= len(received) <= 30
    assert len(judged(60)) == 60
    counts = Counter({f"s{name.split()[1]}": count for name, count in server.asked.items()})
    assert {counts[sample_id] for sample_id in received} == {1}
    # At most those that were under way when it was killed are asked for twice.
    assert counts.total() <= 60 + 4 and len(counts) == 60


@pytest.mark.process
def test_several_processes_share_a_cache(start):
    server = start(lambda *_: Answer(delay=0.01))
    outputs = []

    def run():
        outputs.append(client().communicate(json.dumps(lines(40)))[0].split())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(set(output)) for output in outputs] == [40, 40]
    before = server.asked.total()
    assert len(judged(40)) == 40 and server.asked.total() == before


def test_who_stops_early_keeps_what_is_under_way(start):
    server = start(lambda *_: Answer(delay=0.05))
    verdicts = judge(concurrency=2).score(lines(50))
    next(verdicts)
    verdicts.close()
    asked = server.asked.total()
    assert asked < 50
    time.sleep(0.2)
    assert server.asked.total() == asked
    judged(50)
    assert set(server.asked.values()) == {1}


@pytest.mark.process
def test_whoever_drops_the_verdicts_pays_only_for_what_is_under_way(start):
    server = start()
    code = _CLIENT.replace("for sample_id, verdict in", "verdicts =").split(":\n")[0]
    code += "\nnext(verdicts)\nraise SystemExit"  # as an error of one's own would end it
    subprocess.run([sys.executable, "-c", code], input=json.dumps(lines(50)), text=True, check=True)
    assert server.asked.total() == 4


def test_no_secret_that_a_server_quotes_gets_anywhere(start, tmp_path, monkeypatch, caplog):
    script = []
    server = start(lambda question, before: script[0](question, before))
    port = server.address.split(":")[-1].split("/")[0]
    places = ["s3cret-tok3n-in-the-path", "pa ss&word<1>", f"127.0.0.1:{port}", KEY]

    def quoting(question, _):
        said = f"Bearer {KEY} {server.address} {server.paths[-1]}"
        said = f"{said} {json.dumps(places)} {quote(places[1])} {html.escape(places[1])}"
        number = int(question[-1])
        if number < 2:
            text = json.dumps({"reason": said, "correct": 1}) if number else said
            return Answer(text=text, fields={"finish_reason": f"stop {said}"})
        status = {2: 400, 3: 400, 4: 500}[number]
        return failure(status, said, **({"code": "content_filter"} if number == 2 else {}))

    script.append(quoting)
    address = f"{server.address}/{places[0]}/?api-version=2024-10-21&token={quote(places[1])}"
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    quiet = [logging.getLogger(name) for name in ("openai", "httpx", "httpx2", "httpcore")]
    levels = [logger.level for logger in quiet]
    try:
        for logger in quiet:
            logger.setLevel(logging.NOTSET)
        caplog.set_level(logging.DEBUG)
        asked = judge(retries=1)
        verdicts = {}
        with pytest.raises(ConnectionError, match=r"Bearer \*\*\*") as error:
            for sample_id, verdict in asked.score(lines(5)):
                verdicts[sample_id] = verdict
    finally:
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)
    # What is asked for reaches the server.
    path = f"/v1/{places[0]}/chat/completions?api-version=2024-10-21&token="
    assert all(unquote_plus(each) == path + places[1] for each in server.paths)
    assert server.authorization == {f"Bearer {KEY}"}
    told = [str(error.value), repr(error.value), repr(asked), repr(verdicts), caplog.text]
    told += [str(asked.identity), asked.name, *(f"{f} {f.read_text()}" for f in files(tmp_path))]
    assert verdicts.keys() == {"s0", "s1", "s2", "s3"} and len(files(tmp_path)) == 5
    for text in told:
        for secret in (*places, quote(places[1]), html.escape(places[1])):
            assert secret not in text


def test_a_key_that_is_a_word_for_servers_that_want_any_changes_no_answer(start, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "1")
    start()
    assert judged()["s0"].values == {"correct": 1}


def test_a_password_in_the_address_is_refused_and_not_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:hunter2@127.0.0.1:1/v1")
    with pytest.raises(ValueError, match=r"in place of the key.*OPENAI_API_KEY") as error:
        judge().check()
    assert "hunter2" not in str(error.value) and "user:" not in str(error.value)


def test_a_judge_without_a_key_says_which_variable_is_missing(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    for ask in (judge().check, lambda: judge().score(lines(1))):
        with pytest.raises(ValueError, match="environment variable OPENAI_API_KEY"):
            ask()


@pytest.mark.parametrize("key", ["sk-abc\ndef", "sk abc", "sk-abc\u00e9"])
def test_a_key_that_cannot_be_sent_is_not_shown(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ValueError, match="OPENAI_API_KEY has characters") as error:
        judge().check()
    assert "abc" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://h:port/v1",
        "http://host/v1#part",
        "http://host/v1?a=1&a=2",
        "http://host/v1?token",
    ],
)
def test_an_address_that_is_none_is_named_by_its_variable(monkeypatch, url):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ValueError, match="OPENAI_BASE_URL is not the address") as error:
        judge().check()
    assert url not in str(error.value).replace("http://localhost:8000/v1", "").replace(
        "http:// or", ""
    )


def test_a_judge_without_its_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ValueError, match=r"pip install 'trimtab\[judge\]'"):
        judge().check()


def test_a_judge_is_asked_once_before_anything_is_generated(start):
    server = start()
    for _ in range(2):
        judge().check()
    assert server.asked.total() == 1
    judge(model="other").check()
    assert server.asked.total() == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (failure(404, "no such model"), "no model 'judge'"),
        (failure(401), "refuses the key"),
        (failure(429, code="insufficient_quota"), "no quota"),
        (failure(400, param="temperature"), "temperature=null"),
        (failure(400, "no"), "no answer to a first question .HTTP 400: no"),
        (failure(503, "no"), r"no answer to a first question .HTTP 503: no \(asked 2 times"),
    ],
)
def test_a_judge_that_will_not_judge_is_found_out_first(start, answer, message):
    server = start(lambda *_: answer)
    for _ in range(2):
        with pytest.raises((ValueError, ConnectionError), match=message):
            judge(retries=1).check()
    assert server.asked.total() == (4 if answer.status == 503 else 2)


def nobody_listens_at():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


def test_a_server_that_is_down_is_said_at_once(monkeypatch):
    address = nobody_listens_at()
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.setattr(judge_endpoint, "_FIRST_WAIT", 60)  # no request is repeated
    with pytest.raises(ConnectionError, match=r"refused.*OPENAI_BASE_URL") as caught:
        judge().check()
    assert address.split("/")[2] not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://no.such.host.invalid/v1")
    with pytest.raises(ConnectionError, match="cannot be reached"):
        judge().check()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_behind_a_proxy_no_server_is_called_down(start, monkeypatch, name):
    proxy = start()
    monkeypatch.setenv("OPENAI_BASE_URL", nobody_listens_at())
    monkeypatch.setenv(name, proxy.address.removesuffix("/v1"))
    judge().check()
    assert proxy.asked.total() == 1
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_BASE_URL", nobody_listens_at())
    with pytest.raises(ConnectionError):
        judge().check()


def test_a_server_that_is_slow_to_accept_is_not_down(start, monkeypatch):
    def slow(*_, **__):
        raise TimeoutError

    start()
    monkeypatch.setattr(network, "_connect", slow)
    judge().check()


@pytest.mark.process
def test_describing_a_judge_needs_neither_package_nor_key():
    code = "import sys; sys.modules['openai'] = None; from trimtab.scorers import Judge; "
    code += "print(Judge(model='m').name, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "correctness by m False\n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rubric": "corectness"}, "Did you mean 'correctness'"),
        ({"model": ""}, "model=''"),
        ({"temperature": -0.1}, "temperature=-0.1.*null"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"attempts": 0}, "attempts=0"),
        ({"retries": -1}, "retries=-1"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        judge(**settings)


def test_identity_and_name_tell_judges_apart():
    judges = [judge(), judge(model="other"), judge(rubric="quality")]
    assert len({j.name for j in judges}) == 3
    variants = [*judges, judge(temperature=1.0), judge(json_mode=False), judge(attempts=1)]
    assert len({json.dumps(dict(j.identity)) for j in variants}) == len(variants)
    # What only changes how the endpoint is talked to changes no verdict.
    assert judge(concurrency=1, retries=0, timeout=9.0, cache="x").identity == judge().identity


def test_two_judges_of_one_run_each_have_metrics_of_their_own(start, tmp_path, zoo):
    task = WordProblems()
    first, *_ = (sample.conversation.question for sample in task.samples(4))

    def answer(question, _):
        severe = server.requests[-1]["model"] == "severe" and question == first
        return Answer(text=WRONG if severe else RIGHT)

    server = start(answer)
    both = [judge(concurrency=1), judge(model="severe", prefix="severe", concurrency=1)]
    job = Job(
        task=task,
        method=Plain(model=zoo("a-small-base")),
        generation=Generation(max_new_tokens=4),
        limit=4,
        folder=tmp_path / "run",
        config={},
        start_tracker=lambda: NoTracker().start(
            run_id="", name="", job_type="", config={}, folder=tmp_path
        ),
        scorers=both,
    )
    summary = evaluate(job)
    assert summary["metrics"]["correct"]["value"] == 1.0
    assert summary["metrics"]["severe_correct"]["value"] == 0.75
    assert [one["metrics"] for one in summary["scorers"].values()] == [
        ["correct"],
        ["severe_correct"],
    ]
    (pair,) = (
        one
        for one in summary["agreement"]
        if {one["first"], one["second"]}
        == {"correctness by judge correct", "correctness by severe (severe) correct"}
    )
    assert (pair["same"], pair["n"]) == (0.75, 4)
    line, *_ = read_samples(tmp_path / "run")
    del line["scores"]["accuracy"]  # the rule's opinion; the two judges differ
    assert verdicts.differ(line) == 1.0
    assert line["verdicts"]["correctness by severe (severe)"]["reasons"] == {
        "severe_correct": "Another number."
    }
    with pytest.raises(ValueError, match=r"both give 'correct'.*another prefix"):
        evaluate(dataclasses.replace(job, scorers=[judge(), judge(model="severe")]))


def test_judges_told_apart_give_answers_of_their_own_to_one_question(start):
    server = start()
    one, other = judged(3), judged(3, prefix="again")
    assert server.asked.total() == 6
    assert judged(3) == one and judged(3, prefix="again") == other
    assert server.asked.total() == 6
    assert judge().shares(judge(temperature=1.0)) and not judge().shares(judge(prefix="again"))


@pytest.mark.parametrize(
    ("rubric", "text"),
    [
        ("correctness", RIGHT),
        ("safety", '{"safety": {"reason": "", "score": 5}}'),
        (
            "quality",
            json.dumps({aspect: {"score": "4"} for aspect in QUALITY.aspects}),
        ),
    ],
)
def test_every_metric_is_a_proportion_or_has_bounds(start, rubric, text):
    start(lambda *_: Answer(text=text))
    scorer = judge(rubric=rubric)
    ((_, verdict),) = scorer.score(lines(1))
    assert rubric in verdict.values or verdict.values == {"correct": 1}
    for metric, value in verdict.values.items():
        if metric in scorer.proportions:
            assert value in (0, 1)
        else:
            assert scorer.bounds[metric] == (1, 5) and 1 <= value <= 5

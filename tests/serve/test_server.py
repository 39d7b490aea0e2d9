"""The official client meets what it knows from OpenAI, and gets the answers of `complete`."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn

from trimtab import Completion, Conversation, Generation, LanguageModel, Nudging
from trimtab.decoding.local import LocalPredictor
from trimtab.decoding.predictor import Prediction, Request
from trimtab.serve import Engine
from trimtab.serve.app import application
from trimtab.serve.dial_names import Names
from trimtab.tasks import WordProblems

Zoo = Callable[[str], LanguageModel]
KEY = "a-key-that-nobody-may-see"
QUESTIONS = [sample.conversation.user for sample in WordProblems().samples(32)]
LENGTH = 128


def nudging(zoo: Zoo) -> Nudging:
    return Nudging(base=zoo("a-large-base"), guide=zoo("a-small-chat"))


class Served:
    """A server in this process, and its client."""

    def __init__(self, method: Nudging) -> None:
        usual = Generation(max_new_tokens=LENGTH)
        self.engine = Engine(method, rows=8, waiting=64)
        app = application(self.engine, Names("nudging", method), usual, key=KEY)
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, args=([listening],))
        self.thread.start()
        self.client = openai.OpenAI(
            base_url=f"http://127.0.0.1:{self.port}/v1", api_key=KEY, max_retries=0
        )

    def chat(self, question: str = QUESTIONS[0], **settings: Any) -> Any:
        messages = [{"role": "user", "content": question}]
        given = {"model": "nudging", "messages": messages} | settings
        return self.client.chat.completions.create(**given)

    def raw(self, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        own = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("POST", "/v1/chat/completions", body, own | (headers or {}))
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def close(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    found = Served(
        Nudging(
            base=LanguageModel(path="zoo:a-large-base", prompt="plain"),
            guide=LanguageModel(path="zoo:a-small-chat", prompt="chat"),
        )
    )
    yield found
    found.close()


def alone(
    zoo: Zoo, question: str = QUESTIONS[0], threshold: float = 0.4, **settings: Any
) -> Completion:
    generation = Generation(**({"max_new_tokens": LENGTH} | settings))
    return nudging(zoo).at(threshold).complete([question], generation)[0]


def test_a_chat_is_answered_as_by_complete(served: Served, zoo: Zoo) -> None:
    answer = served.chat()
    expected = alone(zoo)
    (choice,) = answer.choices
    assert (answer.object, answer.model, choice.index) == ("chat.completion", "nudging", 0)
    assert choice.message.content == expected.text
    assert choice.finish_reason == "stop" and choice.trimtab["stop_reason"] == "guide"
    spans = [(s.text, s.speaker, s.probability) for s in expected.trace]
    assert [tuple(span.values()) for span in choice.trimtab["spans"]] == spans
    assert choice.trimtab["measures"] == expected.measures
    used, said = answer.usage, sum(expected.tokens.values())
    prompt = len(zoo("a-large-base").encode(expected.prompts["base"]))
    assert (used.prompt_tokens, used.completion_tokens) == (prompt, said)
    assert used.total_tokens == prompt + said
    assert used.trimtab["tokens"] == expected.tokens
    assert used.trimtab["work"] == {role: vars(did) for role, did in expected.work.items()}


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({"model": "nudging@0.1"}, {"threshold": 0.1}),
        ({"extra_body": {"trimtab": {"threshold": 0.9}}}, {"threshold": 0.9}),
        ({"temperature": 0.8, "top_p": 0.9, "seed": 3}, None),
        ({"max_tokens": 7}, {"max_new_tokens": 7}),
        ({"max_completion_tokens": 7}, {"max_new_tokens": 7}),
        ({"stop": " in the"}, {"stop_strings": [" in the"]}),
        ({"stop": ["12", "30"]}, {"stop_strings": ["12", "30"]}),
        ({"extra_body": {"top_k": 5}, "temperature": 1}, {"top_k": 5, "temperature": 1}),
        ({"frequency_penalty": 0, "user": "me", "logprobs": False, "tools": []}, {}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_settings_mean_what_they_mean_elsewhere(
    asked: dict[str, Any], meant: dict[str, Any] | None, stream: bool, served: Served, zoo: Zoo
) -> None:
    expected = alone(zoo, **(asked if meant is None else meant))
    if stream:
        *chunks, last = served.chat(**asked, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        reason = last.choices[0].finish_reason
    else:
        (choice,) = served.chat(**asked).choices
        text, reason = choice.message.content, choice.finish_reason
    assert text == expected.text
    assert reason == ("length" if expected.stop_reason == "length" else "stop")


def test_a_stream_has_the_pieces_and_at_its_end_the_usage(served: Served, zoo: Zoo) -> None:
    chunks = list(served.chat(stream=True, stream_options={"include_usage": True}))
    first, *pieces, end, last = chunks
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    expected = alone(zoo)
    assert [piece.choices[0].delta.content for piece in pieces] == [s.text for s in expected.trace]
    speakers = [piece.choices[0].trimtab["spans"][0]["speaker"] for piece in pieces]
    assert speakers == [span.speaker for span in expected.trace]
    assert end.choices[0].finish_reason == "stop"
    assert last.choices == []
    assert last.usage == served.chat().usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_several_choices_are_draws_of_their_own(served: Served, zoo: Zoo) -> None:
    sampled = {"temperature": 1.0, "seed": 4}
    expected = nudging(zoo).complete(
        [QUESTIONS[0]] * 3, Generation(max_new_tokens=LENGTH, **sampled)
    )
    answer = served.chat(n=3, **sampled)
    assert [choice.message.content for choice in answer.choices] == [a.text for a in expected]
    texts = ["", "", ""]
    for chunk in served.chat(n=3, stream=True, **sampled):
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
    assert texts == [a.text for a in expected]


def test_a_chat_of_several_turns_is_that_conversation(served: Served, zoo: Zoo) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": QUESTIONS[1]}]},
    ]
    generation = Generation(max_new_tokens=LENGTH)
    (expected,) = nudging(zoo).complete([Conversation.of(messages)], generation)
    assert served.chat(messages=messages).choices[0].message.content == expected.text


def test_many_clients_at_once_get_what_each_would_alone(served: Served, zoo: Zoo) -> None:
    def asked(number: int) -> str:
        settings = {"model": f"nudging@{number % 4 / 4}", "temperature": number % 3 / 2}
        if number % 2:
            return served.chat(QUESTIONS[number], **settings).choices[0].message.content
        chunks = served.chat(QUESTIONS[number], stream=True, **settings)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(asked, range(32)))
    assert found == [
        alone(zoo, question, threshold=i % 4 / 4, temperature=i % 3 / 2).text
        for i, question in enumerate(QUESTIONS)
    ]


@pytest.mark.parametrize(
    ("asked", "status", "param", "said"),
    [
        ({"logprobs": True}, 400, "logprobs", "not honoured"),
        ({"tools": [{"type": "function"}]}, 400, "tools", "not honoured"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format", "not honoured"),
        ({"presence_penalty": 0.5}, 400, "presence_penalty", "not honoured"),
        ({"logit_bias": {"5": 1}}, 400, "logit_bias", "not honoured"),
        ({"temperature": -1}, 400, "temperature", "numbers from 0"),
        ({"temperature": "hot"}, 400, "temperature", "hot"),
        ({"top_p": 0}, 400, "top_p", "above 0"),
        ({"max_tokens": 0}, 400, "max_tokens", "from 1"),
        ({"stop": [""]}, 400, "stop", "none empty"),
        ({"n": 0}, 400, "n", "from 1 to 128"),
        ({"seed": 1.5}, 400, "seed", "whole"),
        ({"model": "gpt"}, 404, "model", "nudging@VALUE"),
        ({"model": "nudging@much"}, 404, "model", "nudging@VALUE"),
        ({"model": "nudging@7"}, 400, None, "threshold"),
        ({"messages": []}, 400, "messages", "user's"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "messages", "assistant"),
        ({"messages": [{"role": "user", "content": "x " * 3000}]}, 400, None, "no room"),
        ({"extra_body": {"trimtab": {"thresold": 1}}}, 400, None, "Did you mean 'threshold'"),
        ({"extra_body": {"trimtab": 5}}, 400, "trimtab", "object"),
        ({"extra_body": {"max_tokn": 5}}, 400, "max_tokn", "Did you mean 'max_tokens'"),
        ({"store": True}, 400, "store", "not honoured"),
        ({"metadata": {"a": "b"}}, 400, "metadata", "not honoured"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 400, "max_tokens", "differ"),
        (
            {"model": "nudging@0.2", "extra_body": {"trimtab": {"threshold": 0.3}}},
            400,
            "trimtab",
            "0.2",
        ),
        ({"extra_body": {"trimtab": {"threshold": "high"}}}, 400, None, "threshold"),
        ({"extra_body": {"trimtab": {"threshold": [1]}}}, 400, None, "threshold"),
        ({"extra_body": {"trimtab": {"threshold": True}}}, 400, None, "threshold"),
        ({"stream_options": {"include_usag": True}}, 400, "stream_options", "include_usage"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(
    asked: dict[str, Any], status: int, param: str | None, said: str, served: Served
) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        served.chat(**asked)
    error = refused.value
    assert (error.status_code, error.body["param"]) == (status, param)
    assert said in error.body["message"]
    assert error.body["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{",
            b"[]",
            b'"x"',
            b"\xff\xfe",
            b"[" * 100_000,
            b"null",
            b'{"messages": {}}',
            b"{}",
        ),
        b'{"model": "nudging", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "nudging", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "nudging", "messages": [{"role": "user", "content": "x"}], "seed": 1e999}',
    ],
)
def test_what_is_no_request_is_refused_and_the_server_lives(body: bytes, served: Served) -> None:
    status, answer = served.raw(body)
    assert status == 400
    assert answer["error"]["message"]
    assert served.raw(b"x" * (17 << 20))[0] == 413
    assert served.chat(max_tokens=1).choices


def test_who_has_no_key_is_not_answered_and_health_is_open(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for given in ("", "Bearer ", "Bearer x", f"Bearer {KEY}x", f"Basic {KEY}", "Bearer \xe9"):
        status, answer = served.raw(b"{}", {"authorization": given})
        assert status == 401
        assert KEY not in json.dumps(answer)
    with closing(http.client.HTTPConnection("127.0.0.1", served.port)) as connection:
        connection.request("GET", "/health", headers={"x-request-id": "mine"})
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (200, {"status": "ok"})
        assert response.headers["x-request-id"] == "mine"
    with pytest.raises(openai.NotFoundError, match="/v1/completions: Not Found"):
        served.client.completions.create(model="nudging", prompt="Hi")
    assert KEY not in caplog.text
    (model,) = served.client.models.list().data
    assert (model.id, model.trimtab) == ("nudging", {"dials": ["threshold"], "threshold": 0.4})


def test_clients_that_leave_cost_no_more_passes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, rows = LocalPredictor.predict, list[int]()

    def slowly(self: LocalPredictor, requests: Sequence[Request]) -> list[list[Prediction]]:
        rows.append(len(requests))
        time.sleep(0.01)
        return predict(self, requests)

    monkeypatch.setattr(LocalPredictor, "predict", slowly)
    body = {"model": "nudging", "messages": [{"role": "user", "content": QUESTIONS[0]}]}
    for stream in (True, False):
        for _ in range(12):
            content = json.dumps(body | {"stream": stream, "max_tokens": 1000}).encode()
            with socket.create_connection(("127.0.0.1", served.port)) as connection:
                head = (
                    f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}"
                )
                length = f"content-length: {len(content)}\r\n\r\n"
                connection.sendall(f"{head}\r\n{length}".encode() + content)
                time.sleep(0.02)
    deadline = time.monotonic() + 60
    while served.engine.busy and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not served.engine.busy
    monkeypatch.undo()
    assert served.chat().choices[0].message.content


def test_the_readmes_client_runs(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n# ask\.py\n(.*?)```", text, re.DOTALL)
    code = code.replace(":8000", f":{served.port}").replace('"secret"', repr(KEY))
    exec(compile(code, "README.md", "exec"), names := dict[str, Any]())
    names["client"].close()
    assert capsys.readouterr().out.endswith("The answer is 35.")


@pytest.mark.process
def test_the_command_serves_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    line = "serve base=a-small-base guide=a-small-chat method=nudging --port 0"
    command = [sys.executable, "-m", "trimtab", *line.split()]
    environment = os.environ | {"TRIMTAB_API_KEY": KEY}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout
        said = ""
        while "http://" not in said:
            said += process.stdout.readline()
        (url,) = re.findall(r"http://\S+/v1", said)
        client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
        messages: Any = [{"role": "user", "content": QUESTIONS[0]}]
        answer = client.chat.completions.create(model="nudging", messages=messages)
        assert answer.choices[0].message.content
        process.send_signal(signal.SIGTERM)
        said += process.stdout.read()
    assert KEY not in said
    assert process.returncode in (0, -signal.SIGTERM)

"""The server: routes of OpenAI's API over an engine, for clients that stay or leave."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from trimtab.decoding import Completion, Generation
from trimtab.methods import Piece
from trimtab.methods.prompts import Prompts
from trimtab.serve import wire
from trimtab.serve.answers import Form
from trimtab.serve.dial_names import Names
from trimtab.serve.engine import Asked, Closed, Engine, Full, Item
from trimtab.serve.wire import Refused, Wanted

_LARGEST = 16 << 20  # bytes of a body
_RETRY_AFTER = "1"  # seconds
_log = logging.getLogger(__name__)


def application(
    engine: Engine, names: Names, generation: Generation, *, key: str | None = None
) -> FastAPI:
    """Return the server of a method.

    Args:
        engine: answers; it begins and ends with the server.
        names: what the method is called, with dials.
        generation: the settings where a request has none.
        key: what clients must know; None for nothing.
    """

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        with engine:
            yield

    app = FastAPI(lifespan=running, docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def named_and_known(
        request: Request, go_on: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        name = request.headers.get("x-request-id", "")
        name = name if name.isprintable() and 0 < len(name) <= 200 else f"req-{uuid.uuid4().hex}"
        known = request.url.path == "/health" or _is_known(request, key)
        response = (
            await go_on(request)
            if known
            else _error(Refused("Give the server's key: Authorization: Bearer KEY.", status=401))
        )
        response.headers["x-request-id"] = name
        return response

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return _error(error)

    @app.exception_handler(Full)
    async def full(request: Request, error: Full) -> Response:
        response = _error(Refused(f"Too many requests: {error}", status=429, code="queue_full"))
        response.headers["retry-after"] = _RETRY_AFTER
        return response

    @app.exception_handler(Closed)
    async def closed(request: Request, error: Closed) -> Response:
        return _error(Refused("The server is ending.", status=503))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return _error(_failed(error))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        where = f"{request.method} {request.url.path}: {error.detail}"
        return _error(Refused(where, status=error.status_code))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": names.listed()}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        wanted = wire.chat(await _body(request), generation, names.dials)
        answering = Answering(engine, wanted)
        await answering.begin()
        if wanted.stream:
            headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
            events = answering.events()
            return StreamingResponse(events, media_type="text/event-stream", headers=headers)
        return JSONResponse(await answering.whole(request))

    return app


class Answering:
    """The answers to one request, which are given up when its client leaves."""

    def __init__(self, engine: Engine, wanted: Wanted) -> None:
        self._engine, self._wanted, self._form = engine, wanted, Form(wanted)
        self._asked: list[Asked] = []
        self._items: asyncio.Queue[tuple[int, Item]] = asyncio.Queue()

    async def begin(self) -> None:
        """Ask for all answers.

        Raises:
            Refused: for what the method refuses.
            Full, Closed: as `Engine.ask`.
        """
        loop = asyncio.get_running_loop()

        def ask(number: int) -> Asked:
            def listener(item: Item) -> None:
                loop.call_soon_threadsafe(self._items.put_nowait, (number, item))

            given = wanted.question, wanted.generation, wanted.dials
            return self._engine.ask(*given, sample_id=str(number), listener=listener)

        wanted = self._wanted
        try:
            for number in range(wanted.choices):
                self._asked.append(await run_in_threadpool(ask, number))
        except ValueError as error:
            self.give_up()
            raise Refused(str(error)) from error
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Let all answers be."""
        for asked in self._asked:
            asked.give_up()

    async def whole(self, request: Request) -> dict[str, Any]:
        """Return the response once all answers are there; leave them if the client does."""
        done: dict[int, Completion] = {}
        left = asyncio.ensure_future(_left(request))
        try:
            while len(done) < len(self._asked):
                coming = asyncio.ensure_future(self._items.get())
                await asyncio.wait({coming, left}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    raise Refused("The client has left.", status=499)
                number, item = coming.result()
                if isinstance(item, BaseException):
                    raise _failed(item)
                if isinstance(item, Completion):
                    done[number] = item
        finally:
            left.cancel()
            self.give_up()
        return self._form.whole([done[number] for number in sorted(done)], self._prompt)

    async def events(self) -> AsyncIterator[str]:
        """Yield the stream: pieces as they are settled, the end of each, the usage if asked for."""
        done: dict[int, Completion] = {}
        try:
            for number in range(len(self._asked)):
                yield _event(self._form.opening(number))
            while len(done) < len(self._asked):
                number, item = await self._items.get()
                if isinstance(item, Piece):
                    yield _event(self._form.piece(number, item.span))
                elif isinstance(item, Completion):
                    done[number] = item
                    yield _event(self._form.end(number, item))
                else:
                    yield _event(_content(_failed(item)))
                    return
            if self._wanted.usage_at_end:
                answers = [done[number] for number in sorted(done)]
                yield _event(self._form.usage_event(answers, self._prompt))
            yield "data: [DONE]\n\n"
        finally:
            self.give_up()

    @property
    def _prompt(self) -> Prompts:
        return self._asked[0].prompts


def _failed(error: BaseException) -> Refused:
    """Return what a client is told of an answer that failed; the log has the rest."""
    if isinstance(error, Closed):
        return Refused("The server is ending.", status=503)
    if isinstance(error, ValueError | FloatingPointError | MemoryError):
        return Refused(str(error), status=500)
    _log.error("An answer failed", exc_info=error)
    return Refused("The server failed; its log says how.", status=500)


async def _left(request: Request) -> None:
    """Return when the client leaves."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.1)


async def _body(request: Request) -> Mapping[str, Any]:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _LARGEST:
            raise Refused(f"The body has more than {_LARGEST:,} bytes.", status=413)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The body is no JSON: {error}.") from error
    if not isinstance(body, dict):
        raise Refused("The body is no JSON object.")
    return body


def _is_known(request: Request, key: str | None) -> bool:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return key is None or secrets.compare_digest(given.encode(), key.encode())


def _content(error: Refused) -> dict[str, Any]:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    told = {"message": str(error), "type": kind, "param": error.param, "code": error.code}
    return {"error": told}


def _error(error: Refused) -> Response:
    return JSONResponse(_content(error), status_code=error.status)


def _event(content: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"

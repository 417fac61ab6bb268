"""Somebody else's server in the test process: takes what is sent to it, and answers as the test says."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from tests.support import eventually


@dataclass(frozen=True, slots=True)
class Taken:
    """One request."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body read."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Answering = Callable[[Taken], Reply | Awaitable[Reply]]


@dataclass
class Receiver:
    """A running server; `answer` may be changed while it runs."""

    url: str = ""
    taken: list[Taken] = field(default_factory=list)
    answer: Answering = lambda _: Reply()

    def bodies(self) -> list[Any]:
        """What was sent, in order."""
        return [each.json for each in self.taken]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The application."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request = Taken(scope["method"], scope["path"], scope["query_string"].decode(), headers, body)
        self.taken.append(request)
        reply = self.answer(request)
        reply = await reply if isinstance(reply, Awaitable) else reply
        told = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": told})
        await send({"type": "http.response.body", "body": reply.body})


@asynccontextmanager
async def receiving(application: Any = None, answer: Answering | None = None) -> AsyncIterator[Receiver]:
    """A receiver behind a socket of this machine, or another application behind one."""
    receiver = application or Receiver()
    if answer is not None:
        receiver.answer = answer
    # Named as TCP, without which asyncio leaves answers to be held back for a moment (Nagle).
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            receiver, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server._serve([listener]))
        await eventually(lambda: server.started, 10, "the receiver to start")
        receiver.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield receiver
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, 10)


def statuses(*codes: int, then: int = 200, headers: Mapping[str, str] | None = None) -> Answering:
    """Answers one status after the other, then always the same."""
    left = list(codes)
    return lambda _: Reply(left.pop(0) if left else then, headers or {})


def ids(taken: Iterable[Taken]) -> list[str]:
    """The ids of the messages sent."""
    return [each.headers["webhook-id"] for each in taken]

"""The stream of events, followed by two municipalities side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import psycopg

from fleet.access.roles import Role
from fleet.api.shapes import PREFIX
from tests.api import serving
from tests.isolation.operations import STREAM
from tests.isolation.world import A, B, Caller, make_caller


async def test_the_event_stream_tells_of_ones_own_only(own_world: str) -> None:
    with psycopg.connect(own_world) as connection:
        row = connection.execute("SELECT tx || '-' || event_id FROM events ORDER BY tx, event_id LIMIT 1").fetchone()
    assert row
    tokens = {side: await make_caller(own_world, Caller(Role.ADMIN, side)) for side in (A, B)}
    async with serving(own_world) as url, AsyncExitStack() as stack:
        streams = {side: await stack.enter_async_context(followed(url, tokens[side], row[0])) for side in (A, B)}
        for side, other in ((A, B), (B, A)):
            replayed = [text async for text in until(streams[side], "ready")]
            assert any(side in text for text in replayed)
            assert not any(other in text for text in replayed)
        # What others do now is told to them alone, although it came first.
        for side in (B, A):
            move = {"location": f"{side}-van", "reason": "now"}
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {tokens[side]}"}) as client:
                answer = await client.post(f"{url}{PREFIX}/kits/{side}-stock/moves", json=move)
                assert answer.status_code == 200, answer.text
        for side, other in ((A, B), (B, A)):
            heard = [text async for text in until(streams[side], "kit.located")]
            assert f"{side}-stock" in heard[-1]
            assert not any(other in text for text in heard)


@asynccontextmanager
async def followed(url: str, token: str, last: str) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of the event stream after an event."""
    headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": last}
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", f"{url}{STREAM}", headers=headers) as response,
    ):
        assert response.status_code == 200
        yield response.aiter_lines()


async def until(lines: AsyncIterator[str], type_: str) -> AsyncIterator[str]:
    """The data of events up to and with the first of a type."""
    last = ""
    async with asyncio.timeout(15):
        async for line in lines:
            name, _, text = line.partition(": ")
            if name == "event":
                last = text
            elif name == "data":
                yield text
                if last == type_:
                    return

"""The event stream: nothing skipped, resumable, bounded, and over when the server stops."""

from __future__ import annotations

import asyncio

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from fleet.access.roles import Role
from fleet.api import feed
from fleet.api.feed import Change, Position, Subscription
from fleet.api.sight import EVERYTHING
from fleet.db.connect import open_pool
from tests.api import make_token, serving, stream
from tests.support import execute

INSERT = b"INSERT INTO events (type, kit, body) VALUES ('kit.moved', %s, %s)"


def tell(database: str, *kits: str) -> None:
    """Write one event per kit, each in a transaction of its own."""
    for kit in kits:
        execute(database, INSERT.decode(), kit, Jsonb({"to": "ready"}))


async def test_changes_come_as_events(database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with serving(database) as url, stream(url, token) as events:
        await events.event("ready")
        tell(database, "K-1")
        _, data = await events.event("kit.moved")
    assert (data["kit"], data["to"]) == ("K-1", "ready")
    assert data["at"].endswith("Z")


async def test_a_stream_resumes_where_it_was_left(database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with serving(database) as url:
        tell(database, "K-0")
        async with stream(url, token) as events:
            await events.event("ready")
            tell(database, "K-1", "K-2")
            first, data = await events.event("kit.moved")
            while data["kit"] != "K-1":  # what was told just before the stream began may come as well
                first, data = await events.event("kit.moved")
        tell(database, "K-3")
        async with stream(url, token, last=first) as events:
            assert await events.moved(2) == ["K-2", "K-3"]


async def test_a_stream_ends_now_and_then_and_who_may_no_longer_read_is_not_let_in_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "STREAM_LIVES_S", 0.0)
    token = await make_token(database, Role.SUPPORT)
    async with serving(database) as url:
        async with stream(url, token) as events:
            await events.event("ready")
            assert await events.ended()
        execute(database, "UPDATE tokens SET revoked_at = now()")
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
            assert (await client.get(f"{url}/api/v1/events")).status_code == 401


async def test_who_was_cut_off_in_a_quiet_time_resumes_as_well(database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    tell(database, "K-0")
    async with serving(database) as url:
        async with stream(url, token) as events:
            position, _ = await events.event("ready")
        tell(database, "K-1")
        async with stream(url, token, last=position) as events:
            assert await events.moved(1) == ["K-1"]


async def test_a_late_commit_is_not_skipped(database: str) -> None:
    """The transaction that began first commits last: nothing passes it, and its event comes."""
    async with open_pool(database, role="test") as pool:
        reader = feed.Feed(pool)
        await reader.poll()
        with reader.subscribed(EVERYTHING) as subscription, psycopg.connect(database) as slow:
            slow.execute(INSERT, ("early", Jsonb({})))
            tell(database, "late")
            await reader.poll()
            assert subscription.queue.empty()
            slow.commit()
            await reader.poll()
            found = [subscription.queue.get_nowait() for _ in range(subscription.queue.qsize())]
            await reader.poll()
            assert subscription.queue.empty()
    assert [change.data["kit"] for change in found if change] == ["early", "late"]


@pytest.mark.parametrize(("role", "seen"), [(Role.MDM_ADMIN, False), (Role.SUPPORT, True)])
async def test_a_role_sees_events_of_what_it_may_read(database: str, role: Role, seen: bool) -> None:
    token = await make_token(database, role)
    async with serving(database) as url, stream(url, token) as events:
        await events.event("ready")
        execute(database, "INSERT INTO events (type, kit, body) VALUES ('call.recorded', 'K-0', '{}')")
        tell(database, "K-1")
        found = await events.event("call.recorded" if seen else "kit.moved")
    assert found[1]["kit"] == ("K-0" if seen else "K-1")


async def test_what_was_cleaned_away_asks_for_a_fresh_start(database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with serving(database) as url, stream(url, token, last="1-1") as events:
        await events.event("reset")
        tell(database, "K-1")
        await events.event("kit.moved")


async def test_open_streams_do_not_delay_the_end(database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with asyncio.timeout(20):
        async with serving(database) as url:
            context = stream(url, token)
            events = await context.__aenter__()
            await events.event("ready")
        assert await events.ended()
        await context.__aexit__(None, None, None)


@pytest.mark.parametrize("wrong", ["", "x", "1", "1-", "-1", "1-1-1", "99999999999999999999-1", "\u0661-\u0661"])
def test_ids_that_are_not_ours(wrong: str) -> None:
    assert Position.parse(wrong) is None


def test_ids_come_back() -> None:
    position = Position(2**40, 17)
    assert Position.parse(str(position)) == position


def test_a_slow_reader_is_dropped_and_memory_stays_bounded() -> None:
    subscription = Subscription(Position(1, 1), EVERYTHING)
    for number in range(3 * feed.QUEUE_ITEMS):
        subscription.offer(Change(Position(1, number), "kit.moved", {}))
    subscription.end()
    assert subscription.queue.qsize() == feed.QUEUE_ITEMS + 1
    queued = [subscription.queue.get_nowait() for _ in range(feed.QUEUE_ITEMS + 1)]
    assert queued[-1] is None
    assert [change.position.event_id for change in queued[:-1] if change] == list(range(feed.QUEUE_ITEMS))

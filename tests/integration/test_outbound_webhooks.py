"""Webhooks from fact to receiver: what is sent, signed how, in which order, and what becomes of what is not taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from fleet.access.principal import SYSTEM
from fleet.alerts.outbound import outlets, queue, relay
from fleet.alerts.outbound.outlets import NewOutlet
from fleet.alerts.outbound.work import purpose_of
from tests.outbound_world import SECRET, outbound, running_courier
from tests.receiver import Receiver, Reply, Taken, ids, receiving, statuses
from tests.support import eventually, execute, value


def signed_by(taken: Taken, secret: bytes) -> bool:
    """Whether a receiver that holds `secret` takes it, by the specification and without our code."""
    signed = f"{taken.headers['webhook-id']}.{taken.headers['webhook-timestamp']}.".encode() + taken.body
    wanted = "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return wanted in taken.headers["webhook-signature"].split(" ")


async def test_a_fact_is_sent_once_and_signed(database: str) -> None:
    async with receiving() as there, outbound(database) as here:
        hook = await here.webhook(there.url + "/hook", "request.*")
        await here.fact("request.opened", number="SR-1", cause="silent")
        await here.fact("kit.moved", to="elsewhere")
        assert await here.send(hook) is None
        assert await here.send(hook) is None
        (taken,) = there.taken
        assert (taken.method, taken.path) == ("POST", "/hook")
        assert signed_by(taken, SECRET)
        assert not signed_by(taken, b"another")
        assert abs(int(taken.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
        message = taken.json
        assert message["id"] == taken.headers["webhook-id"]
        assert message["type"] == "request.opened"
        assert message["data"] == {"number": "SR-1", "cause": "silent"}
        assert datetime.fromisoformat(message["at"]).tzinfo is not None
        assert await here.states(hook) == ["delivered"]


async def test_what_was_before_it_was_made_is_not_sent(database: str) -> None:
    async with receiving() as there, outbound(database) as here:
        await here.fact(number="before")
        hook = await here.webhook(there.url)
        await here.fact(number="after")
        await here.send(hook)
        assert [each["data"]["number"] for each in there.bodies()] == ["after"]


async def test_a_transaction_that_began_before_and_ends_after_is_not_skipped(database: str) -> None:
    async with receiving() as there, outbound(database) as here, outbound(database) as late:
        hook = await here.webhook(there.url)
        async with late.connection.transaction():
            await late.fact(number="slow")
            await here.fact(number="quick")
            await here.send(hook)
            assert there.taken == []  # the order would be lost
        await here.send(hook)
        assert [each["data"]["number"] for each in there.bodies()] == ["slow", "quick"]


async def test_both_secrets_sign_while_one_is_replaced(database: str) -> None:
    async with receiving() as there, outbound(database) as here:
        hook = await here.webhook(there.url)
        new = b"f" * 32
        await outlets.set_secret(here.books, "webhook", hook.outlet_id, here.sealer.seal(new, purpose_of("webhook")))
        await here.fact()
        await here.send(hook)
        assert signed_by(there.taken[0], SECRET)
        assert signed_by(there.taken[0], new)
        execute(database, "UPDATE outlets SET previous_until = now()")
        await here.fact()
        await here.send(hook)
        assert not signed_by(there.taken[1], SECRET)
        assert signed_by(there.taken[1], new)


async def test_a_failing_one_keeps_its_order_and_holds_up_nobody_else(database: str) -> None:
    async with receiving(answer=statuses(500, 503)) as bad, receiving() as good, outbound(database) as here:
        failing, working = await here.webhook(bad.url), await here.webhook(good.url)
        for number in range(3):
            await here.fact(number=number)
        first = await here.send(failing)
        assert first is not None
        assert 2.5 <= first <= 5
        assert await here.deliver(working) is None
        second = await here.deliver(failing)
        assert second is not None
        assert 5 <= second <= 10
        view = await here.view(failing)
        assert (view.failures, view.last_error, view.pending) == (2, "answered 503", 3)
        assert await here.deliver(failing) is None
        assert (await here.view(failing)).failing_since is None
        assert ids(bad.taken)[:3] == [ids(bad.taken)[0]] * 3  # the same id at each attempt
        assert [each["data"]["number"] for each in bad.bodies()] == [0, 0, 0, 1, 2]
        assert [each["data"]["number"] for each in good.bodies()] == [0, 1, 2]


async def test_the_other_sides_wish_to_wait_is_met(database: str) -> None:
    async with receiving(answer=statuses(429, headers={"retry-after": "120"})) as there, outbound(database) as here:
        hook = await here.webhook(there.url)
        await here.fact()
        assert await here.send(hook) == 120


async def test_what_is_not_taken_in_time_is_given_up_and_can_be_sent_again(database: str) -> None:
    async with receiving(answer=statuses(then=500)) as there, outbound(database) as here:
        hook = await here.webhook(there.url)
        for number in range(3):
            await here.fact(number=number)
        await here.relay()
        execute(database, "UPDATE deliveries SET expires_at = now() WHERE payload #>> '{data,number}' <> '2'")
        await here.deliver(hook)
        assert await here.states(hook) == ["dead", "dead", "pending"]
        there.answer = statuses()
        there.taken.clear()
        assert await outlets.redeliver_all(here.books, "webhook", hook.outlet_id) == 2
        assert await here.send(hook) is None
        assert [each["data"]["number"] for each in there.bodies()] == [0, 1, 2]


async def test_one_that_fails_for_days_is_disabled_and_told(database: str) -> None:
    async with receiving(answer=statuses(then=500)) as there, receiving() as other, outbound(database) as here:
        hook, watching = await here.webhook(there.url), await here.webhook(other.url, "outlet.*")
        await here.fact()
        await here.send(hook)
        execute(database, "UPDATE outlet_queues SET failing_since = now() - interval '6 days' WHERE failures > 0")
        await here.deliver(hook)
        view = await here.view(hook)
        assert (view.state, view.disabled_reason) == ("disabled", "failing for 5 days")
        assert await here.states(hook) == ["dead"]
        await here.fact()
        await here.send(watching)
        assert [each["type"] for each in other.bodies()] == ["outlet.disabled"]
        assert await here.states(hook) == ["dead"]
        # Active again it hears of what happens from then on.
        there.answer = statuses()
        there.taken.clear()
        await outlets.edit(here.books, "webhook", hook.outlet_id, {"state": "active"})
        await here.fact(number="new")
        await here.send(hook)
        assert [each["data"] for each in there.bodies()] == [{"number": "new"}]


async def test_gone_means_gone(database: str) -> None:
    async with receiving(answer=statuses(410)) as there, outbound(database) as here:
        hook = await here.webhook(there.url)
        await here.fact()
        await here.send(hook)
        assert (await here.view(hook)).state == "disabled"


async def test_too_many_that_wait_are_given_up_the_oldest_first(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MOST_PENDING", 5)
    monkeypatch.setattr(relay, "ROOM", 3)
    monkeypatch.setattr(relay, "WINDOW", 1)
    async with receiving(answer=statuses(then=500)) as there, outbound(database) as here:
        hook = await here.webhook(there.url)
        for number in range(9):
            await here.fact(number=number)
        await here.send(hook)
        assert await here.states(hook) == ["pending"] * 3  # the others wait as events
        await here.relay(datetime.now(UTC) + timedelta(hours=13))
        await relay.keep_house(here.connection, datetime.now(UTC))
        assert await here.states(hook) == ["dead"] * 4 + ["pending"] * 5
        assert (await here.view(hook)).overflowed == 4
        body = value(database, "SELECT body FROM events WHERE type = 'outlet.overflowed'")
        assert body == {"outlet": hook.outlet_id, "kind": "webhook", "given_up": 4}
        await here.relay(datetime.now(UTC) + timedelta(hours=13))
        assert len(await here.states(hook)) == 9  # it is not told of itself


async def test_one_that_works_is_not_given_more_than_it_can_soon_send(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "ROOM", 10)
    monkeypatch.setattr(relay, "WINDOW", 10)
    async with receiving() as there, outbound(database) as here:
        hook = await here.webhook(there.url)
        execute(
            database,
            "INSERT INTO events (type, body) SELECT 'request.opened', jsonb_build_object('n', g)"
            " FROM generate_series(1, 100) g",
        )
        await here.relay()
        assert len(await here.states(hook)) == 10
        await eventually(lambda: _all_sent(here, hook, there))
        assert [each["data"]["n"] for each in there.bodies()] == list(range(1, 101))


async def _all_sent(here, hook, there: Receiver) -> bool:  # type: ignore[no-untyped-def]
    await here.send(hook)
    return len(there.taken) >= 100


async def test_only_what_its_organisation_sees_is_sent(database: str) -> None:
    execute(database, "INSERT INTO organisations (slug, name) VALUES ('north', 'North'), ('south', 'South')")
    execute(
        database,
        "INSERT INTO organisations (slug, name, parent_id) SELECT 'town', 'Town', organisation_id"
        " FROM organisations WHERE slug = 'north'",
    )
    execute(
        database,
        "INSERT INTO kits (kit, state, organisation_id, owner_id) SELECT 'K-' || o.slug, 'in_stock', o.organisation_id,"
        " (SELECT organisation_id FROM organisations WHERE slug = 'south') FROM organisations o WHERE slug <> 'north'",
    )
    execute(database, "UPDATE kits SET owner_id = NULL WHERE kit = 'K-south'")
    async with receiving() as there, outbound(database) as here:
        north = await here.webhook(there.url + "/north", "request.*", organisation="north")
        town = await here.webhook(there.url + "/town", "request.*", organisation="town")
        south = await here.webhook(there.url + "/south", "request.*", organisation="south")
        everything = await here.webhook(there.url + "/all", "request.*")
        await here.fact(kit="K-town")
        await here.fact(kit="K-south")
        await here.fact()  # of nobody: the installation's alone
        for hook in (north, town, south, everything):
            await here.send(hook)
        sent = [(each.path, each.json["data"].get("kit")) for each in there.taken]
        assert sorted(sent, key=str) == sorted(
            [
                ("/north", "K-town"),
                ("/town", "K-town"),
                ("/south", "K-town"),  # whose it is
                ("/south", "K-south"),
                ("/all", "K-town"),
                ("/all", "K-south"),
                ("/all", None),
            ],
            key=str,
        )


async def test_a_ping_comes_before_everything(database: str) -> None:
    async with receiving(answer=statuses(500)) as there, outbound(database) as here:
        hook = await here.webhook(there.url)
        await here.fact()
        await here.send(hook)
        delivery = await outlets.ping(here.books, "webhook", hook.outlet_id)
        await here.send(hook)
        assert [each["type"] for each in there.bodies()] == ["request.opened", "ping", "request.opened"]
        assert (await outlets.find_delivery(here.books, delivery.delivery_id)).state == "delivered"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/", "cannot be found or reached"),
        ("https://169.254.169.254/latest/meta-data", "link-local"),
        ("http://nowhere.invalid/", "cannot be found or reached"),
    ],
)
async def test_what_cannot_be_reached_is_told_without_its_address(database: str, url: str, reason: str) -> None:
    async with outbound(database) as here:
        hook = await here.webhook(url)
        await here.fact()
        assert await here.send(hook) is not None
        error = (await here.view(hook)).last_error
        assert error is not None
        assert url not in error
        assert reason in error


async def test_an_answer_without_end_is_cut_off(database: str) -> None:
    async with (
        receiving(answer=lambda _: Reply(200, {}, b"x" * 5_000_000)) as there,
        outbound(database) as here,
    ):
        hook = await here.webhook(there.url)
        await here.fact()
        assert await here.send(hook) is None
        assert len(there.taken) == 1


async def test_a_redirect_is_followed_nowhere(database: str) -> None:
    async with receiving() as elsewhere, outbound(database) as here:
        leading = lambda _: Reply(302, {"location": elsewhere.url})  # noqa: E731
        async with receiving(answer=leading) as there:
            hook = await here.webhook(there.url)
            await here.fact()
            assert await here.send(hook) is not None
        assert elsewhere.taken == []


async def test_the_worker_sends_by_itself_and_tries_again(database: str) -> None:
    async with receiving(answer=statuses(500)) as there, outbound(database) as here:
        await here.webhook(there.url)
        async with running_courier(database):
            for number in range(5):
                await here.fact(number=number)
            await eventually(lambda: len(there.taken) >= 6, 30, "the sixth request")
        assert [each["data"]["number"] for each in there.bodies()] == [0, 0, 1, 2, 3, 4]
        assert value(database, "SELECT count(*) FROM jobs.procrastinate_jobs") == 0


async def test_the_job_of_a_worker_that_died_begins_anew(database: str) -> None:
    async with receiving() as there, outbound(database) as here:
        await here.webhook(there.url)
        await here.fact()
        await here.relay()
        execute(
            database,
            "WITH w AS (INSERT INTO jobs.procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute')"
            " RETURNING id) UPDATE jobs.procrastinate_jobs SET status = 'doing', worker_id = w.id FROM w",
        )
        async with running_courier(database):
            await eventually(lambda: len(there.taken) == 1, 20, "the message")


async def test_an_outlet_has_one_job_at_most(database: str) -> None:
    async with receiving() as there, outbound(database) as here:
        await here.webhook(there.url)
        for _ in range(3):
            await here.fact()
            await here.relay()
        assert value(database, "SELECT count(*) FROM jobs.procrastinate_jobs") == 1
        execute(database, "UPDATE jobs.procrastinate_jobs SET status = 'doing'")
        await here.relay()
        assert value(database, "SELECT count(*) FROM jobs.procrastinate_jobs") == 1


async def test_a_removed_one_takes_its_queue_along(database: str) -> None:
    async with receiving() as there, outbound(database) as here:
        hook = await here.webhook(there.url)
        await here.fact()
        await here.relay()
        await outlets.remove(here.books, "webhook", hook.outlet_id)
        assert await here.deliver(hook) is None
        assert value(database, "SELECT count(*) FROM deliveries") == 0
        assert there.taken == []


async def test_a_secret_of_another_key_sends_nothing(database: str) -> None:
    async with receiving() as there, outbound(database) as here:
        new = NewOutlet("webhook", ["*"], url=there.url, secret=b"sealed with another key, long ago")
        hook = await outlets.create(here.books, new, SYSTEM)
        await here.fact()
        assert await here.send(hook) is not None
        assert there.taken == []
        assert "secret" in str((await here.view(hook)).last_error)


def test_waits_grow_to_an_hour() -> None:
    waits = [queue.backoff_s(n) for n in range(1, 40)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == timedelta(hours=1).total_seconds()
    assert queue.backoff_s(1, 0) == 2.5

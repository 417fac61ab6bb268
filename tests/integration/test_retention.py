"""What is past its time goes, what is not stays, and what went is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from fleet.access import sealing
from fleet.alerts import retention
from fleet.alerts.retention import BATCHES, Policy
from fleet.db import roles
from fleet.db.connect import connect
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state import placements
from fleet.state.placements import NewPlacement
from fleet.state.registry.editing import Outdated
from tests.api import api
from tests.people import add_organisations
from tests.support import execute, rows, value

DAYS = "SELECT d, now() - make_interval(days => d) AS t FROM unnest(%(days)s::int[]) d"
KIT = "(SELECT kit_id FROM kits LIMIT 1)"
REQUEST = (
    "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, resolved_at,"
    " resolution)"
)

MADE = {
    "changes": "INSERT INTO changes (kit_id, time, received_at, what, subject)"
    f" SELECT {KIT}, t, t, 'version', d::text FROM ({DAYS}) x",
    "quarantine_payloads": "INSERT INTO quarantine (received_at, topic, reason, detail, size_bytes, payload)"
    f" SELECT t, 'fleet/v1/' || d, 'invalid_json', 'Invalid enum value ''Inger''', 1, 'x' FROM ({DAYS}) x",
    "quarantine": "INSERT INTO quarantine (received_at, topic, reason, detail, size_bytes, payload, redacted_at)"
    f" SELECT t, d::text, 'invalid_json', '', 1, '', t FROM ({DAYS}) x",
    "events": f"INSERT INTO events (at, type, body) SELECT t, 'x', '{{}}' FROM ({DAYS}) x",
    "deliveries": "WITH o AS (INSERT INTO outlets (kind, events, url, secret) VALUES ('webhook', '{x}', 'x', 'x')"
    " RETURNING outlet_id) INSERT INTO deliveries (outlet_id, message_id, type, payload, state, ended_at)"
    f" SELECT outlet_id, d::text, 'x', '{{}}', 'dead', t FROM o, ({DAYS}) x",
    "idempotency_keys": "INSERT INTO idempotency_keys (principal, key, request_hash, status, created_at)"
    f" SELECT 'token:1', d::text, '', 200, t FROM ({DAYS}) x",
    "request_texts": f"{REQUEST} SELECT 'T' || d, {KIT}, 'c' || d, 'support', 'high', 'resolved', t, t, t, 'told me'"
    f" FROM ({DAYS}) x",
    "service_requests": f"{REQUEST} SELECT 'R' || d, {KIT}, 'c' || d, 'support', 'high', 'closed', t, t, t, 'proof'"
    f" FROM ({DAYS}) x",
    "alerts": "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, cleared_at, resolution, evidence)"
    f" SELECT {KIT}, 'silent', 'major', 'cleared', t, t, 'proof', '{{}}' FROM ({DAYS}) x",
    "incidents": "INSERT INTO incidents (rule, state, opened_at, cleared_at, opened_clock_s, cleared_clock_s,"
    f" installed_kits) SELECT 'silent', 'cleared', t, t, 0, 0, 1 FROM ({DAYS}) x",
    "findings": "INSERT INTO findings (kind, subject, kit_id, severity, state, opened_at, last_seen_at, cleared_at,"
    f" evidence) SELECT 'never_heard', d::text, {KIT}, 'minor', 'cleared', t, t, t, '{{}}' FROM ({DAYS}) x",
    "commands": "INSERT INTO commands (command_id, kit_id, name, requested_by, requested_at, expires_at, state,"
    f" next_attempt_at) SELECT 'c' || d, {KIT}, 'ping', 'x', t, t + interval '1 hour', 'expired', 'infinity'"
    f" FROM ({DAYS}) x",
    "placement_references": "INSERT INTO placement_references (organisation_id, reference, created_at)"
    f" SELECT (SELECT organisation_id FROM organisations LIMIT 1), 'KOL-' || d, t FROM ({DAYS}) x",
    "book_texts": "INSERT INTO book_events (recorded_at, what, kit_id, actor, reason)"
    f" SELECT t, 'edit', {KIT}, 'x', 'she said so' FROM ({DAYS}) x",
    "call_notes": "INSERT INTO calls (at, minutes, channel, caller, reason, outcome, note, actor, recorded_at)"
    f" SELECT t, 1, 'phone', 'citizen', 'question', 'informed', 'she said so', 'x', t FROM ({DAYS}) x",
    "visit_texts": "INSERT INTO visits (number, kind, state, kit_id, organisation_id, ordered_at, planned_on,"
    " target_days, due_on, ended_at, ended_reason, note, has_text, created_by)"
    f" SELECT 'V' || d, 'repair', 'cancelled', {KIT}, organisation_id, t, t, 2, t, t, 'she said so', 'she said so',"
    f" true, 'x' FROM ({DAYS}) x, (SELECT organisation_id FROM organisations LIMIT 1) o",
    "sessions": "INSERT INTO sessions (secret_hash, token_id, method, stage, expires_at)"
    f" SELECT sha256(d::text::bytea), (SELECT token_id FROM tokens LIMIT 1), 'token', 'open', t FROM ({DAYS}) x",
    "login_attempts": f"INSERT INTO login_attempts (key, last_at) SELECT sha256(d::text::bytea), t FROM ({DAYS}) x",
    "retention_runs": "INSERT INTO retention_runs (kind, at, cutoff, removed, complete)"
    f" SELECT 'events', t, t, 0, true FROM ({DAYS}) x",
}  # fmt: skip
"""Rows of so many days ago. Only a kind whose rows need nothing but time to go."""

LEFT = {
    "quarantine_payloads": "SELECT count(*) FROM quarantine WHERE redacted_at IS NULL",
    "request_texts": "SELECT count(*) FROM service_requests WHERE resolution = 'told me'",
    "placement_references": "SELECT count(*) FROM placement_references WHERE reference IS NOT NULL",
    "book_texts": "SELECT count(*) FROM book_events WHERE reason = 'she said so'",
    "call_notes": "SELECT count(*) FROM calls WHERE note = 'she said so'",
    "visit_texts": "SELECT count(*) FROM visits WHERE note = 'she said so' OR ended_reason = 'she said so'",
    "retention_runs": "SELECT count(*) FROM retention_runs WHERE at < now() - interval '1 day'",
}


@contextmanager
def session(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def world(database: str) -> str:
    """A kit, an organisation and a token, for rows to belong to."""
    add_organisations(database, "a-by")
    execute(
        database,
        "INSERT INTO kits (kit, state, organisation_id) SELECT 'K-1', 'in_stock', organisation_id FROM organisations",
    )
    execute(database, "INSERT INTO tokens (name, role, secret_hash, hint) VALUES ('x', 'admin', 'x', 'xxxx')")
    return database


def keep_days(database: str, kind: str) -> int:
    days: int = value(database, "SELECT keep_days FROM retention_policies WHERE kind = %s", kind)
    return days


def left(database: str, kind: str) -> int:
    count: int = value(database, LEFT.get(kind, f"SELECT count(*) FROM {kind}"))
    return count


def test_every_kind_has_a_policy_and_a_way_to_go(database: str) -> None:
    assert {kind for (kind,) in rows(database, "SELECT kind FROM retention_policies")} == set(BATCHES)
    names = {name for name, _ in retention.QUERIES.items()}
    for kind in BATCHES.keys() - {"history"}:
        assert {f"remove_{kind}", f"count_{kind}"} <= names
    assert MADE.keys() | {"history", "audit"} == BATCHES.keys(), "a kind without a test"


def test_of_every_kind_the_older_goes_and_nothing_younger(world: str) -> None:
    with session(world) as connection:
        for kind, statement in MADE.items():
            kept = keep_days(world, kind)
            connection.execute(statement.encode(), {"days": [kept + 2, kept + 1, kept - 1]})
    before = {kind: left(world, kind) for kind in MADE}
    due = retention.due(world)
    done = retention.apply(world)
    for kind in MADE:
        assert (due[kind], done[kind], before[kind] - left(world, kind)) == (2, 2, 2), kind
        told = "SELECT removed, complete FROM retention_runs WHERE kind = %s AND at > now() - interval '1 h'"
        assert rows(world, told, kind) == [(2, True)]
        line = "SELECT after ->> 'removed' FROM audit WHERE action = 'retention.applied' AND subject = %s"
        assert rows(world, line, kind) == [("2",)]
    assert not any((retention.due(world) | retention.apply(world)).values()), "a second run finds nothing to do"
    assert value(world, "SELECT count(*) FROM retention_runs WHERE removed = 0") == 2 + 1, (
        "what found nothing says so once"
    )


@pytest.mark.storage
def test_history_goes_by_whole_days(database: str) -> None:
    days = keep_days(database, "history")
    with session(database) as connection:
        if value(database, "SELECT relkind FROM pg_class WHERE oid = 'heartbeats'::regclass") in ("p", b"p"):
            connection.execute("SET ROLE fleet_worker")
            for table in ("heartbeats", "reports"):
                for back in (days + 2, days - 1):
                    query = "SELECT attach_history_day(%s, (now() AT TIME ZONE 'UTC')::date - %s)"
                    connection.execute(query, (table, back))
            connection.execute("RESET ROLE")
        for back in (days + 2, days - 1, 0):
            connection.execute(
                "INSERT INTO heartbeats (time, received_at, seq, kit_id, boot)"
                " SELECT t, t, 1, 1, 'b' FROM (SELECT now() - make_interval(days => %s) AS t) x",
                (back,),
            )
    due = retention.due(database)["history"]
    assert due >= 1
    assert retention.apply(database)["history"] == due
    assert value(database, "SELECT count(*) FROM heartbeats") == 2
    assert retention.apply(database)["history"] == 0


async def test_the_audit_goes_and_its_chain_verifies(database: str) -> None:
    with session(database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SELECT note_audit('test', 'test', n::text, NULL) FROM generate_series(1, 5) n")
        connection.execute("UPDATE audit SET at = at - interval '3000 days' WHERE subject <= '3' OR action <> 'test'")
    seen = value(database, "SELECT count(*) FROM audit WHERE at < now() - interval '2000 days'")
    worker = await connect(database, role="test", run_as=roles.WORKER)
    async with worker:
        await sealing.seal(worker)
        assert retention.due(database)["audit"] == seen
        assert retention.apply(database)["audit"] == seen
        await sealing.seal(worker)
    assert value(database, "SELECT count(*) FROM audit WHERE action = 'test'") == 2
    assert value(database, "SELECT count(*) FROM audit WHERE action = 'audit.trimmed'") == 1
    owner = await connect(database, role="test")
    async with owner:
        assert (await sealing.verify(owner)).report.faults == 0


def test_what_a_payload_told_leaves_no_trace(world: str) -> None:
    with session(world) as connection:
        connection.execute(
            "INSERT INTO quarantine (received_at, topic, reason, detail, size_bytes, payload) VALUES"
            " (now() - interval '31 days', 'kits/0101011234/x', 'unknown_kit', 'no kit', 1, 'Inger'),"
            " (now() - interval '31 days', 'Inger', 'bad_topic', 'Invalid enum value ''Inger'' - at `$.x`', 1, 'x')"
        )
    retention.apply(world)
    assert rows(world, "SELECT topic, detail, payload FROM quarantine ORDER BY quarantine_id") == [
        ("kits/[redacted]/x", "no kit", b""),
        ("[redacted]", "Invalid enum value '[redacted]' - at `$.x`", b""),
    ]


def test_what_is_still_needed_stays(world: str) -> None:
    """An alert of an open request, an incident with a request, and words of ours in a resolution."""
    with session(world) as connection:
        connection.execute(MADE["alerts"].encode(), {"days": [3000]})
        connection.execute(MADE["incidents"].encode(), {"days": [3000]})
        connection.execute(
            "INSERT INTO service_requests"
            " (number, kit_id, incident_id, cause, line, priority, state, opened_at, due_at)"
            f" VALUES ('A', {KIT}, NULL, 'silent', 'support', 'high', 'open', now(), now()), ('B', NULL,"
            " (SELECT incident_id FROM incidents), 'silent', 'support', 'high', 'open', now(), now())".encode()
        )
        connection.execute(
            "INSERT INTO request_alerts SELECT request_id, alert_id FROM service_requests, alerts LIMIT 1"
        )
        connection.execute(MADE["service_requests"].encode(), {"days": [500]})
        assert {kind: n for kind, n in retention.apply(world).items() if n and kind != "history"} == {}
        connection.execute("UPDATE service_requests SET state = 'closed', resolved_at = now() - interval '3000 days'")
    done = retention.apply(world)
    assert (done["service_requests"], done["alerts"], done["incidents"]) == (3, 1, 1)


def test_one_kind_that_cannot_go_does_not_hold_up_the_others(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOCK_TIMEOUT", "50ms")
    with session(world) as connection:
        for kind in ("changes", "events"):
            connection.execute(MADE[kind].encode(), {"days": [3000]})
        connection.execute("BEGIN; LOCK TABLE changes")
        done = retention.apply(world)
        connection.execute("ROLLBACK")
    assert (done["changes"], done["events"]) == (0, 1)
    assert retention.apply(world)["changes"] == 1


def test_it_stops_between_batches(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BATCHES, "events", 2)
    with session(world) as connection:
        connection.execute(MADE["events"].encode(), {"days": [100, 99, 98, 97, 96]})
    retention.apply(world, stopping=lambda: left(world, "events") < 5)
    assert left(world, "events") == 3
    assert retention.apply(world)["events"] == 3
    told = "SELECT sum(removed)::int, bool_or(complete), bool_and(complete) FROM retention_runs WHERE kind = 'events'"
    assert rows(world, told) == [(5, True, False)]


async def test_a_policy_is_set_within_its_bounds_and_told(database: str) -> None:
    connection = await connect(database, role="test")
    async with connection:
        changed = await retention.set_policy(connection, "events", 14, revisions=frozenset({1}))
        assert isinstance(changed, Policy)
        assert (changed.keep_days, changed.revision, changed.last_run_at) == (14, 2, None)
        assert await retention.set_policy(connection, "events", 9, revisions=frozenset({1})) == Outdated(2)
        for kind, days, error in (("events", 0, InvalidError), ("events", 91, InvalidError), ("x", 1, NotFoundError)):
            with pytest.raises(error):
                await retention.set_policy(connection, kind, days)
    line = "SELECT before, after FROM audit WHERE action = 'retention_policies.changed'"
    assert rows(database, line) == [({"keep_days": 7}, {"keep_days": 14})]


async def placed(database: str, reference: str, state: str, ended_days: int | None) -> int:
    """A placement of a reference, as the books would leave it; gives the reference's number."""
    connection = await connect(database, role="test")
    async with connection:
        made = await placements.plan(connection, NewPlacement(reference, "a-by", kit="K-1"))
    execute(
        database,
        "UPDATE placements SET state = %s, ended_reason = 'moved in with Inger',"
        " updated_at = now() - make_interval(days => %s), during = CASE WHEN %s IN ('active', 'ended')"
        " THEN tstzrange(now() - make_interval(days => %s + 1),"
        " CASE WHEN %s = 'ended' THEN now() - make_interval(days => %s) END) END WHERE placement_id = %s",
        state, ended_days or 0, state, ended_days or 0, state, ended_days or 0, made.placement_id,
    )  # fmt: skip
    return made.reference_id


@pytest.mark.parametrize(
    ("state", "ended_days", "goes"),
    [("ended", 366, True), ("ended", 364, False), ("cancelled", 366, True), ("cancelled", 1, False),
     ("active", None, False), ("planned", None, False)],
)  # fmt: skip
async def test_a_reference_goes_when_its_last_placement_is_long_over(
    world: str, state: str, ended_days: int | None, goes: bool
) -> None:
    number = await placed(world, "KOL-77", state, ended_days)
    execute(world, "UPDATE placement_references SET created_at = now() - interval '3000 days'")
    assert retention.apply(world)["placement_references"] == int(goes)
    text, erased = rows(world, "SELECT reference, erased_at IS NOT NULL FROM placement_references")[0]
    assert (text, erased) == ((None, True) if goes else ("KOL-77", False))
    told = "SELECT count(*) FROM audit WHERE action = 'placement.erased' AND subject = %s"
    assert value(world, told, str(number)) == int(goes)
    assert traces(world, "moved in with Inger") == ([] if goes else ["audit.after", "placements.ended_reason"])


def traces(database: str, text: str) -> list[str]:
    """Every column of every table in which the text stands, whatever its type."""
    columns = rows(
        database,
        "SELECT c.oid::regclass::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relkind IN ('r', 'm') AND a.attnum > 0 AND NOT a.attisdropped"
        " AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
        " AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) ORDER BY 1, 2",
    )
    assert len(columns) > 200
    found = []
    with session(database) as connection:
        for table, column in columns:
            query = (
                f'SELECT count(*) FROM {table} WHERE position(%(text)s IN "{column}"::text) > 0'
                f" OR position(encode(%(text)s::bytea, 'hex') IN \"{column}\"::text) > 0"
            )
            if connection.execute(query.encode(), {"text": text}).fetchone() != (0,):
                found.append(f"{table}.{column}")
    return found


async def test_erasing_a_reference_leaves_no_trace_of_it_anywhere(world: str) -> None:
    number = await placed(world, "KOL-NORD-8841", "ended", 3)
    assert traces(world, "KOL-NORD-8841") == ["placement_references.reference"], "it stands in one place only"
    connection = await connect(world, role="test")
    async with connection:
        known = await placements.about_reference(connection, number)
        assert known["reference"] == "KOL-NORD-8841"
        await placements.erase(connection, number, reason="asked for by letter 12")
        assert (await placements.about_reference(connection, number))["reference"] is None
    assert traces(world, "KOL-NORD-8841") == []
    assert traces(world, "moved in with Inger") == []
    assert value(world, "SELECT state FROM placements") == "ended", "what happened to equipment stays"


async def test_a_reference_of_a_home_with_a_kit_is_not_erased(world: str) -> None:
    number = await placed(world, "KOL-1", "active", None)
    connection = await connect(world, role="test")
    async with connection:
        with pytest.raises(ConflictError):
            await placements.erase(connection, number, reason="x")


async def test_nothing_keeps_what_was_sent_about_a_reference(world: str) -> None:
    """Planned, looked up, exported, imported and erased over HTTP, with answers kept for repeats."""
    reference = "KOL-NORD-8842"
    async with api(world) as client:
        plan = {"reference": reference, "organisation": "a-by", "kit": "K-1"}
        made = await client.post("/api/v1/placements", json=plan, headers={"Idempotency-Key": "k1"})
        assert made.status_code == 201, made.text
        number = made.json()["reference_id"]
        await client.post(
            "/api/v1/placements/look-up", json={"reference": reference}, headers={"Idempotency-Key": "k2"}
        )
        await client.get(f"/api/v1/placement-references/{number}")
        await client.get("/api/v1/placements")
        bad = f"kit,reference,organisation,from\nK-none,{reference},a-by,2026-01-01\n".encode()
        await client.post(
            "/api/v1/imports/placements",
            content=bad,
            headers={"Idempotency-Key": "k3", "Content-Type": "text/csv"},
        )
        assert traces(world, reference) == ["placement_references.reference"]
        erased = await client.post(f"/api/v1/placement-references/{number}/erase", json={"reason": "asked for"})
        assert erased.status_code < 300, erased.text
    assert traces(world, reference) == []
    assert value(world, "SELECT state FROM placements") == "cancelled"


async def test_a_reference_that_is_being_placed_again_is_not_erased(world: str) -> None:
    """Whoever plans holds the reference; the job passes it over and finds it in use the next time."""
    number = await placed(world, "KOL-78", "ended", 400)
    execute(world, "UPDATE placement_references SET created_at = now() - interval '3000 days'")
    connection = await connect(world, role="test")
    async with connection, connection.transaction():
        again = await placements.plan(connection, NewPlacement("KOL-78", "a-by"))
        assert again.reference_id == number
        done = await asyncio.to_thread(retention.apply, world)
        assert done["placement_references"] == 0
    assert retention.apply(world)["placement_references"] == 0
    assert value(world, "SELECT reference FROM placement_references") == "KOL-78"

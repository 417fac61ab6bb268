"""Batches into the database: repeats, refusals, poison, and what is tried again."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fleet.ingest.connection import Incoming
from fleet.ingest.store import NotLeaderError, Writer
from fleet.protocol.messages import Connection, ConnectionState, Heartbeat, Software, encode
from fleet.protocol.topics import Kind
from tests.make import START, at, heartbeat, incoming, payload
from tests.settling import settling, stored
from tests.support import add_kits, eventually, execute, rows, value, waits_for_lock, writer_pids

pytestmark = pytest.mark.storage
BEATS = "SELECT count(*) FROM heartbeats"
QUARANTINE = "SELECT reason FROM quarantine ORDER BY quarantine_id"


def raw(content: bytes, *, kit: str = "K", kind: Kind = Kind.HEARTBEAT, topic: str | None = None) -> Incoming:
    message = incoming(kit, kind, content, received_at=START)
    return message if topic is None else Incoming(topic, content, False, START, 1)


def json_of(kit: str = "K", **more: Any) -> bytes:
    return encode(Heartbeat(START, "b", 1, **more))


REFUSED = [
    (raw(b"{}", topic="fleet/v1/kits/K/unheard-of"), "bad_topic"),
    (raw(b"x" * 70, topic="fleet/v1/kits/K/heartbeat/\0"), "bad_topic"),
    (raw(b"x", topic="\ufffd\udcff"), "bad_topic"),
    (raw(json_of().ljust(16_385)), "oversized"),
    (raw(b"\xff" * 65_535), "oversized"),
    (raw(b"\xff\xfe{}"), "invalid_utf8"),
    (raw(b"{"), "invalid_json"),
    (raw(b""), "invalid_json"),
    (raw(b'{"ts":"x"}'), "invalid_field"),
    (raw(json_of().replace(b'"seq":1', b'"seq":' + b"9" * 300)), "invalid_field"),
    (raw(b'{"zz":' + b"[" * 8000 + b"]" * 8000 + b"}"), "too_deep"),
    (raw(json_of(operator="a\0b")), "nul_byte"),
    (raw(json_of(), kit="UNHEARD-OF"), "unknown_kit"),
]


async def test_each_reason_keeps_topic_time_and_the_first_four_kibibytes(database: str) -> None:
    add_kits(database, "K")
    async with settling(database) as it:
        await it.settle([message for message, _ in REFUSED] + [heartbeat("K", "b", 9, ts=START)])
    found = rows(
        database, "SELECT reason, received_at, size_bytes, payload, topic, detail FROM quarantine ORDER BY 1, 3"
    )
    expected = sorted(REFUSED, key=lambda case: (case[1], len(case[0].payload)))
    for row, (message, reason) in zip(found, expected, strict=True):
        assert row[:4] == (reason, START, len(message.payload), message.payload[:4096])
        assert row[4].replace("?", "") == message.topic.replace("\0", "\ufffd").replace("\udcff", "")
        assert row[5]
    assert stored(database, "K") == [("heartbeat", "b", 9)]


async def test_everything_odd_but_allowed_is_stored_as_it_is(database: str) -> None:
    add_kits(database, "K")
    components = {"ø'\"\\u0000%s": "\\\\N\t", "{a,b}": "$1", "æ\U0001f600": ""}
    result = {"deep": [[[{"a": [1e20, 0.5, 10**40, 2**63]}]]], "": None, "\\u0000": "\\"}
    messages = [
        incoming("K", Kind.SOFTWARE, Software(START, "b\\u0000'", 2**63 - 1, components), received_at=START),
        raw(b'{"ts":"%s","status":"ok","result":%s}' % (START.isoformat().encode(), _json(result)), kind=Kind.REPLY),
        heartbeat("K", "\\N", 0, ts=START),
    ]
    async with settling(database) as it:
        await it.settle(messages)
    assert rows(database, QUARANTINE) == []
    assert value(database, "SELECT body FROM latest_reports WHERE kind = 'software'") == components
    assert value(database, "SELECT body->'result' FROM reports WHERE kind = 'reply'") == result
    assert value(database, "SELECT boot FROM kit_latest") == "\\N"


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("place", [0, 37, 99])
async def test_one_poisonous_message_is_quarantined_and_the_rest_commits(database: str, place: int) -> None:
    add_kits(database, "K")
    execute(database, "ALTER TABLE kit_latest ADD CONSTRAINT no_half CHECK (uptime_s <> 4711)")
    execute(database, "ALTER TABLE heartbeats ADD CONSTRAINT no_half CHECK (uptime_s <> 4711)")
    batch = [heartbeat("K", "b", seq, ts=at(seq - 200)) for seq in range(100)]
    poison = encode(Heartbeat(at(0), "b", place, uptime_s=4711))
    batch[place] = incoming("K", Kind.HEARTBEAT, poison, received_at=START)
    async with settling(database) as it:
        await it.settle(batch, write_clock=True)
        await it.settle([heartbeat("K", "b", 500, ts=at(1))])
    assert [row[:2] for row in stored(database, "K")] == [("heartbeat", "b")] * 100
    assert (("heartbeat", "b", place) in stored(database, "K")) is False
    assert rows(database, "SELECT reason, payload FROM quarantine") == [("refused_by_database", poison)]
    assert value(database, "SELECT seq FROM kit_latest") == 500
    assert value(database, "SELECT last_heard_at FROM kit_latest") == at(1)


async def test_several_poisons_and_bad_messages_in_one_batch(database: str) -> None:
    add_kits(database, "K")
    execute(database, "ALTER TABLE heartbeats ADD CONSTRAINT odd CHECK (mod(seq, 7) <> 3)")
    batch = [heartbeat("K", "b", seq, ts=at(seq - 200)) for seq in range(50)]
    batch[20:20] = [raw(b"nonsense"), raw(json_of(), kit="X")]
    async with settling(database) as it:
        await it.settle(batch)
    refused = [seq for seq in range(50) if seq % 7 == 3]
    assert value(database, BEATS) == 50 - len(refused)
    reasons = sorted(reason for (reason,) in rows(database, QUARANTINE))
    assert reasons == sorted(["refused_by_database"] * len(refused) + ["invalid_json", "unknown_kit"])


async def test_a_quarantine_that_refuses_is_waited_for(database: str) -> None:
    add_kits(database, "K")
    execute(database, "ALTER TABLE quarantine ADD CONSTRAINT closed CHECK (false)")
    async with settling(database) as it:
        task = asyncio.create_task(it.settle([raw(b"nonsense"), heartbeat("K", "b", 1, ts=START)]))
        done, _ = await asyncio.wait({task}, timeout=1)
        assert not done
        execute(database, "ALTER TABLE quarantine DROP CONSTRAINT closed")
        await asyncio.wait_for(task, 10)
    assert rows(database, QUARANTINE) == [("invalid_json",)]
    assert value(database, BEATS) == 1


REPAIRS = {
    "a table gone": (
        "ALTER TABLE heartbeats RENAME TO elsewhere",
        "ALTER TABLE elsewhere RENAME TO heartbeats",
    ),
    "a column gone": (
        "ALTER TABLE kit_latest RENAME COLUMN boot TO boots",
        "ALTER TABLE kit_latest RENAME COLUMN boots TO boot",
    ),
    "a trigger out of resources": (
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END$$;"
        "CREATE TRIGGER full_disk BEFORE UPDATE ON kit_latest EXECUTE FUNCTION full_disk()",
        "DROP TRIGGER full_disk ON kit_latest",
    ),
}


@pytest.mark.parametrize("trouble", list(REPAIRS))
async def test_what_is_not_the_datas_fault_is_tried_again_and_quarantines_nothing(database: str, trouble: str) -> None:
    add_kits(database, "K")
    spoil, repair = REPAIRS[trouble]
    async with settling(database) as it:
        execute(database, spoil)
        task = asyncio.create_task(it.settle([heartbeat("K", "b", seq, ts=at(seq - 200)) for seq in range(20)]))
        done, _ = await asyncio.wait({task}, timeout=1)
        assert not done
        execute(database, repair)
        await asyncio.wait_for(task, 15)
    assert value(database, BEATS) == 20
    assert value(database, "SELECT seq FROM kit_latest") == 19
    assert rows(database, QUARANTINE) == []


async def test_a_lock_time_out_is_tried_again(database: str) -> None:
    add_kits(database, "K")
    async with settling(f"{database}?options=-c%20lock_timeout%3D200") as it:
        with psycopg.connect(database) as holder:
            holder.execute("LOCK TABLE heartbeats IN ACCESS EXCLUSIVE MODE")
            task = asyncio.create_task(it.settle([heartbeat("K", "b", 1, ts=START)]))
            done, _ = await asyncio.wait({task}, timeout=1)
            assert not done
        await asyncio.wait_for(task, 15)
    assert (value(database, BEATS), rows(database, QUARANTINE)) == (1, [])


async def test_a_killed_backend_is_replaced_and_the_batch_stored_once(database: str) -> None:
    add_kits(database, "K")
    async with settling(database) as it:
        await it.settle([heartbeat("K", "b", 1, ts=START)])
        with psycopg.connect(database, autocommit=True) as holder:
            with holder.transaction():
                holder.execute("LOCK TABLE kit_latest IN ACCESS EXCLUSIVE MODE")
                task = asyncio.create_task(it.settle([heartbeat("K", "b", 2, ts=START)]))
                await eventually(
                    lambda: waits_for_lock(database, "UPDATE kit_latest"), what="the batch waits at the lock"
                )
                (pid,) = writer_pids(database)
                execute(database, "SELECT pg_terminate_backend(%s)", pid)
            await asyncio.wait_for(task, 15)
    assert stored(database, "K") == [("heartbeat", "b", 1), ("heartbeat", "b", 2)]


async def test_a_missing_partition_is_made_and_nothing_quarantined(database: str) -> None:
    if value(database, "SELECT count(*) FROM pg_partitioned_table WHERE partrelid = 'heartbeats'::regclass"):
        for (name,) in rows(
            database, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'heartbeats'::regclass"
        ):
            execute(database, f"DROP TABLE {name}")
    add_kits(database, "K")
    async with settling(database) as it:
        await it.settle(
            [heartbeat("K", "b", seq, ts=START - timedelta(days=seq), received_at=START) for seq in (0, 15, 30)]
        )
    assert (value(database, BEATS), rows(database, QUARANTINE)) == (3, [])


async def test_a_message_held_for_days_is_still_stored(database: str) -> None:
    """Received before the database went away for five days, and thirty days old already then."""
    add_kits(database, "K")
    received_at = START - timedelta(days=5)
    async with settling(database) as it:
        message = heartbeat("K", "b", 1, ts=received_at - timedelta(days=29, hours=23), received_at=received_at)
        await asyncio.wait_for(it.settle([message]), 10)
    assert value(database, BEATS) == 1


@pytest.mark.parametrize("kind", [Kind.HEARTBEAT, Kind.SOFTWARE, Kind.PAIRING, Kind.UPDATE, Kind.REPLY])
async def test_a_repeat_is_stored_once_whatever_time_it_was_given(database: str, kind: Kind) -> None:
    add_kits(database, "K")
    given = [(5000.0, 0.0), (5000.0, 30.0), (5000.0, 4990.0), (4000.0, 5000.0), (-(10.0**7), 5001.0)]
    batches = [
        [incoming("K", kind, payload(kind, ts=at(ts), mark=number), received_at=at(received))]
        for number, (ts, received) in enumerate(given)
    ]
    async with settling(database) as it:
        for batch in batches:
            await it.settle(batch)
        await it.restart()
        for batch in reversed(batches):
            await it.settle(batch)
    assert len(stored(database, "K")) == 1
    assert rows(
        database, "SELECT time, clock_offset_s FROM heartbeats UNION SELECT time, clock_offset_s FROM reports"
    ) == [(at(0), 5000.0)]


async def test_a_message_of_an_older_boot_is_history_only(database: str) -> None:
    add_kits(database, "K")
    async with settling(database) as it:
        await it.settle([heartbeat("K", "new", 1, ts=at(0))])
        await it.settle([heartbeat("K", "old", 999, ts=at(-60), received_at=at(1))])
        await it.settle([heartbeat("K", "old", 999, ts=at(-60), received_at=at(2))])
    assert len(stored(database, "K")) == 2
    assert rows(database, "SELECT boot, seq, last_heard_at FROM kit_latest") == [("new", 1, at(2))]


def presence(state: str, seconds: float, received: float | None = None, *, retained: bool = False) -> Incoming:
    body = Connection(ConnectionState(state), at(seconds))
    return incoming(
        "K", Kind.CONNECTION, body, received_at=at(seconds if received is None else received), retained=retained
    )


DAYS_40 = 40 * 86_400.0


PRESENCE = {
    "online": (
        [
            presence("online", 0),
        ],
        True,
    ),
    "its own will": (
        [
            presence("online", 0),
            presence("offline", 0, 60),
        ],
        False,
    ),
    "the will of an older connection": (
        [presence("online", 0), presence("online", 50), presence("offline", 0, 60)],
        True,
    ),
    "a will before the next online": (
        [
            presence("offline", 0, 60),
            presence("online", 50, 70),
        ],
        True,
    ),
    "online again by redelivery": (
        [presence("online", 50), presence("offline", 50, 60), presence("online", 50, 61)],
        False,
    ),
    "the will of a connection that stood for 40 days": (
        [presence("online", -DAYS_40, -DAYS_40), presence("offline", -DAYS_40, 0)],
        False,
    ),
    "the will of an older connection that stood for 40 days": (
        [presence("online", -DAYS_40, -DAYS_40), presence("online", 0), presence("offline", -DAYS_40, 1)],
        True,
    ),
    "the will with a clock ahead": (
        [
            presence("online", DAYS_40, 0),
            presence("offline", DAYS_40, 5),
        ],
        False,
    ),
    "the will of an older connection with a clock ahead": (
        [presence("online", DAYS_40, 0), presence("online", DAYS_40 + 50, 50), presence("offline", DAYS_40, 60)],
        True,
    ),
    "a clock set right": (
        [
            presence("online", DAYS_40, 0),
            presence("online", 50, 50),
        ],
        True,
    ),
    "a clock set right, then its will": (
        [presence("online", DAYS_40, 0), presence("online", 50, 50), presence("offline", 50, 60)],
        False,
    ),
    "a will alone": (
        [
            presence("offline", 0, 10),
        ],
        False,
    ),
}


async def test_presence(database: str) -> None:
    add_kits(database, *(f"K-{number}" for number in range(len(PRESENCE))))
    async with settling(database) as it:
        for number, (messages, _) in enumerate(PRESENCE.values()):
            for message in messages:
                received_at = max(message.received_at, START - timedelta(days=1))
                topic = message.topic.replace("/K/", f"/K-{number}/")
                await it.settle([Incoming(topic, message.payload, message.retained, received_at, 1)])
    found = dict(rows(database, "SELECT kit, online FROM grafana_kits"))
    assert {case: found[f"K-{number}"] for number, case in enumerate(PRESENCE)} == {
        case: online for case, (_, online) in PRESENCE.items()
    }


async def test_versions_and_pairings_leave_change_records(database: str) -> None:
    add_kits(database, "K")
    reports = [
        incoming("K", kind, payload(kind, ts=at(seq), seq=seq, mark=mark), received_at=at(seq))
        for seq, (kind, mark) in enumerate(
            [(Kind.SOFTWARE, 1), (Kind.PAIRING, 2), (Kind.SOFTWARE, 1), (Kind.SOFTWARE, 2), (Kind.PAIRING, 3)]
        )
    ]
    async with settling(database) as it:
        await it.settle(reports)
        await it.settle(reports)
        late = incoming("K", Kind.SOFTWARE, payload(Kind.SOFTWARE, ts=at(1), seq=1, mark=9), received_at=at(9))
        await it.settle([late])
    changes = rows(database, "SELECT what, subject, before, after FROM grafana_changes ORDER BY id")
    assert changes == [
        ("version", "app", "1.1", "1.2"),
        ("pairing", "S-1", "paired", "lost"),
        ("peripheral_firmware", "S-1", "2", "3"),
    ]
    assert value(database, "SELECT count(*) FROM events WHERE type = 'kit.changed' AND kit = 'K'") == 3
    assert value(database, "SELECT count(*) FROM evaluation_queue") >= 1


async def test_two_never_hold_the_slot(database: str) -> None:
    async with settling(database):
        other = Writer(database, 0)
        with pytest.raises(NotLeaderError):
            await other.open()
        another_slot = Writer(database, 1)
        await another_slot.open()
        await another_slot.close()


async def test_every_time_is_in_utc(database: str) -> None:
    add_kits(database, "K")
    local = START.astimezone().isoformat()
    async with settling(database) as it:
        await it.settle([raw(b'{"ts":"%s","boot":"b","seq":1}' % local.encode())])
    assert value(database, "SELECT time FROM heartbeats") == START.astimezone(UTC)
    assert isinstance(value(database, "SELECT received_at FROM heartbeats"), datetime)

"""The order and the repetition of reports do not matter: the same messages, delivered anyhow, end in the same alerts.

Each history is told by two kits of one fleet: by one in its order and once, by the other shuffled, cut into batches
anywhere, with any message repeated.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from fleet.access.principal import SYSTEM
from fleet.alerts.worker import tick
from fleet.db import roles
from fleet.db.connect import connect
from fleet.ingest.connection import Incoming
from fleet.ingest.decode import Decoder, Refusal, Report
from fleet.ingest.listening import ListeningClock
from fleet.ingest.store import Writer
from fleet.protocol.topics import Kind, Topics
from fleet.state.kits import NewKit, create_kit
from tests.timeline.tablets import rfc3339

HISTORIES = 12
MESSAGES = 30
BEGIN = (datetime.now(UTC) - timedelta(days=5)).replace(microsecond=0)
HEARD = BEGIN + timedelta(hours=6)
LOOKS = (timedelta(0), timedelta(minutes=20), timedelta(hours=2), timedelta(hours=5))
TOPICS = Topics()
Message = tuple[Kind, dict[str, Any]]


def history(rng: Random) -> list[Message]:
    """What a tablet says in six hours, of all kinds, over several runs; now well, now not."""
    told: list[Message] = []
    boot, seq = 1, 0
    for number in range(MESSAGES):
        if rng.random() < 0.25:
            boot, seq = boot + 1, 0
        seq += 1
        ts = rfc3339(BEGIN + timedelta(minutes=12 * number))
        kind = rng.choice((Kind.HEARTBEAT, Kind.HEARTBEAT, Kind.SOFTWARE, Kind.PAIRING, Kind.UPDATE))
        told.append((kind, {"ts": ts, "boot": f"boot-{boot}", "seq": seq, **body(kind, rng)}))
    return told


def body(kind: Kind, rng: Random) -> dict[str, Any]:
    """One message, as likely with a fault as without."""
    bad = rng.random() < 0.5
    match kind:
        case Kind.HEARTBEAT:
            return {
                "battery": 5 if bad else 80,
                "charging": not bad,
                "signal_dbm": -118 if rng.random() < 0.5 else -80,
                "network": "4g",
                "storage_free_mb": 50 if rng.random() < 0.5 else 9000,
            }
        case Kind.SOFTWARE:
            return {"components": {"app": "1" if bad else "2"}}
        case Kind.PAIRING:
            device = {"serial": "S-1", "kind": "scale", "paired": not bad, "battery": 5 if rng.random() < 0.5 else 80}
            return {"peripherals": [device]}
    return {"campaign": "c1", "state": "failed" if bad else "succeeded"}


def anyhow(messages: Sequence[Message], rng: Random) -> list[Message]:
    """In any order, some several times."""
    repeated = [*messages, *rng.choices(messages, k=len(messages) // 2)]
    rng.shuffle(repeated)
    return repeated


def batches(messages: Sequence[tuple[str, Message]], rng: Random) -> Iterator[list[tuple[str, Message]]]:
    """Cut anywhere."""
    begin = 0
    while begin < len(messages):
        size = rng.randint(1, 40)
        yield list(messages[begin : begin + size])
        begin += size


async def store(writer: Writer, batch: Sequence[tuple[str, Message]], clock: ListeningClock) -> None:
    decoder = Decoder(TOPICS)
    decoded = [
        decoder.decode(Incoming(TOPICS.device(kit, kind), json.dumps(said).encode(), False, HEARD, 1))
        for kit, (kind, said) in batch
    ]
    reports = [each for each in decoded if isinstance(each, Report)]
    refusals = [each for each in decoded if isinstance(each, Refusal)]
    assert not refusals
    await writer.store(reports, refusals, clock, write_clock=True)


@pytest.mark.parametrize("seed", [1, 2])
async def test_order_and_repetition_do_not_matter(database: str, seed: int) -> None:
    rng = Random(seed)
    books = await connect(database, role="test")
    worker = await connect(database, role="worker", run_as=roles.WORKER)
    writer = Writer(database, 0)
    try:
        await writer.open()
        await writer.ensure_partitions(BEGIN.date() - timedelta(days=1))
        clock = ListeningClock(clock_s=100_000.0).connected().evidence(0.0, 0.0).evidence(1.0, 1.0)
        plain, mixed = [], []
        for number in range(HISTORIES):
            for prefix in "AB":
                new = NewKit(f"{prefix}-{number}", state="installed", expected_interval_s=86_400)
                await create_kit(books, new, by=SYSTEM)
            told = history(rng)
            plain += [(f"A-{number}", each) for each in told]
            mixed += [(f"B-{number}", each) for each in anyhow(told, rng)]
        await books.execute(
            'UPDATE kits SET state_since = %s, wanted_components = \'{"app": "2"}\'', (BEGIN - timedelta(days=1),)
        )
        await books.execute("UPDATE rules SET for_s = 3600 WHERE for_s > 3600")
        await books.execute("UPDATE rules SET parameters = '{\"more_than\": 3}' WHERE rule = 'restarts'")
        rng.shuffle(mixed)
        for batch in [plain, *batches(mixed, rng)]:
            await store(writer, batch, clock)
        for later in LOOKS:
            await books.execute("UPDATE listening SET updated_at = %s", (HEARD + later,))
            while (await tick(worker, HEARD + later)).more:
                pass
        opened = await alerts(books)
    finally:
        await writer.close()
        await worker.close()
        await books.close()
    for number in range(HISTORIES):
        assert opened[f"A-{number}"] == opened[f"B-{number}"], number
    assert len({rule for each in opened.values() for rule, *_ in each}) >= 4, "several rules had their say"


async def alerts(books: Any) -> dict[str, list[tuple[Any, ...]]]:
    """By kit: rule, state, when it opened, what it says."""
    cursor = await books.execute(
        "SELECT k.kit, a.rule, a.state, a.opened_at, a.evidence - 'starts' FROM alerts a JOIN kits k USING (kit_id)"
        " ORDER BY a.rule, a.opened_at"
    )
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for kit, *rest in await cursor.fetchall():
        found[kit].append(tuple(rest))
    return found

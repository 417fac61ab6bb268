"""A hundred thousand random and damaged messages, decoded and stored: nothing raises, each is accounted for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from random import Random, SystemRandom

import pytest

from fleet import metrics
from fleet.ingest.connection import Incoming
from fleet.ingest.decode import Decoder, Refusal, Report
from fleet.protocol.messages import encode
from fleet.protocol.topics import Kind
from tests.make import START, TOPICS, payload
from tests.noise import mutate
from tests.settling import settling
from tests.support import add_kits, value

pytestmark = [pytest.mark.storage, pytest.mark.timeout(170)]
MESSAGES = 100_000
BATCH = 2_000
KITS = [f"K-{number}" for number in range(400)]
SEED = int(os.environ.get("FLEET_TEST_SEED", "0")) or SystemRandom().randrange(1, 10**6)
AGES_S = [0.0] * 20 + [5.0, 3600.0, 86_400.0 * 20, -100.0, -130.0, -86_400.0 * 365, 86_400.0 * 31, 86_400.0 * 9000]


def topic_of(random: Random, kind: Kind) -> str:
    """Mostly right; else an unknown kit or something that is no topic of ours."""
    topic = TOPICS.device(random.choice(KITS), kind, f"c-{random.randrange(2000)}")
    chance = random.random()
    if chance < 0.95:
        return topic
    if chance < 0.97:
        return TOPICS.device(f"X-{random.randrange(100)}", kind)
    if chance < 0.98:
        return TOPICS.desired(random.choice(KITS))
    return mutate(random, topic.encode()).decode(errors="replace")


def messages(random: Random) -> Iterator[Incoming]:
    """Good ones, repeats and damaged ones, over ten minutes."""
    for number in range(MESSAGES):
        kind = random.choice([Kind.HEARTBEAT] * 5 + list(Kind))
        received_at = START + timedelta(milliseconds=6 * number)
        ts = received_at - timedelta(seconds=random.choice(AGES_S))
        good = payload(kind, ts=ts, boot=random.choice("abc"), seq=random.randrange(60), mark=random.randrange(1000))
        content = encode(good) if random.random() < 0.75 else mutate(random, encode(good))
        yield Incoming(topic_of(random, kind), content, random.random() < 0.02, received_at, number % 65_535 + 1)


def expected(sent: list[Incoming]) -> tuple[int, Counter[str]]:
    """How many different messages must be stored, and how many quarantined for what."""
    decoder, identities, reasons = Decoder(TOPICS), set(), Counter[str]()
    for message in sent:
        decoded = decoder.decode(message)
        if isinstance(decoded, Refusal):
            reasons[decoded.reason.value] += 1
        elif isinstance(decoded, Report) and decoded.kit not in KITS:
            reasons["unknown_kit"] += 1
        elif isinstance(decoded, Report):
            identities.add((decoded.kit, decoded.kind, decoded.boot, decoded.seq))
    return len(identities), reasons


def _repeats() -> float:
    return sum(
        sample.value
        for family in metrics.DUPLICATE.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    )


async def test_everything_is_stored_repeated_or_quarantined(database: str) -> None:
    print(f"seed {SEED}")
    add_kits(database, *KITS)
    sent = list(messages(Random(SEED)))
    ours = sum(message.topic.endswith("/desired") for message in sent)
    before = _repeats()
    async with settling(database) as it:
        for first in range(0, MESSAGES, BATCH):
            if first == MESSAGES // 2:
                await it.restart()
            await it.settle(sent[first : first + BATCH])
    distinct, reasons = expected(sent)
    stored = value(database, "SELECT (SELECT count(*) FROM heartbeats) + (SELECT count(*) FROM reports)")
    quarantined = value(
        database, "SELECT jsonb_object_agg(reason, n) FROM (SELECT reason, count(*) n FROM quarantine GROUP BY 1) q"
    )
    assert stored == distinct
    assert quarantined == dict(reasons)
    assert "refused_by_database" not in quarantined
    assert stored + (_repeats() - before) + sum(quarantined.values()) + ours == MESSAGES

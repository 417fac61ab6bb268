"""PostgreSQL and the broker killed and started again: the ledger balances each time."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.world import world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


async def test_postgresql_killed_and_restarted(tmp_path: Path) -> None:
    async with world(tmp_path, 1, ingests=2) as it:
        for _ in range(4):
            await it.stored_more(it.random.choice([1, 100, 300]))
            it.postgres.end(signal.SIGKILL)
            await it.acknowledged_more(it.random.choice([1, 200]))
            it.postgres.start()
        await it.stored_more(300)
        assert all(ingest.popen.poll() is None for ingest in it.ingests)


async def test_postgresql_and_ingest_killed_together(tmp_path: Path) -> None:
    async with world(tmp_path, 2) as it:
        for _ in range(3):
            await it.stored_more(100)
            it.postgres.end(signal.SIGKILL)
            it.kill_ingest()
            it.postgres.start()
            it.start_ingest()
        await it.stored_more(100)


async def test_broker_restarted_in_order(tmp_path: Path) -> None:
    async with world(tmp_path, 3) as it:
        for _ in range(3):
            await it.stored_more(100)
            it.broker.end(signal.SIGTERM)
            it.broker.start()
        await it.stored_more(300)
        assert it.ingests[0].popen.poll() is None


async def test_broker_killed_and_what_it_forgot_sent_again(tmp_path: Path) -> None:
    async with world(tmp_path, 4) as it:
        for _ in range(3):
            await it.stored_more(100)
            it.broker.end(signal.SIGKILL)
            it.broker.start()
            await it.acknowledged_more(100)
        await it.stored_more(300)
        assert it.ledger.counts["resends"] > 0

"""Ingest killed at any moment: whatever the broker acknowledged is stored exactly once."""

from __future__ import annotations

import os
from pathlib import Path
from random import SystemRandom

import psycopg
import pytest

from tests.faults.world import world
from tests.support import eventually, execute, value, waits_for_lock

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
KILLS = int(os.environ.get("FLEET_TEST_KILLS", "50"))
SEED = int(os.environ.get("FLEET_TEST_SEED", "0")) or SystemRandom().randrange(1, 10**6)
TERMINATE = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'fleet-ingest'"


async def test_killed_at_random_moments_under_load(tmp_path: Path) -> None:
    print(f"seed {SEED}, {KILLS} kills")
    async with world(tmp_path, SEED, ingests=2) as it:
        for _ in range(KILLS):
            await it.stored_more(it.random.choice([1, 1, 20, 100, 300]))
            it.kill_ingest()
            it.start_ingest()
        await it.stored_more(100)


# Where a batch stands still: the lock the test takes, and the statement of ingest that then waits.
MOMENTS = {
    "before the first row is copied": ("LOCK TABLE heartbeats IN ACCESS EXCLUSIVE MODE", "COPY heartbeats"),
    "between the copy and the fold": ("LOCK TABLE kit_latest IN SHARE MODE", "UPDATE kit_latest"),
    "at the end of the transaction": ("LOCK TABLE listening IN SHARE MODE", "UPDATE listening"),
    "within the commit": ("SELECT pg_advisory_lock(4711)", "COMMIT"),
}


@pytest.mark.parametrize("moment", list(MOMENTS))
@pytest.mark.parametrize("survives", [True, False], ids=["backend goes on", "backend dies too"])
async def test_killed_at_a_certain_moment(tmp_path: Path, moment: str, survives: bool) -> None:
    lock, waits = MOMENTS[moment]
    async with world(tmp_path, SEED) as it:
        _hold_commits(it.database)
        await it.stored_more(50)
        with psycopg.connect(it.database) as holder:
            holder.execute(lock.encode())
            await eventually(lambda: waits_for_lock(it.database, waits), 20, f"ingest waits with {waits}")
            await it.acknowledged_more(100)
            it.kill_ingest()
            if not survives:
                assert value(it.database, TERMINATE) >= 1
        it.start_ingest()
        await it.stored_more(100)


def _hold_commits(database: str) -> None:
    """Make every commit that changes the latest state wait for a lock the test may hold."""
    execute(
        database,
        "CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END$$",
    )
    execute(
        database,
        "CREATE CONSTRAINT TRIGGER hold_commit AFTER UPDATE ON kit_latest DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION hold_commit()",
    )

"""Real worker processes that send: one is killed in the middle, the other goes on; nothing is missing."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.outbound_world import KEY, outbound
from tests.receiver import Reply, Taken, ids, receiving
from tests.support import Process, environment, eventually, value

FACTS = 120


@pytest.mark.timeout(180)
async def test_a_killed_worker_leaves_nothing_unsent(database: str, tmp_path: Path) -> None:
    settings = {"database_url": database, "secret_key": KEY, "outbound_networks": "127.0.0.0/8", "log_format": "json"}
    running: list[Process] = []

    async def slowly(_: Taken) -> Reply:
        await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.05)
        return Reply()

    async with receiving(answer=slowly) as there, outbound(database) as here:
        await here.webhook(there.url)
        try:
            running.append(Process(["fleet", "worker"], environment(**settings), tmp_path / "first.log"))
            for number in range(FACTS):
                await here.fact(number=number)
            await eventually(lambda: len(there.taken) > 30, 60, "the first messages")
            assert value(database, "SELECT count(*) FROM jobs.procrastinate_jobs WHERE status = 'doing'") == 1
            running.append(Process(["fleet", "worker"], environment(**settings), tmp_path / "second.log"))
            running[0].kill(signal.SIGKILL)
            await eventually(lambda: len(set(ids(there.taken))) == FACTS, 120, "all messages")
        finally:
            for each in running:
                await asyncio.to_thread(each.kill, signal.SIGTERM)
        numbers = [each["data"]["number"] for each in there.bodies()]
        assert sorted(set(numbers)) == list(range(FACTS))
        first_seen = list(dict.fromkeys(numbers))
        assert first_seen == list(range(FACTS))  # in order, repeats aside
        assert len(numbers) <= FACTS + 20  # those of one batch, at most, were sent again
        told = "".join(each.output() for each in running)
        assert KEY not in told
        assert there.url not in told

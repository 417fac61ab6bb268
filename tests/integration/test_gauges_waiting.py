"""What the leader's other tasks should have done by now is a metric: a watcher that stands still shows."""

from __future__ import annotations

import psycopg
import pytest

from fleet import metrics
from fleet.alerts import gauges
from fleet.db import roles
from fleet.db.connect import connect

ASKED = """
INSERT INTO organisations (slug, name) VALUES ('nord', 'Nord');
INSERT INTO kits (kit, state, organisation_id) SELECT 'K-1', 'installed', organisation_id FROM organisations;
INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, next_escalation_at)
SELECT 'SR-' || seconds, kit_id, 'cause' || seconds, 'support', 'normal', 'open', now(), now(),
       now() - make_interval(secs => seconds)
FROM kits, unnest(ARRAY[-600, 10, 300]) AS seconds;
UPDATE cohort_counts SET wanted_at = now() - interval '40 seconds';
"""


async def measured(database: str) -> tuple[float, float]:
    """How long escalations and the count of cohorts wait, seconds."""
    async with await connect(database, role="test", run_as=roles.WORKER) as connection:
        await gauges.work(connection)
    gauged = (metrics.SLA_WAITING_AGE_SECONDS, metrics.COHORT_COUNT_AGE_SECONDS)
    escalations, counting = (next(iter(gauge.collect())).samples[0].value for gauge in gauged)
    gauges.forget()
    return escalations, counting


async def test_what_waits_is_told_with_its_age(database: str) -> None:
    assert await measured(database) == (0, 0)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ASKED.encode())
    escalations, counting = await measured(database)
    assert escalations == pytest.approx(300, abs=20)
    assert counting == pytest.approx(40, abs=20)

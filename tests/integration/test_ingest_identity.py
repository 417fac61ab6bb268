"""What a tablet tells of itself is kept beside its versions, and another one under the same number leaves a record."""

from __future__ import annotations

import pytest

from fleet.protocol.messages import Software
from fleet.protocol.topics import Kind
from tests.make import at, incoming
from tests.settling import settling
from tests.support import add_kits, rows, value


def told(seq: int, **identity: str) -> Software:
    """A software report with the same versions each time."""
    return Software(at(seq), "b", seq, {"app": "1"}, **identity)


@pytest.mark.storage
async def test_identity(database: str) -> None:
    add_kits(database, "K")
    reports = [told(1, imei="490154203237518"), told(2, imei="356938035643809", iccid="8945012345678901230")]
    async with settling(database) as it:
        for report in reports:
            message = incoming("K", Kind.SOFTWARE, report, received_at=at(report.seq))
            await it.settle([message])
            await it.settle([message])
        assert rows(database, "SELECT what, subject, before, after FROM grafana_changes") == [
            ("identity", "imei", "490154203237518", "356938035643809")
        ]
        newest = "SELECT body, identity FROM latest_reports WHERE kind = 'software'"
        assert rows(database, newest) == [({"app": "1"}, {"imei": "356938035643809", "iccid": "8945012345678901230"})]
        assert value(database, "SELECT count(*) FROM evaluation_queue") == 2
        await it.settle([incoming("K", Kind.SOFTWARE, told(3), received_at=at(3))])
        assert rows(database, newest) == [({"app": "1"}, None)]

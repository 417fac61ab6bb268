"""What is kept quiet is told to nobody outside, until it is heard."""

from __future__ import annotations

import pytest

from tests.outbound_world import outbound
from tests.receiver import receiving


@pytest.mark.parametrize(
    ("kind", "reason", "told"),
    [
        ("alert.opened", None, True),
        ("alert.opened", "maintenance:7", False),
        ("alert.opened", "shelved:2026-12-01T00:00:00Z", False),
        ("alert.opened", "incident:3", False),
        ("alert.flapping", "maintenance:7", False),
        ("alert.cleared", "maintenance:7", False),
        # These may have been heard before somebody shelved them, or a mass event took them over.
        ("alert.cleared", "shelved:2026-12-01T00:00:00Z", True),
        ("alert.cleared merged", "incident:3", True),
        # It opened as one of a mass event, and nobody heard of it.
        ("alert.cleared", "incident:3", False),
        ("alert.unsuppressed", None, True),
    ],
)
async def test_what_is_kept_quiet_is_told_to_nobody_outside(
    database: str, kind: str, reason: str | None, told: bool
) -> None:
    async with receiving() as there, outbound(database) as here:
        hook = await here.webhook(there.url, "alert.*")
        kind, _, resolution = kind.partition(" ")
        await here.fact(kind, id=1, suppressed_by=reason, resolution=resolution or "proof")
        await here.send(hook)
        assert len(there.taken) == told

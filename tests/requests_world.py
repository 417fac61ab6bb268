"""Service requests in tests: a log replayed and compared with the row it is projected onto."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts.requests import writing
from fleet.alerts.requests.log import replay


async def differences(connection: AsyncConnection[Any]) -> list[tuple[str, dict[str, tuple[Any, Any]]]]:
    """Requests whose row is not what their log comes to: by number, each field as it is and as it should be."""
    cursor = await connection.execute("SELECT request_id FROM service_requests")
    numbers = [row[0] for row in await cursor.fetchall()]
    logs = await writing.entries_of(connection, numbers)
    found = []
    for request in (await writing.lock(connection, request_ids=numbers)).values():
        is_, should_be = asdict(request.now), asdict(replay(logs[request.request_id]))
        wrong = {name: (is_[name], should_be[name]) for name in is_ if is_[name] != should_be[name]}
        if wrong:
            found.append((request.number, wrong))
    return found

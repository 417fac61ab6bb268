"""How contracts were fulfilled: requests by contract, priority and month of opening, and how many missed a target."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all

_SQL = load_queries("fleet.alerts.sla", "fulfilment.sql")

MOST_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Fulfilment:
    """Requests that were opened in a month (UTC) under a contract with a priority; those merged into others left out.

    `contract` is None when the caller does not see it. `..._met` are those that reached the target in time, `..._late`
    those that missed it so far, `open` those that have not ended.
    """

    month: str
    contract: str | None
    priority: str
    requests: int
    open: int
    response_met: int
    response_late: int
    update_late: int
    solution_met: int
    solution_late: int


async def fulfilment(
    connection: Connection, *, first: date, last: date, contract: str | None = None
) -> list[Fulfilment]:
    """Lines from the month of `first` to that of `last`, both included."""
    values = {"first": first, "last": last, "contract": contract, "limit": MOST_LINES}
    return await fetch_all(connection, _SQL["fulfilment"], values, Fulfilment)

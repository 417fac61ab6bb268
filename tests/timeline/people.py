"""What people do by the use cases of the API, at the time of the timeline: visits, and clocks that stand still.

The use cases ask the database what time it is; on this connection `now()` is the virtual time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import AsyncConnection

from fleet.access.principal import SYSTEM
from fleet.alerts.requests import desk
from fleet.alerts.visits import completing, planning
from fleet.alerts.visits.completing import Completion, Resolution
from fleet.alerts.visits.planning import Failure, NewVisit
from fleet.alerts.visits.steps import Do, Kind
from fleet.alerts.visits.store import Visit
from fleet.db.connect import connect
from fleet.state.lifecycle import ComponentState
from tests.timeline.language import Action, LanguageError

Connection = AsyncConnection[Any]

VERBS = ("visit", "waits", "resumes")
DANISH = ZoneInfo("Europe/Copenhagen")

_VIRTUAL = """
CREATE SCHEMA virtual;
CREATE FUNCTION virtual.now() RETURNS timestamptz LANGUAGE sql STABLE
RETURN current_setting('virtual.now')::timestamptz;
CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
RETURN current_setting('virtual.now')::timestamptz;
"""


class People:
    """Everybody who works with the system."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def come(cls, dsn: str) -> People:
        """They begin to work."""
        connection = await connect(dsn, role="test")
        await connection.execute(_VIRTUAL.encode())
        await connection.execute("SET search_path = virtual, pg_catalog, public")
        return cls(connection)

    async def leave(self) -> None:
        """They are done."""
        await self._connection.close()

    async def do(self, kit: str, action: Action, now: datetime) -> None:
        """One thing that somebody does; raises LanguageError when it cannot be done."""
        await self._connection.execute("SELECT set_config('virtual.now', %s, false)", (now.isoformat(),))
        match action.verb, action.words[0]:
            case "visit", "planned":
                done: Any = await self._plan(kit, action, now)
            case "visit", "failed":
                failed = Failure(action.words[1], planned_on=self._tomorrow(now))
                done = await planning.fail(self._connection, await self._visit(kit), failed, by=SYSTEM)
            case "visit", "done":
                done = await self._complete(kit, action)
            case _:
                changes = (
                    {"state": "waiting", "waiting_for": action.values["for"]}
                    if action.verb == "waits"
                    else {"state": "in_progress"}
                )
                number = await self._request(kit, action.words[0])
                done = await desk.change_request(self._connection, number, changes, by=SYSTEM)
        if action.verb == "visit" and not isinstance(done, Visit):
            raise LanguageError(f"{action.line!r}: {done}")

    async def _plan(self, kit: str, action: Action, now: datetime) -> Visit:
        number = await self._request(kit, action.values["for"]) if "for" in action.values else None
        new = NewVisit(Kind(action.words[1]), self._tomorrow(now), kit=kit, service_request=number)
        return await planning.plan(self._connection, new, by=SYSTEM)

    async def _complete(self, kit: str, action: Action) -> Any:
        values = action.values
        swaps = []
        if "out" in values:
            pieces = {"outgoing": await self._piece(values["out"]), "incoming": await self._piece(values["in"])}
            swaps = [completing.Action(Do.SWAP, **pieces, state=ComponentState.FAULTY, location="depot")]
        done = Completion(
            actions=swaps,
            instruction_given=True,
            receipt="citizen",
            old_equipment_taken=True,
            resolve=Resolution(values["cause"], values["remedy"]) if "cause" in values else None,
        )
        return await completing.complete(self._connection, await self._visit(kit), done, by=SYSTEM)

    async def _visit(self, kit: str) -> str:
        query = (
            "SELECT v.number FROM visits v JOIN kits USING (kit_id)"
            " WHERE kit = %s AND v.state IN ('planned', 'under_way', 'failed')"
        )
        return str(await self._only(query, kit))

    async def _request(self, kit: str, cause: str) -> str:
        query = (
            "SELECT r.number FROM service_requests r JOIN kits USING (kit_id)"
            " WHERE kit = %s AND cause = %s AND r.state IN ('open', 'in_progress', 'waiting')"
        )
        return str(await self._only(query, kit, cause))

    async def _piece(self, serial: str) -> int:
        return int(await self._only("SELECT component_id FROM components WHERE serial = %s", serial))

    async def _only(self, query: str, *values: Any) -> Any:
        cursor = await self._connection.execute(query.encode(), values)
        found = await cursor.fetchall()
        if len(found) != 1:
            raise LanguageError(f"there are {len(found)} of {values}, not one")
        return found[0][0]

    @staticmethod
    def _tomorrow(now: datetime) -> Any:
        return now.astimezone(DANISH).date() + timedelta(days=1)

"""What people and the worker's other tasks do in a timeline: windows, shelves, requests, the books, escalation, proof.

The use cases of the API take the database's own time; here the same rows are written at the virtual one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts.comparing import Comparer
from fleet.alerts.quieting.suppress import shelved
from fleet.alerts.requests import writing
from fleet.alerts.requests.log import Entry, What
from fleet.alerts.requests.proving import prove
from fleet.alerts.requests.writing import Change
from fleet.alerts.sla.watching import look
from tests.timeline.language import Action, LanguageError, seconds

Connection = AsyncConnection[Any]
At = Callable[[float], datetime]

VERBS = ("shelved", "unshelved", "acknowledged", "solved")
DAYS = ("calibration_due", "lease_until", "warranty_until")
WHO = "test"


async def follow(connection: Connection, now: datetime) -> None:
    """Escalation and proof, as the tasks beside the tick do them."""
    await look(connection, now)
    await prove(connection, now)


async def compare(connection: Connection, books: Connection, now: datetime) -> None:
    """Look for findings in the whole fleet, and bring alerts up to them.

    Whether somebody listens is asked of the database's own time there.
    """
    await books.execute("UPDATE listening SET updated_at = clock_timestamp()")
    comparer = Comparer(connection)
    while (await comparer.round(now)).more:
        pass
    await books.execute("UPDATE listening SET updated_at = %s", (now,))


async def plan_window(connection: Connection, kits: Sequence[str], action: Action, at: At) -> None:
    """Maintenance for these kits."""
    from_, to = at(action.span.start_s), at(action.span.end_s)
    rules = [action.values["rule"]] if "rule" in action.values else None
    collect, repeats = action.values.get("collect", "yes") == "yes", action.values.get("repeats")
    cursor = await connection.execute(
        "INSERT INTO maintenance_windows (title, names_kits, rules, collect, starts_at, ends_at, current_from,"
        " current_to, recurrence, created_by) VALUES ('work', true, %s, %s, %s, %s, %s, %s, %s, %s)"
        " RETURNING window_id",
        (rules, collect, from_, to, from_, to, repeats, WHO),
    )
    row = await cursor.fetchone()
    assert row is not None
    await connection.execute(
        "INSERT INTO maintenance_window_kits SELECT %s, kit_id FROM kits WHERE kit = ANY (%s)", (row[0], list(kits))
    )


async def enter_piece(connection: Connection, piece: Action, begin: datetime) -> None:
    """`piece scale W-1 in=A state=faulty warranty_until=20d`: a piece that has long been where it is."""
    kind, serial = piece.verb, piece.words[0]
    values = dict(piece.values)
    kit, place = values.pop("in", None), values.pop("at", None)
    if place is not None:
        await connection.execute(_PLACE, {"place": place})
    values = {"state": "in_stock" if kit is None else "in_kit"} | {
        name: str(begin.date() + timedelta(seconds=seconds(value))) if name in DAYS else value
        for name, value in values.items()
    }
    about = {"kind": kind, "serial": serial, "kit": kit, "place": place, "begin": begin, "model": f"Model {kind}"}
    await connection.execute(_MODEL, about)
    names = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    await connection.execute(_PIECE.replace("$names", names).replace("$marks", marks).encode(), {**about, **values})


async def do(connection: Connection, kit: str, action: Action, now: datetime, at: At) -> None:
    """One thing that somebody does about a kit's alert or request; raises LanguageError when there is none."""
    rule = action.words[0]
    async with connection.transaction():
        match action.verb:
            case "shelved":
                done = await _shelve(connection, kit, rule, at(seconds(action.values["until"])), now)
            case "unshelved":
                done = await _run(connection, _UNSHELVE, kit=kit, rule=rule)
            case "acknowledged":
                done = await _run(connection, _ACKNOWLEDGE, kit=kit, rule=rule, now=now, who=WHO)
            case _:
                done = await _solve(connection, kit, rule, now)
    if not done:
        raise LanguageError(f"{action.line!r}: {kit} has none")


async def log_of_requests(connection: Connection) -> list[tuple[Any, ...]]:
    """What happened to requests, as events: at, type, kit, body."""
    cursor = await connection.execute(_LOG)
    return await cursor.fetchall()


async def _shelve(connection: Connection, kit: str, rule: str, until: datetime, now: datetime) -> int:
    values = {"kit": kit, "rule": rule, "until": until, "now": now, "who": WHO}
    await _run(connection, _SHELVE, **values)
    return await _run(connection, _SUPPRESS, kit=kit, rule=rule, by=shelved(until))


async def _solve(connection: Connection, kit: str, cause: str, now: datetime) -> int:
    cursor = await connection.execute(_REQUEST, {"kit": kit, "cause": cause})
    locked = await writing.lock(connection, request_ids=[row[0] for row in await cursor.fetchall()])
    changes = []
    for request in locked.values():
        body = {"from": request.now.state, "to": "resolved", "cause": "tablet_fault", "remedy": "restarted"}
        changes.append(Change(request, [Entry(What.STATE, WHO, now, body)]))
    await writing.append(connection, changes, now)
    return len(changes)


async def _run(connection: Connection, statement: bytes, **values: Any) -> int:
    cursor = await connection.execute(statement, values)
    return cursor.rowcount


_PLACE = b"""
INSERT INTO locations (slug, name, kind) VALUES (%(place)s, %(place)s, 'depot') ON CONFLICT DO NOTHING
"""
_MODEL = b"""
INSERT INTO models (kind, manufacturer, name) VALUES (%(kind)s, 'Acme', %(model)s) ON CONFLICT DO NOTHING
"""
_PIECE = """
INSERT INTO components (model_id, serial, kit_id, location_id, state_since, $names)
SELECT model_id, %(serial)s, (SELECT kit_id FROM kits WHERE kit = %(kit)s),
       (SELECT location_id FROM locations WHERE slug = %(place)s), %(begin)s - interval '30 days', $marks
FROM models WHERE name = %(model)s
"""
_SHELVE = b"""
INSERT INTO shelves (kit_id, rule, until, severity, reason, shelved_by, shelved_at)
SELECT a.kit_id, a.rule, %(until)s, a.severity, 'not now', %(who)s, %(now)s
FROM alerts a JOIN kits k USING (kit_id) WHERE k.kit = %(kit)s AND a.rule = %(rule)s AND a.state = 'active'
"""
_SUPPRESS = b"""
UPDATE alerts a SET suppressed_by = %(by)s FROM kits k
WHERE k.kit_id = a.kit_id AND k.kit = %(kit)s AND a.rule = %(rule)s AND a.state = 'active'
"""
_UNSHELVE = b"DELETE FROM shelves s USING kits k WHERE k.kit_id = s.kit_id AND k.kit = %(kit)s AND s.rule = %(rule)s"
_ACKNOWLEDGE = b"""
UPDATE alerts a SET acknowledged = true, acknowledged_at = %(now)s, acknowledged_by = %(who)s FROM kits k
WHERE k.kit_id = a.kit_id AND k.kit = %(kit)s AND a.rule = %(rule)s AND a.state = 'active'
"""
_REQUEST = b"""
SELECT r.request_id FROM service_requests r JOIN kits k USING (kit_id)
WHERE k.kit = %(kit)s AND r.cause = %(cause)s AND r.state IN ('open', 'in_progress', 'waiting')
"""
_LOG = b"""
SELECT e.at, 'request.' || CASE
           WHEN e.what = 'opened' THEN 'opened'
           WHEN e.what = 'priority' THEN 'risen'
           WHEN e.what = 'escalated' THEN CASE WHEN e.body ? 'breached' THEN 'breached' ELSE 'escalated' END
           WHEN e.body ->> 'to' IN ('resolved', 'closed') THEN e.body ->> 'to'
           WHEN e.body ->> 'from' IN ('resolved', 'closed') THEN 'reopened'
           ELSE 'changed' END,
       k.kit, e.body || jsonb_build_object('cause', r.cause)
FROM request_events e JOIN service_requests r USING (request_id) LEFT JOIN kits k USING (kit_id)
WHERE e.what IN ('opened', 'priority', 'escalated', 'state')
ORDER BY e.event_id
"""

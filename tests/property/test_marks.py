"""Whatever a kit reports and whatever people enter, its mark is what it is judged to be, and lists find it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.access.entering import enter
from fleet.access.principal import SYSTEM, Scope
from fleet.db import roles
from fleet.db.connect import connect
from fleet.protocol.messages import Heartbeat, Pairing, Payload, Peripheral, Software
from fleet.protocol.topics import Kind
from fleet.state.listing import KitFilter, KitSort, list_kits
from fleet.state.verdict import Health
from tests.make import at, incoming
from tests.settling import Settling, settling
from tests.support import add_kits, execute, rows

ON_ONE_DATABASE = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_prefixes = count(1)


@dataclass(frozen=True, slots=True)
class Told:
    """A message of one of two kits: its number in the boot, how far its clock is off, whether it is live."""

    kit: int
    kind: Kind
    seq: int
    off_s: float
    live: bool
    content: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entered:
    """Something that people enter of one of two kits."""

    kit: int
    what: str
    value: str


CONTENT: dict[Kind, st.SearchStrategy[dict[str, Any]]] = {
    Kind.HEARTBEAT: st.fixed_dictionaries(
        {
            "battery": st.sampled_from([None, 3.0, 14.9, 15.0, 80.0]),
            "charging": st.sampled_from([None, True, False]),
            "storage_free_mb": st.sampled_from([None, 10.0, 499.9, 500.0, 9000.0]),
        }
    ),
    Kind.SOFTWARE: st.fixed_dictionaries({"app": st.sampled_from(["1", "2"])}),
    Kind.PAIRING: st.fixed_dictionaries({"paired": st.booleans()}),
}


@st.composite
def told(draw: st.DrawFn) -> Told:
    kind = draw(st.sampled_from(sorted(CONTENT)))
    return Told(
        draw(st.integers(0, 1)),
        kind,
        draw(st.integers(1, 12)),
        draw(st.sampled_from([0.0, 0.0, 600.0])),
        draw(st.integers(0, 4)) > 0,
        draw(CONTENT[kind]),
    )


EDITS = st.one_of(
    st.tuples(st.just("wanted_components"), st.sampled_from(["{}", '{"app": "1"}', '{"app": "2"}', '{"os": "9"}'])),
    st.tuples(st.just("state"), st.sampled_from(["installed", "retrieved", "in_stock"])),
    st.tuples(st.just("kit_type"), st.sampled_from(["x", "y"])),
    st.tuples(st.just("organisation_id"), st.sampled_from(["1", "2"])),
    st.tuples(st.just("owner_id"), st.sampled_from(["1", "2"])),
)
ENTERED = st.builds(lambda kit, edit: Entered(kit, *edit), st.integers(0, 1), EDITS)


async def play(it: Settling, kits: Sequence[str], steps: Sequence[Told | Entered]) -> None:
    """One step after the other, each committed."""
    for number, step in enumerate(steps):
        if isinstance(step, Told):
            received_at = at(10.0 * number)
            body = _payload(step, number)
            await it.settle(
                [incoming(kits[step.kit], step.kind, body, received_at=received_at, retained=not step.live)]
            )
        else:
            cast = {"wanted_components": "jsonb", "organisation_id": "integer", "owner_id": "integer"}
            query = f"UPDATE kits SET {step.what} = %s::{cast.get(step.what, 'text')} WHERE kit = %s"
            execute(it.dsn, query, step.value, kits[step.kit])
            execute(it.dsn, WATCHED, kits[step.kit])


def _payload(step: Told, number: int) -> Payload:
    ts = at(10.0 * number + step.off_s)
    match step.kind:
        case Kind.SOFTWARE:
            return Software(ts, "b", step.seq, {"app": step.content["app"], "os": "14"})
        case Kind.PAIRING:
            return Pairing(ts, "b", step.seq, [Peripheral("S-1", "scale", paired=step.content["paired"])])
        case _:
            return Heartbeat(ts, "b", step.seq, **step.content)


WATCHED = """
UPDATE kit_latest l SET watch_allowance_s = watch_allowance_s(k.state, k.expected_interval_s, k.tolerance)
FROM kits k WHERE k.kit_id = l.kit_id AND k.kit = %s
"""
"""As every step in the books does it: only an installed kit can be silent."""
JUDGED = """
SELECT kit, kit_health(state = 'installed', heard, {silent}, drifted, pairing_lost, battery_low, storage_low,
                       clock_skewed) AS health, state, kit_type, organisation_id, owner_id
FROM kit_facts WHERE kit = ANY(%s) ORDER BY kit
"""
MARKED = (
    "SELECT kit, health, state, kit_type, organisation_id, owner_id FROM kit_marks WHERE kit = ANY(%s) ORDER BY kit"
)


@ON_ONE_DATABASE
@given(st.lists(st.one_of(told(), told(), ENTERED), min_size=1, max_size=12), st.booleans())
async def test_marks_agree_with_what_is_judged(database: str, steps: list[Told | Entered], later: bool) -> None:
    execute(database, "INSERT INTO organisations (slug, name) VALUES ('a', 'A'), ('b', 'B') ON CONFLICT DO NOTHING")
    execute(database, "INSERT INTO kit_types (kit_type) VALUES ('x'), ('y') ON CONFLICT DO NOTHING")
    kits = [f"P-{next(_prefixes)}-{side}" for side in "ab"]
    add_kits(database, *kits)
    async with settling(database) as it:
        await play(it, kits, steps)
    execute(database, "UPDATE listening SET clock_s = %s", 1000.0 if later else 0.0)
    assert rows(database, MARKED, kits) == rows(database, JUDGED.format(silent="false"), kits)
    judged = {kit: health for kit, health, *_ in rows(database, JUDGED.format(silent="silent"), kits)}
    connection = await connect(database, role="test", run_as=roles.API)
    async with connection, connection.transaction():
        await enter(connection, SYSTEM, Scope(None))
        for health in Health:
            for sort in KitSort:
                page = await list_kits(connection, KitFilter(health=health), sort=sort, limit=500)
                found = {each.kit for each in page.kits} & set(kits)
                assert found == {kit for kit, word in judged.items() if word == health}, (health, sort)

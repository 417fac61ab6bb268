"""Findings in the database: compare a part of the fleet with the books, keep the list, let people answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from psycopg.types.json import Jsonb

from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.log import get_logger
from fleet.protocol.times import MAX_AHEAD
from fleet.state.findings.facts import (
    DatedPiece,
    Found,
    HeardKit,
    IdentityFacts,
    Listening,
    LowStock,
    PeripheralFacts,
    Runs,
    Sighting,
    ToldIdentities,
    UnheardKit,
)
from fleet.state.findings.judge import (
    AFTER_CHANGE,
    AHEAD,
    ENDED,
    IN_CONTACT,
    QUIET_S,
    QUIET_STATES,
    judge_dates,
    judge_heard,
    judge_identity,
    judge_peripherals,
    judge_shared,
    judge_stock,
    judge_unheard,
)
from fleet.state.findings.kinds import Kind
from fleet.state.findings.twins import (
    IDENTITIES_WITHIN,
    LIVE,
    MOST_RUNS,
    RETURNS,
    TURNS,
    WITHIN,
    judge_runs,
    judge_told,
)
from fleet.state.logistics.stock import MAX_SHORTAGES, below_minimum

log = get_logger(__name__)
T = TypeVar("T")

_FACTS = load_queries("fleet.state.findings", "facts.sql")
_SQL = load_queries("fleet.state.findings", "findings.sql")
MOST_ROWS = 20_000
"""Suspects of one query; when there are more, what is not among them is not cleared."""
MOST_KITS = 10
"""Kits that one device can be in at most; a serial number that more report is none."""
MOST_SUSPECTS = 500
"""Kits of one part whose history is looked at for two tablets."""
QUEUE_BATCH = 2_000
FILTERS = ("id", "kind", "state", "standing", "severity", "kit", "component", "organisation")
IN_USE = ("preparing", "ready", "dispatched", "installed", "paused", "faulty")
"""States of a kit in which what its tablet says of itself and its devices is compared with the books."""
DEPLOYED = ("installed", "paused", "faulty")
"""States in which a kit has one tablet, which nobody is about to set up."""
_HEARD = frozenset({Kind.REPORTS_WHILE_STORED, Kind.REPORTS_WHILE_SCRAPPED, Kind.REPORTS_WHILE_LOST})
_UNHEARD = frozenset({Kind.NEVER_HEARD})
_IDENTITY = frozenset({Kind.OTHER_TABLET, Kind.OTHER_SIM})
_PERIPHERALS = frozenset(
    {Kind.PERIPHERAL_NOT_IN_BOOKS, Kind.PERIPHERAL_MISSING, Kind.MODEL_DIFFERS, Kind.FIRMWARE_DIFFERS}
)
_TWINS = frozenset({Kind.TWO_TABLETS})
_SHARED = frozenset({Kind.PERIPHERAL_IN_TWO_KITS})
_STOCK = frozenset({Kind.BELOW_MINIMUM})
_DATES = frozenset({Kind.CALIBRATION_OVERDUE, Kind.LEASE_ENDING, Kind.WARRANTY_ENDING})


@dataclass(frozen=True, slots=True)
class Part:
    """Kits from number `first` to `last`, of which only `kit_ids` where those are given; or everything there is."""

    first: int = 0
    last: int = 2**31 - 1
    kit_ids: tuple[int, ...] | None = None
    everything: bool = False


EVERYTHING = Part(everything=True)


@dataclass(slots=True)
class Settled:
    """What one comparison changed, by kind."""

    opened: Counter[Kind] = field(default_factory=Counter)
    cleared: Counter[Kind] = field(default_factory=Counter)

    def add(self, other: Settled) -> None:
        """Take another comparison's changes in."""
        self.opened += other.opened
        self.cleared += other.cleared

    @property
    def changed(self) -> bool:
        """Whether anything opened or cleared."""
        return bool(self.opened or self.cleared)


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding as people read it."""

    finding_id: int
    kind: str
    severity: str
    state: str
    kit: str | None
    component_id: int | None
    serial: str | None
    model_id: int | None
    location: str | None
    organisation: str | None
    opened_at: datetime
    last_seen_at: datetime
    cleared_at: datetime | None
    evidence: dict[str, Any]
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    dismissed_at: datetime | None
    dismissed_by: str | None
    dismissed_reason: str | None
    dismissed_until: datetime | None


class Comparison:
    """What was found about a part, and which kinds were looked for: what of those was not found is cleared."""

    def __init__(self, connection: Connection, part: Part, now: datetime) -> None:
        self._connection, self._part, self._now = connection, part, now
        self._found: list[Found] = []
        self._judged: set[Kind] = set()

    async def look(
        self,
        query: str,
        row: type[T],
        judge: Callable[[Sequence[T]], Iterable[Found]],
        kinds: frozenset[Kind],
        **more: Any,
    ) -> None:
        """Read the suspects of some kinds and judge them."""
        part = self._part
        kit_ids = None if part.kit_ids is None else list(part.kit_ids)
        values = {"first": part.first, "last": part.last, "kit_ids": kit_ids, "limit": MOST_ROWS, **more}
        rows = await fetch_all(self._connection, _FACTS[query], values, row)
        self.take(judge(rows), kinds if len(rows) < MOST_ROWS else frozenset())
        if len(rows) == MOST_ROWS:
            log.warning("more suspects than are looked at", query=query, limit=MOST_ROWS)

    def take(self, found: Iterable[Found], kinds: frozenset[Kind]) -> None:
        """Take in what was found of some kinds."""
        self._found += found
        self._judged |= kinds

    async def settle(self) -> Settled:
        """Open, refresh and clear, all in one statement; a repeat changes nothing."""
        values = {
            **_columns({(each.kind, each.subject): each for each in self._found}.values()),
            "judged": sorted(self._judged),
            "judged_kits": None if self._part.kit_ids is None else list(self._part.kit_ids),
            "everything": self._part.everything,
            "first": self._part.first,
            "last": self._part.last,
            "now": self._now,
        }
        cursor = await self._connection.execute(_SQL["settle"], values)
        row = await cursor.fetchone()
        assert row is not None
        return Settled(*(Counter(Kind(kind) for kind in kinds) for kinds in row))


async def listening(connection: Connection) -> Listening:
    """The listening clock now."""
    (clock,) = await fetch_all(connection, _FACTS["listening"], {}, Listening)
    return clock


async def bounds(connection: Connection) -> tuple[int, int]:
    """The lowest and the highest number of a kit."""
    (row,) = await fetch_dicts(connection, _FACTS["bounds"], {})
    return row["first"], row["last"]


async def take_from_queue(connection: Connection) -> tuple[tuple[int, ...], bool]:
    """Kits whose books or reports changed, removed from the queue, and whether there may be more."""
    rows = await fetch_dicts(connection, _FACTS["take_from_queue"], {"limit": QUEUE_BATCH})
    return tuple(sorted({row["kit_id"] for row in rows})), len(rows) == QUEUE_BATCH


def part_of(kit_ids: Sequence[int]) -> Part:
    """Some kits by number, not empty."""
    return Part(min(kit_ids), max(kit_ids), tuple(kit_ids))


async def compare_kits(connection: Connection, part: Part, now: datetime) -> Settled:
    """Compare what some kits report with their books, in the caller's transaction."""
    clock = await listening(connection)
    comparison = Comparison(connection, part, now)
    await connection.execute(_FACTS["clear_plan"])
    await _look_at_hearing(comparison, clock)
    await comparison.look("identities", IdentityFacts, judge_identity, _IDENTITY, states=list(IN_USE))
    await comparison.look("peripherals", PeripheralFacts, judge_peripherals, _PERIPHERALS, states=list(IN_USE))
    await _look_for_twins(comparison, now)
    return await comparison.settle()


async def compare_hearing(connection: Connection, now: datetime) -> Settled:
    """Of the whole fleet, who reports and should not, or should and never did: what no report in the queue tells."""
    clock = await listening(connection)
    comparison = Comparison(connection, EVERYTHING, now)
    await _look_at_hearing(comparison, clock)
    return await comparison.settle()


async def compare_shared(connection: Connection, now: datetime) -> Settled:
    """Look for devices that several kits report."""
    comparison = Comparison(connection, EVERYTHING, now)
    await connection.execute(_FACTS["clear_plan"])

    def judge(rows: Sequence[Sighting]) -> Iterable[Found]:
        return judge_shared(rows, now)

    about = {
        "contact_after": now - IN_CONTACT,
        "max_ahead": MAX_AHEAD,
        "most_kits": MOST_KITS,
        "states": list(IN_USE),
    }
    await comparison.look("sightings", Sighting, judge, _SHARED, **about)
    return await comparison.settle()


async def compare_dates(connection: Connection, now: datetime) -> Settled:
    """Look for pieces whose calibration, lease or warranty is due."""
    comparison = Comparison(connection, EVERYTHING, now)
    today = now.date()

    def judge(rows: Sequence[DatedPiece]) -> Iterable[Found]:
        return judge_dates(rows, today)

    about = {"today": today, "ahead": today + AHEAD, "ended": sorted(ENDED)}
    await comparison.look("dates", DatedPiece, judge, _DATES, **about)
    return await comparison.settle()


async def compare_stock(connection: Connection, now: datetime) -> Settled:
    """Look for models of which too few are in store."""
    comparison = Comparison(connection, EVERYTHING, now)
    names = LowStock.__dataclass_fields__
    low = [LowStock(**{name: getattr(each, name) for name in names}) for each in await below_minimum(connection)]
    comparison.take(judge_stock(low), _STOCK if len(low) < MAX_SHORTAGES else frozenset())
    return await comparison.settle()


async def list_findings(connection: Connection, *, before: int, limit: int = 100, **chosen: Any) -> list[Finding]:
    """Findings, the newest first; filters of `FILTERS`, None does not count."""
    filters = (
        dict.fromkeys(("id", "kind", "state", "standing", "severity", "kit", "component", "organisation")) | chosen
    )
    return await fetch_all(connection, _SQL["list"], {**filters, "before": before, "limit": limit}, Finding)


async def find(connection: Connection, finding_id: int) -> Finding:
    """One finding; raises NotFoundError."""
    found = await list_findings(connection, before=2**63 - 1, limit=1, id=finding_id)
    if not found:
        raise NotFoundError("finding", str(finding_id))
    return found[0]


async def standing_of_kit(connection: Connection, kit: str, *, limit: int = 100) -> list[Finding]:
    """What stands against a kit and its pieces, the newest first; what was dismissed is among it, marked as such."""
    return await list_findings(connection, before=2**63 - 1, limit=limit, kit=kit, standing=True)


async def acknowledge(connection: Connection, finding_id: int, *, actor: str) -> Finding:
    """Tell the others that somebody takes care; a repeat changes nothing. Raises NotFoundError, ConflictError."""
    async with connection.transaction():
        state = await _locked(connection, finding_id)
        if state == "open":
            await connection.execute(_SQL["acknowledge"], {"id": finding_id, "actor": actor})
        elif state != "acknowledged":
            raise ConflictError(f"the finding is {state}")
        return await find(connection, finding_id)


async def dismiss(
    connection: Connection, finding_id: int, *, reason: str, until: datetime | None, actor: str
) -> Finding:
    """Say that it is right as it is, until then or for as long as it holds.

    Raises InvalidError when `until` is past, NotFoundError, and ConflictError when it is cleared.
    """
    if until is not None and until <= datetime.now(UTC):
        raise InvalidError("until", "lies in the past")
    async with connection.transaction():
        if await _locked(connection, finding_id) == "cleared":
            raise ConflictError("the finding is cleared")
        values = {"id": finding_id, "reason": reason, "until": until, "actor": actor}
        await connection.execute(_SQL["dismiss"], values)
        return await find(connection, finding_id)


@dataclass(frozen=True, slots=True)
class _State:
    state: str


async def _locked(connection: Connection, finding_id: int) -> str:
    found = await fetch_one(connection, _SQL["lock"], {"id": finding_id}, _State)
    if found is None:
        raise NotFoundError("finding", str(finding_id))
    return found.state


async def _look_at_hearing(comparison: Comparison, clock: Listening) -> None:
    def heard(rows: Sequence[HeardKit]) -> Iterable[Found]:
        return judge_heard(rows, clock)

    def unheard(rows: Sequence[UnheardKit]) -> Iterable[Found]:
        return judge_unheard(rows, clock)

    about = {"states": sorted(QUIET_STATES), "heard_after_clock_s": clock.clock_s - max(QUIET_S.values())}
    await comparison.look("heard", HeardKit, heard, _HEARD, **about)
    await comparison.look("unheard", UnheardKit, unheard, _UNHEARD)


async def _look_for_twins(comparison: Comparison, now: datetime) -> None:
    """Kits under whose number two tablets report: a sample of those it could be, where those are very many."""
    about = {"states": list(DEPLOYED), "live": LIVE}
    runs = {"after_change": AFTER_CHANGE, "turns": TURNS, "most_runs": MOST_RUNS, "most_kits": MOST_SUSPECTS}
    await comparison.look("runs", Runs, judge_runs, _TWINS, since=now - WITHIN, **about, **runs)
    told = {"since": now - IDENTITIES_WITHIN, "returns": RETURNS}
    await comparison.look("told_identities", ToldIdentities, judge_told, _TWINS, **about, **told)


def _columns(found: Iterable[Found]) -> dict[str, list[Any]]:
    rows = list(found)
    return {
        "kinds": [each.kind.value for each in rows],
        "subjects": [each.subject for each in rows],
        "kit_ids": [each.kit_id for each in rows],
        "component_ids": [each.component_id for each in rows],
        "model_ids": [each.model_id for each in rows],
        "location_ids": [each.location_id for each in rows],
        "organisation_ids": [each.organisation_id for each in rows],
        "severities": [each.grade.value for each in rows],
        "opens": [each.opens for each in rows],
        "evidence": [Jsonb(dict(each.evidence)) for each in rows],
    }

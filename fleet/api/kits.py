"""`kits`: find one, see at a glance whether it works, edit and move it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import cases, idempotency
from fleet.api.auth import Call, ReadKits, ReadTelemetry, WriteKits
from fleet.api.cases import Alert, AlertQuery, RequestQuery, ServiceRequest
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.problems import documented, invalid
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    KitId,
    KitPath,
    Line,
    Moment,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    encode_cursor,
    page,
)
from fleet.state import kits as books
from fleet.state import placements, reading
from fleet.state.lifecycle import KitState, allowed_steps
from fleet.state.registry import components
from fleet.state.registry.editing import Outdated
from fleet.state.texts import MAX_INTERVAL_S
from fleet.state.verdict import Health, ReasonCode, drift

router = APIRouter(prefix=PREFIX, tags=["kits"])

OPEN_SHOWN = 50
"""Open alerts and requests of one kit in its one call, at most."""
MAX_RANGE = timedelta(days=31)

State = Literal[
    "ordered",
    "in_stock",
    "preparing",
    "ready",
    "dispatched",
    "installed",
    "paused",
    "faulty",
    "retrieved",
    "cleaning",
    "scrapped",
    "lost",
    "returned",
]
Interval = Annotated[int, Field(ge=1, le=MAX_INTERVAL_S, description="Seconds between messages")]
Tolerance = Annotated[float, Field(ge=1, le=books.MAX_TOLERANCE, description="Intervals that may be missed")]
Versions = Annotated[dict[str, str], Field(max_length=100, examples=[{"app": "4.2.0", "os": "14"}])]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Reason(Answer):
    """Why the verdict is what it is; the members of `details` depend on `code`."""

    code: ReasonCode
    details: dict[str, Any]


class KitSummary(Answer):
    """A kit in the list."""

    kit: str
    label: str
    state: State
    state_since: Moment
    organisation: str | None
    owner: str | None
    kit_type: str | None
    location: str | None = Field(description="Short name of the place; null in a citizen's home")
    location_name: str | None
    placement_id: int | None
    expected_interval_s: int
    health: Health
    reasons: list[Reason]
    last_heard_at: Moment | None
    online: bool | None
    battery: float | None
    charging: bool | None
    network: str | None
    signal_dbm: int | None


class Heartbeat(Answer):
    """One heartbeat; `clock_offset_s` is set when the kit's clock was wrong (its time minus ours)."""

    time: Moment
    received_at: Moment
    boot: str
    seq: int
    battery: float | None
    charging: bool | None
    signal_dbm: int | None
    network: str | None
    operator: str | None
    storage_free_mb: float | None
    uptime_s: float | None
    clock_offset_s: float | None


class Component(Answer):
    """A software component; `version` is null when it is wanted and not reported."""

    component: str
    version: str | None
    wanted: str | None
    drifted: bool


class Peripheral(Answer):
    """A Bluetooth device as the tablet sees it."""

    serial: str
    kind: str
    paired: bool
    model: str | None = None
    firmware: str | None = None
    last_contact: Moment | None = None
    battery: float | None = None
    rssi: float | None = None


class DriftItem(Answer):
    """A component that is not as wanted."""

    component: str
    wanted: str
    reported: str | None


class Piece(Answer):
    """A piece that the books say is in the kit."""

    id: int
    kind: str
    manufacturer: str
    model: str
    serial: str
    asset_tag: str | None
    state: str
    calibration_due: date | None


class KitDetail(KitSummary):
    """Everything a support agent needs, in one call."""

    allowed_steps: list[State]
    placement: str | None = Field(description="Reference of the home it is in, for those who may read it")
    tolerance: float | None
    silent_after_s: float | None = Field(
        description="Listening time without a message after which it is silent; null while not watched"
    )
    wanted_components: dict[str, str]
    revision: int
    connection_at: Moment | None
    last_heartbeat: Heartbeat | None
    bundle: list[Piece]
    components: list[Component]
    components_at: Moment | None
    drift: list[DriftItem]
    peripherals: list[Peripheral]
    peripherals_at: Moment | None
    alerts: list[Alert]
    service_requests: list[ServiceRequest]


class KitQuery(PageQuery):
    """Filters of the list of kits.

    A page filtered by `health` may hold fewer kits than `limit` and still have a `next`.
    """

    kit: KitId | None = None
    q: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Beginning of a kit's id")
    state: State | None = None
    health: Health | None = None
    organisation: Slug | None = None
    owner: Slug | None = None
    location: Slug | None = None
    kit_type: Word | None = None
    sort: reading.KitSort = reading.KitSort.KIT


class NewKitBody(Body):
    """A kit to enter; any state, as an opening balance."""

    kit: KitId
    label: Line = ""
    state: State = "in_stock"
    organisation: Slug | None = None
    owner: Slug | None = None
    kit_type: Line | None = None
    location: Line | None = None
    expected_interval_s: Interval = books.DEFAULT_INTERVAL_S
    tolerance: Tolerance | None = None
    wanted_components: Versions = Field(default_factory=dict)


class KitEdit(Body):
    """What people edit; a field that is not sent stays, null empties it where it may be empty."""

    label: Line = ""
    kit_type: Line | None = None
    organisation: Slug | None = None
    owner: Slug | None = None
    expected_interval_s: Interval = books.DEFAULT_INTERVAL_S
    tolerance: Tolerance | None = None
    wanted_components: Versions = Field(default_factory=dict)


class ChangeItem(Answer):
    """A change the kit `reported` (a version, a peripheral) or people entered in the `books`."""

    source: Literal["reported", "books"]
    at: Moment
    time: Moment
    what: str
    subject: str | None
    before: Any
    after: Any
    actor: str | None
    reason: str | None


class HeartbeatQuery(PageQuery):
    """A range of time, 31 days at most; without it the last 24 hours."""

    start: Moment | None = Field(None, alias="from")
    end: Moment | None = Field(None, alias="to")


@router.get("/kits", responses=documented())
async def list_kits(call: ReadKits, query: Annotated[KitQuery, Query()]) -> Page[KitSummary]:
    """Kits with their verdict."""
    at = decode_cursor(query.cursor, str, str, int)
    if at is not None and at[0] != query.sort:
        raise invalid("cursor", f"is of a list sorted by {at[0][:20]}", place="query")
    after = None if at is None else reading.KitPosition(_sort_key(query.sort, at[1]), at[2])
    chosen = reading.KitFilter(**query.model_dump(include={each.name for each in fields(reading.KitFilter)}))
    found = await reading.list_kits(call.connection, chosen, sort=query.sort, after=after, limit=query.limit)
    end = found.end and encode_cursor(query.sort.value, found.end.key, found.end.kit_id)
    return Page(items=[KitSummary(**_summary(facts)) for facts in found.kits], next=end)


@router.post("/kits", status_code=201, response_model=KitDetail, responses=documented(409))
async def create_kit(call: WriteKits, request: Request, body: NewKitBody, key: idempotency.Key = None) -> Response:
    """Enter a kit."""

    async def work() -> KitDetail:
        new = books.NewKit(**body.model_dump())
        await books.create_kit(call.connection, new, by=call.principal)
        return await kit_detail(call, body.kit)

    return await idempotency.once(request, call, key, work, status=201, headers=_created, once_only="placement")


@router.get("/kits/{kit}", responses=documented(404))
async def get_kit(call: ReadKits, kit: KitPath, response: Response) -> KitDetail:
    """Everything about one kit; its `ETag` is for `If-Match`."""
    detail = await kit_detail(call, kit)
    response.headers["ETag"] = etag(detail.revision)
    return detail


@router.patch("/kits/{kit}", responses=documented(404, 412))
async def edit_kit(
    call: WriteKits, kit: KitPath, edit: KitEdit, response: Response, if_match: IfMatch = None
) -> KitDetail:
    """Edit a kit; with `If-Match` only when nobody else did meanwhile."""
    revisions = seen_revisions(if_match)
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await books.edit_kit(call.connection, kit, changes, by=call.principal, revisions=revisions)
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    return await get_kit(call, kit, response)


@router.get("/kits/{kit}/changes", responses=documented(404))
async def list_changes(call: ReadKits, kit: KitPath, query: Annotated[PageQuery, Query()]) -> Page[ChangeItem]:
    """What changed, the newest first: as the kit reported and as people entered."""
    after = decode_cursor(query.cursor, datetime, str, int) or (None, None, None)
    values = dict(zip(("after_at", "after_source", "after_id"), after, strict=True))
    rows = await reading.changes(call.connection, kit, **values, limit=query.limit + 1)
    kept, cursor = page(rows, query.limit, "at", "source", "id")
    items = [ChangeItem(**{name: row[name] for name in ChangeItem.model_fields}) for row in kept]
    return Page(items=items, next=cursor)


@router.get("/kits/{kit}/heartbeats", responses=documented(404))
async def list_heartbeats(
    call: ReadTelemetry, kit: KitPath, query: Annotated[HeartbeatQuery, Query()]
) -> Page[Heartbeat]:
    """Heartbeats of a range of time, the newest first."""
    start, end = _range(query)
    after = decode_cursor(query.cursor, datetime, str, int) or (None, None, None)
    values = dict(zip(("after_time", "after_boot", "after_seq"), after, strict=True))
    rows = await reading.heartbeats(call.connection, kit, start=start, end=end, **values, limit=query.limit + 1)
    kept, cursor = page(rows, query.limit, "time", "boot", "seq")
    return Page(items=[Heartbeat(**row) for row in kept], next=cursor)


async def kit_detail(call: Call, kit: str) -> KitDetail:
    """The one call: a handful of queries, whatever the size of the fleet."""
    facts = await reading.get_kit(call.connection, kit)
    alerts = await cases.list_alerts(call, AlertQuery(kit=kit, state="active", limit=OPEN_SHOWN))
    requests = await cases.list_requests(call, RequestQuery(kit=kit, unresolved=True, limit=OPEN_SHOWN))
    return KitDetail(
        **_summary(facts),
        allowed_steps=_allowed_steps(call, facts),
        placement=await _reference(call, facts),
        bundle=[_piece(each) for each in await components.bundle_of(call.connection, facts.kit_id)],
        tolerance=facts.tolerance,
        silent_after_s=facts.watch_allowance_s,
        wanted_components=facts.wanted_components,
        revision=facts.revision,
        connection_at=facts.connection_at,
        last_heartbeat=None if facts.boot is None else Heartbeat.model_validate(facts),
        components=_components(facts),
        components_at=facts.software_at,
        drift=[DriftItem.model_validate(item) for item in drift(facts.wanted_components, facts.software)],
        peripherals=[_peripheral(item) for item in facts.peripherals or []],
        peripherals_at=facts.peripherals_at,
        alerts=alerts.items,
        service_requests=requests.items,
    )


def _allowed_steps(call: Call, facts: reading.KitFacts) -> list[State]:
    roles = call.principal.roles_for(facts.organisation_id, facts.owner_id)
    return [step.value for step in allowed_steps(KitState(facts.state), roles)]


async def _reference(call: Call, facts: reading.KitFacts) -> str | None:
    """The reference of the home, where the caller may read it there; the read is noted in the audit."""
    whose = (facts.organisation_id, facts.owner_id)
    if facts.placement_id is None or not call.principal.holds(Permission.PLACEMENTS_READ, *whose):
        return None
    return await placements.reference_of(call.connection, facts.placement_id, why="kit")


def _piece(found: components.Component) -> Piece:
    names = Piece.model_fields.keys() - {"id"}
    return Piece(id=found.component_id, **{name: getattr(found, name) for name in names})


def _summary(facts: reading.KitFacts) -> dict[str, Any]:
    judged = facts.verdict()
    values = {name: getattr(facts, name) for name in KitSummary.model_fields if hasattr(facts, name)}
    reasons = [Reason(code=reason.code, details=dict(reason.details)) for reason in judged.reasons]
    return {**values, "health": judged.health, "reasons": reasons}


def _components(facts: reading.KitFacts) -> list[Component]:
    reported, wanted = facts.software or {}, facts.wanted_components
    drifted = {item.component for item in drift(wanted, facts.software)}
    return [
        Component(component=name, version=reported.get(name), wanted=wanted.get(name), drifted=name in drifted)
        for name in sorted(reported.keys() | wanted.keys())
    ]


def _peripheral(item: Mapping[str, Any]) -> Peripheral:
    return Peripheral(**{name: item[name] for name in Peripheral.model_fields if name in item})


def _sort_key(sort: reading.KitSort, key: str) -> str:
    if sort in {reading.KitSort.HEARD, reading.KitSort.HEARD_DOWN}:
        try:
            return f"{float(key):.6f}"
        except ValueError:
            raise invalid("cursor", "is not one that this list gave", place="query") from None
    return key


def _range(query: HeartbeatQuery) -> tuple[datetime, datetime]:
    end = query.end or datetime.now(UTC) + timedelta(minutes=3)
    start = query.start or end - timedelta(days=1)
    if start >= end:
        raise invalid("from", "must be before to", place="query")
    if end - start > MAX_RANGE:
        raise invalid("from", f"at most {MAX_RANGE.days} days before to", place="query")
    return start, end


def _tagged(body: Mapping[str, Any]) -> dict[str, str]:
    return {"ETag": etag(body["revision"])}


def _created(body: Mapping[str, Any]) -> dict[str, str]:
    return {**_tagged(body), "Location": f"{PREFIX}/kits/{body['kit']}"}

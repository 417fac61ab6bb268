"""`stocktakes`: scan what is at a place; the system lists what is missing, misplaced, extra or unknown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    KitId,
    Line,
    Moment,
    Number,
    NumberPath,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    page,
)
from fleet.state.logistics import scanning, stocktakes

router = APIRouter(prefix=PREFIX, tags=["stocktakes"])

ReadStock = Annotated[Call, requires(Permission.STOCK_READ)]
WriteStock = Annotated[Call, requires(Permission.STOCK_WRITE)]

State = Literal["open", "closed", "cancelled"]
Finding = Literal["present", "missing", "misplaced", "extra", "unknown"]
Code = Annotated[Word, Field(min_length=1)]


class FindingCounts(Answer):
    """How many items of each finding."""

    present: int
    missing: int
    misplaced: int
    extra: int
    unknown: int


class Stocktake(Answer):
    """A count of one place; expected are pieces of the organisation, of those below it and of those it serves."""

    id: int
    organisation: str | None
    location: str | None
    state: State
    note: str
    opened_at: Moment
    opened_by: str
    ended_at: Moment | None
    ended_by: str | None


class StocktakeWithCounts(Stocktake):
    """A stock-take with its counts: as things stand while it is open, as they stood once it is closed."""

    counts: FindingCounts | None


class NewStocktake(Body):
    """A place to count; without an organisation for that of the place."""

    location: Slug
    organisation: Slug | None = None
    note: Line = ""


class Scans(Body):
    """What was scanned: kits, serial numbers, asset tags, IMEIs, ICCIDs, or the last four characters of one.

    `component_ids` and `kits` answer what was asked about an ambiguous code.
    """

    codes: Annotated[list[Code], Field(max_length=scanning.MAX_SCANS)] = Field(default_factory=list)
    component_ids: Annotated[list[Number], Field(max_length=scanning.MAX_SCANS)] = Field(default_factory=list)
    kits: Annotated[list[KitId], Field(max_length=scanning.MAX_SCANS)] = Field(default_factory=list)


class ScanCandidate(Answer):
    """A kit or a piece that a code means or may mean, and where the books have it."""

    kit: str | None
    component_id: int | None
    name: str
    model_id: int | None
    manufacturer: str | None
    model: str | None
    in_kit: str | None
    location: str | None
    state: str


class ScanOutcome(Answer):
    """What became of a code.

    An `ambiguous` one is not noted: scan the whole number, or send one of the candidates. `refused` is what nobody
    knows and may be a civil registration number.
    """

    code: str
    outcome: Literal["recorded", "repeated", "unknown", "ambiguous", "refused"]
    candidates: list[ScanCandidate]


class ScanOutcomes(Answer):
    """What became of each code, in the order sent."""

    items: list[ScanOutcome]


class Scan(Answer):
    """What was scanned when and by whom."""

    id: int
    code: str
    kit: str | None
    component_id: int | None
    scanned_at: Moment
    actor: str


class StocktakeItem(Answer):
    """A kit, a piece, or a code that nobody knows.

    `missing`: the books have it there and it was not scanned. `misplaced`: the books have it at `location`. `extra`: it
    is there though the books have it at no place (with a citizen, lost, scrapped, ordered).
    """

    finding: Finding
    kit: str | None
    component_id: int | None
    name: str
    model_id: int | None
    kind: str | None
    manufacturer: str | None
    model: str | None
    state: str | None
    location: str | None
    in_kit: str | None
    resolution: Literal["moved", "lost", "found"] | None
    reason: str | None


class StocktakeResolution(Body):
    """What to do about one item: `move` it here, write it off as `lost` (with a reason), or take it in as `found`."""

    action: Literal["move", "lost", "found"]
    component_id: Number | None = None
    kit: KitId | None = None
    reason: Line | None = None


class StocktakeClosing(Body):
    """What to do about single items; the others stay in the books as they are."""

    resolutions: Annotated[list[StocktakeResolution], Field(max_length=stocktakes.MAX_RESOLUTIONS)] = Field(
        default_factory=list
    )


class StocktakeQuery(PageQuery):
    """Filters of stock-takes."""

    state: State | None = None
    location: Slug | None = None
    organisation: Slug | None = None


class ResultQuery(PageQuery):
    """Filters of a result."""

    finding: Finding | None = None


@router.get("/stocktakes", responses=documented())
async def list_stocktakes(call: ReadStock, query: Annotated[StocktakeQuery, Query()]) -> Page[Stocktake]:
    """Stock-takes by number."""
    after = decode_cursor(query.cursor, int) or (0,)
    chosen = query.model_dump(include=set(stocktakes.FILTERS))
    found = await stocktakes.list_stocktakes(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "stocktake_id")
    return Page(items=[Stocktake(**_values(each)) for each in kept], next=cursor)


@router.post("/stocktakes", status_code=201, responses=documented(409), response_model=StocktakeWithCounts)
async def open_stocktake(
    call: WriteStock, request: Request, body: NewStocktake, key: idempotency.Key = None
) -> Response:
    """Begin to count a place."""

    async def work() -> StocktakeWithCounts:
        made = await stocktakes.open_stocktake(call.connection, **body.model_dump(), by=call.principal)
        return _stocktake(made)

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/stocktakes/{id}", responses=documented(404))
async def get_stocktake(call: ReadStock, id: NumberPath) -> StocktakeWithCounts:
    """One stock-take and how far it is."""
    return _stocktake(await stocktakes.find_stocktake(call.connection, id))


@router.get("/stocktakes/{id}/scans", responses=documented(404))
async def list_scans(call: ReadStock, id: NumberPath, query: Annotated[PageQuery, Query()]) -> Page[Scan]:
    """What was scanned, in that order."""
    await stocktakes.find_stocktake(call.connection, id)
    after = decode_cursor(query.cursor, int) or (0,)
    found = await scanning.scans_of(call.connection, id, after=after[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "scan_id")
    return Page(items=[_scan(each) for each in kept], next=cursor)


@router.post("/stocktakes/{id}/scans", responses=documented(404, 409), response_model=ScanOutcomes)
async def scan(
    call: WriteStock, request: Request, id: NumberPath, body: Scans, key: idempotency.Key = None
) -> Response:
    """Note what is there, one code or many; a code twice counts once."""

    async def work() -> ScanOutcomes:
        found = await scanning.scan(call.connection, id, **body.model_dump(), by=call.principal)
        return ScanOutcomes(items=[_outcome(each) for each in found])

    return await idempotency.once(request, call, key, work)


@router.get("/stocktakes/{id}/result", responses=documented(404))
async def get_result(call: ReadStock, id: NumberPath, query: Annotated[ResultQuery, Query()]) -> Page[StocktakeItem]:
    """The items: as things stand while it is open, as they stood once it is closed."""
    after = decode_cursor(query.cursor, str) or ("",)
    stocktake = await stocktakes.find_stocktake(call.connection, id)
    found = await stocktakes.result(
        call.connection, stocktake, after=after[0], limit=query.limit + 1, finding=query.finding
    )
    kept, cursor = page(found, query.limit, "item")
    return Page(items=[_item(each) for each in kept], next=cursor)


@router.post("/stocktakes/{id}/close", responses=documented(404, 409), response_model=StocktakeWithCounts)
async def close_stocktake(
    call: WriteStock, request: Request, id: NumberPath, body: StocktakeClosing, key: idempotency.Key = None
) -> Response:
    """Keep the result for good, and do what is asked about single items, all or nothing."""

    async def work() -> StocktakeWithCounts:
        asked = [
            stocktakes.Resolution(stocktakes.Action(each.action), each.component_id, each.kit, each.reason)
            for each in body.resolutions
        ]
        return _stocktake(await stocktakes.close(call.connection, id, asked, by=call.principal))

    return await idempotency.once(request, call, key, work)


@router.post("/stocktakes/{id}/cancel", responses=documented(404, 409), response_model=StocktakeWithCounts)
async def cancel_stocktake(call: WriteStock, request: Request, id: NumberPath, key: idempotency.Key = None) -> Response:
    """Give up a stock-take; no result is kept."""

    async def work() -> StocktakeWithCounts:
        return _stocktake(await stocktakes.cancel(call.connection, id, by=call.principal))

    return await idempotency.once(request, call, key, work)


def _values(found: stocktakes.Stocktake) -> dict[str, Any]:
    names = Stocktake.model_fields.keys() - {"id"}
    return {"id": found.stocktake_id, **{name: getattr(found, name) for name in names}}


def _stocktake(found: stocktakes.Stocktake) -> StocktakeWithCounts:
    counts = None if found.counts is None else FindingCounts(**found.counts)
    return StocktakeWithCounts(**_values(found), counts=counts)


def _scan(found: scanning.Scan) -> Scan:
    values: dict[str, Any] = {name: getattr(found, name) for name in Scan.model_fields.keys() - {"id"}}
    return Scan(id=found.scan_id, **values)


def _outcome(found: scanning.Scanned) -> ScanOutcome:
    candidates = [_candidate(each) for each in found.candidates]
    return ScanOutcome(code=found.code, outcome=found.outcome, candidates=candidates)


def _candidate(found: scanning.Candidate) -> ScanCandidate:
    names = ScanCandidate.model_fields.keys() - {"kit"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    return ScanCandidate(kit=found.name if found.kit_id is not None else None, **values)


def _item(found: stocktakes.Item) -> StocktakeItem:
    values: dict[str, Any] = {name: getattr(found, name) for name in StocktakeItem.model_fields}
    return StocktakeItem(**values)

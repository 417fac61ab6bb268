"""`search`: one field for whatever stands on a piece or a note."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from fleet.api.auth import ReadKits
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Answer, Page, Word
from fleet.api.shapes import Query as QueryFields
from fleet.state import search

router = APIRouter(prefix=PREFIX, tags=["search"])


class SearchQuery(QueryFields):
    """What to look for."""

    q: Annotated[
        Word,
        Field(
            min_length=1,
            description="A kit's id or its beginning, words of its label, a serial number, asset tag, IMEI, ICCID,"
            " Bluetooth address, the last four characters of an id or serial number, the number of a service request."
            " Never a placement reference: addresses are logged; `POST /placements/look-up` takes those.",
        ),
    ]
    limit: int = Field(20, ge=1, le=100, description="Items in the answer, at most")


class Hit(Answer):
    """Something found; `by` says what fitted.

    A component in a kit is where the kit is. `placement` is the number of a placement, not its reference.
    """

    kind: Literal["kit", "component", "request"]
    by: Literal["kit", "label", "tail", "serial", "asset_tag", "imei", "iccid", "bluetooth_address", "number"]
    kit: str | None
    label: str | None
    component_id: int | None
    component_kind: str | None
    model: str | None
    serial: str | None
    asset_tag: str | None
    state: str
    organisation: str | None
    location: str | None
    placement: int | None
    number: str | None = Field(description="Of a service request")


@router.get("/search", responses=documented())
async def search_all(call: ReadKits, query: Annotated[SearchQuery, Query()]) -> Page[Hit]:
    """Kits, components and requests that fit, the best first; there is no next page: a longer text narrows it."""
    found = await search.search(call.connection, query.q, query.limit)
    return Page(items=[Hit.model_validate(hit) for hit in found])

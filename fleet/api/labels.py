"""`labels`: sheets of labels with QR codes for kits and components, to be printed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from fleet.api import labelling
from fleet.api.auth import Call, ReadKits
from fleet.api.labelling import SHEETS, Sheet, SheetName
from fleet.api.organisations import Slug
from fleet.api.problems import documented, invalid
from fleet.api.shapes import MAX_ID, PREFIX
from fleet.api.shapes import Query as QueryFields
from fleet.protocol.topics import KIT_ID
from fleet.state import labels
from fleet.state.labels import MAX_LABELS, Label

router = APIRouter(prefix=PREFIX, tags=["labels"])

_NAMES = Field(None, min_length=1, max_length=MAX_LABELS * 65, description="Separated by commas")


class LabelQuery(QueryFields):
    """Which labels, exactly one of `kits`, `components` (numbers) and `location`; on what, and how."""

    kits: Annotated[str | None, _NAMES] = None
    components: Annotated[str | None, _NAMES] = None
    location: Slug | None = None
    sheet: SheetName = SheetName.A4_3X8
    format: Literal["html", "pdf"] = "html"


@router.get(
    "/labels",
    response_class=Response,
    responses={
        200: {
            "description": "The sheets, to be printed in true size",
            "content": {"text/html": {"schema": {"type": "string"}}, "application/pdf": {"schema": {"type": "string"}}},
        },
        **documented(),
    },
)
async def print_labels(call: ReadKits, query: Annotated[LabelQuery, Query()]) -> Response:
    """Labels as printable HTML or PDF, 500 at most; each has the id as QR code, model or type, and the last four.

    A sheet is A4 with 3 by 8 or 2 by 7 labels, or one label after the other on a roll of 62 mm.
    """
    sheet = SHEETS[query.sheet]
    # Hundreds of codes take a second, in which the server goes on answering.
    return await asyncio.to_thread(_drawn, await _chosen(call, query), sheet, query.format)


def _drawn(chosen: list[Label], sheet: Sheet, form: str) -> Response:
    pages = labelling.pages(chosen, sheet)
    if form == "pdf":
        headers = {"Content-Disposition": 'inline; filename="labels.pdf"'}
        return Response(labelling.pdf(pages, sheet), media_type="application/pdf", headers=headers)
    style = labelling.style(sheet)
    policy = f"default-src 'none'; style-src 'sha256-{_sha256(style)}'; base-uri 'none'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy}
    return Response(labelling.html(pages, sheet), media_type="text/html; charset=utf-8", headers=headers)


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


async def _chosen(call: Call, query: LabelQuery) -> list[Label]:
    given = [name for name in ("kits", "components", "location") if getattr(query, name) is not None]
    if len(given) != 1:
        raise invalid("kits", "give exactly one of kits, components and location", place="query")
    if query.kits is not None:
        return await labels.kit_labels(call.connection, _kits(query.kits))
    if query.components is not None:
        return await labels.component_labels(call.connection, _numbers(query.components))
    return await labels.location_labels(call.connection, query.location or "")


def _kits(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if not KIT_ID.fullmatch(name):
            raise invalid("kits", f"{name[:80]!r} is no kit id", place="query")
    return names


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and len(part) < 20 and 0 < int(part) <= MAX_ID for part in parts):
        raise invalid("components", "must be numbers of components, separated by commas", place="query")
    return [int(part) for part in parts]

"""`exports`: everything of one kind as CSV or NDJSON, streamed; one route for each, with the permission of the kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.types import Message, Receive, Scope, Send

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.api.auth import RequiresBriefly, acting
from fleet.api.exportable import EXPORTS
from fleet.api.organisations import Slug
from fleet.api.problems import documented, unavailable
from fleet.api.shapes import PREFIX, KitId, Moment
from fleet.api.shapes import Query as QueryFields
from fleet.log import get_logger
from fleet.state.exchange.exports import Export, Format, Span, find_kit, note_export, span_of, written

router = APIRouter(prefix=PREFIX, tags=["exports"])

SEND_DEADLINE_S = 20.0
AT_ONCE = 3
"""Exports of one process at the same time: each holds a connection for as long as its reader takes."""
MEDIA_TYPES = {Format.CSV: "text/csv; charset=utf-8; header=present", Format.NDJSON: "application/x-ndjson"}

_LOG = get_logger("fleet.api.exports")
_PLACES = asyncio.Semaphore(AT_ONCE)


class ExportQuery(QueryFields):
    """How it is written."""

    format: Literal["csv", "ndjson"] = "csv"


class OrganisationsExportQuery(ExportQuery):
    """How it is written, and whose; without, all that the caller sees."""

    organisation: Slug | None = None


class SpanExportQuery(ExportQuery):
    """How it is written, of which kit, and a range of time, 400 days at most; without it the last 31 days."""

    kit: KitId
    start: Moment | None = Field(None, alias="from")
    end: Moment | None = Field(None, alias="to")


class Download(StreamingResponse):
    """A file whose reader must take each piece within a deadline: a stalled one is cut off.

    It holds one of the places for exports, which was taken for it, until it is over.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_DEADLINE_S):
                await send(message)

        try:
            await super().__call__(scope, receive, in_time)
        except* TimeoutError:
            _LOG.warning("export cut off: its reader takes nothing", deadline_s=SEND_DEADLINE_S)
        finally:
            _PLACES.release()


async def _export(request: Request, principal: Principal, export: Export, query: ExportQuery) -> Download:
    organisation = getattr(query, "organisation", None)
    span = span_of(query.kit, query.start, query.end) if isinstance(query, SpanExportQuery) else None
    async with acting(request, principal, principal.scope(export.permission)) as connection:
        # What is refused is refused before the first byte; and that it was read stands there even if the reader leaves.
        await organisations.id_of(connection, organisation)
        if span is not None:
            await find_kit(connection, span.kit)
        await note_export(connection, export, organisation=organisation)
    form = Format(query.format)
    if _PLACES.locked():
        raise unavailable("other exports are running: try again")
    await _PLACES.acquire()
    return Download(
        _pieces(request, principal, export, form, organisation=organisation, span=span),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{export.kind}.{form}"'},
    )


async def _pieces(
    request: Request,
    principal: Principal,
    export: Export,
    form: Format,
    *,
    organisation: str | None,
    span: Span | None,
) -> AsyncIterator[str]:
    scope = principal.scope(export.permission)
    async with (
        acting(request, principal, scope) as connection,
        aclosing(written(connection, export, form, organisation=organisation, span=span)) as pieces,
    ):
        async for piece in pieces:
            yield piece


def _route(export: Export) -> Callable[..., Coroutine[Any, Any, Download]]:
    gate = Depends(RequiresBriefly(export.permission))
    fields: type[ExportQuery] = OrganisationsExportQuery if export.by_organisation else ExportQuery
    if export.by_span:
        fields = SpanExportQuery

    async def download(
        principal: Annotated[Principal, gate],
        request: Request,
        query: Annotated[fields, Query()],  # type: ignore[valid-type]
    ) -> Download:
        return await _export(request, principal, export, query)

    # Their types are made here, so they cannot stay the names that they are written with.
    download.__annotations__.update(
        principal=Annotated[Principal, gate], request=Request, query=Annotated[fields, Query()]
    )
    return download


_CONTENT = {media.partition(";")[0]: {"schema": {"type": "string"}} for media in MEDIA_TYPES.values()}
for _each in EXPORTS.values():
    router.add_api_route(
        f"/exports/{_each.kind}",
        _route(_each),
        methods=["GET"],
        name=f"export_{_each.kind.replace('-', '_')}",
        description=f"Everything of {_each.kind.replace('-', ' ')} that the caller sees, as one file.",
        response_class=Download,
        response_model=None,
        responses={
            200: {"description": "The file", "content": _CONTENT},
            **documented(*([404] if _each.by_span else [])),
        },
    )

"""`imports`: a CSV file into the books, examined as a whole; all of it is entered or none, unless asked otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, RequiresBriefly, acting
from fleet.api.problems import ProblemError, documented, invalid, unavailable
from fleet.api.shapes import PREFIX, Answer
from fleet.api.shapes import Query as QueryFields
from fleet.errors import UsageError
from fleet.state.exchange.components import ComponentImporter
from fleet.state.exchange.importing import Importer, Options, Report, import_lines
from fleet.state.exchange.kits import KitImporter
from fleet.state.exchange.models import ModelImporter
from fleet.state.exchange.placements import PlacementImporter
from fleet.state.exchange.table import read_table

router = APIRouter(prefix=PREFIX, tags=["imports"])

PATH = f"{PREFIX}/imports/"
MAX_IMPORT_BYTES = 32 * 1024 * 1024
MAX_TOLD = 10_000
"""Bad lines that an answer tells; `bad_lines` counts them all."""
UPLOAD_WITHIN_S = 120.0
AT_ONCE = 2
"""Imports of one process at the same time: each holds a connection and a file in memory."""
_PLACES = asyncio.Semaphore(AT_ONCE)
_MEDIA_TYPES = frozenset({"text/csv", "application/csv", "application/octet-stream", "application/vnd.ms-excel"})


class BadLine(Answer):
    """A line that cannot be imported, counted from 1 as an editor shows it, what it is about, and why."""

    line: int
    key: str
    reason: str


class ImportReport(Answer):
    """What an import did, or in a dry run would do; with `done` false nothing was stored."""

    kind: Literal["models", "kits", "components", "placements"]
    done: bool
    dry_run: bool
    created: int
    updated: int
    unchanged: int
    bad_lines: int
    bad: list[BadLine]


class ImportQuery(QueryFields):
    """How to import."""

    dry_run: bool = False
    skip_bad: bool = False


class UpdatingQuery(ImportQuery):
    """How to import what may be known already."""

    update: bool = False


ImportModels = Annotated[Principal, Depends(RequiresBriefly(Permission.CATALOGUE_WRITE))]
ImportKits = Annotated[Principal, Depends(RequiresBriefly(Permission.KITS_WRITE))]
ImportComponents = Annotated[Principal, Depends(RequiresBriefly(Permission.COMPONENTS_WRITE))]
ImportPlacements = Annotated[Principal, Depends(RequiresBriefly(Permission.PLACEMENTS_WRITE))]

_DOCUMENTED: dict[str, Any] = {
    "response_model": ImportReport,
    "responses": documented(409, 413, 415),
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "UTF-8 with a header; comma, semicolon or tab; at most 32 MiB.",
            "content": {"text/csv": {"schema": {"type": "string", "maxLength": MAX_IMPORT_BYTES}}},
        }
    },
}


@router.post("/imports/models", **_DOCUMENTED)
async def import_models(
    principal: ImportModels,
    request: Request,
    query: Annotated[UpdatingQuery, Query()],
    key: idempotency.Key = None,
) -> Response:
    """Enter models, by manufacturer and name; `update` describes known ones anew.

    A file with bad lines answers 422 with the `report`, and nothing of it is stored; a dry run always answers it.
    """
    return await _import(request, principal, Permission.CATALOGUE_WRITE, ModelImporter(), query=query, key=key)


@router.post("/imports/kits", **_DOCUMENTED)
async def import_kits(
    principal: ImportKits,
    request: Request,
    query: Annotated[UpdatingQuery, Query()],
    key: idempotency.Key = None,
) -> Response:
    """Enter kits as opening balances; `update` changes known ones. Answers as for models."""
    return await _import(request, principal, Permission.KITS_WRITE, KitImporter(), query=query, key=key)


@router.post("/imports/components", **_DOCUMENTED)
async def import_components(
    principal: ImportComponents,
    request: Request,
    query: Annotated[UpdatingQuery, Query()],
    key: idempotency.Key = None,
) -> Response:
    """Enter components as opening balances, also into kits; `update` changes what describes known ones.

    Answers as for models.
    """
    return await _import(request, principal, Permission.COMPONENTS_WRITE, ComponentImporter(), query=query, key=key)


@router.post("/imports/placements", **_DOCUMENTED)
async def import_placements(
    principal: ImportPlacements,
    request: Request,
    query: Annotated[ImportQuery, Query()],
    key: idempotency.Key = None,
) -> Response:
    """Enter placements: of kits in use as active ones since they began, of others as plans. Answers as for models."""
    return await _import(request, principal, Permission.PLACEMENTS_WRITE, PlacementImporter(), query=query, key=key)


async def _import(
    request: Request,
    principal: Principal,
    permission: Permission,
    importer: Importer[Any],
    *,
    query: ImportQuery,
    key: str | None,
) -> Response:
    _check_media_type(request)
    if _PLACES.locked():
        raise unavailable("other imports are running: try again")
    async with _PLACES:
        content = await _uploaded(request)
        async with acting(request, principal, principal.scope(permission)) as connection:
            call = Call(connection, principal)
            return await idempotency.once(request, call, key, _work(call, importer, content, query))


def _check_media_type(request: Request) -> None:
    given = request.headers.get("content-type", "text/csv").partition(";")[0].strip().lower()
    if given not in _MEDIA_TYPES:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "send the file as text/csv")


async def _uploaded(request: Request) -> bytes:
    """The file; read only now that the caller is known, and while no connection is held."""
    try:
        async with asyncio.timeout(UPLOAD_WITHIN_S):
            return await request.body()
    except TimeoutError:
        raise invalid("body", f"did not arrive within {UPLOAD_WITHIN_S:.0f} s") from None


def _work(
    call: Call, importer: Importer[Any], content: bytes, query: ImportQuery
) -> Callable[[], Awaitable[ImportReport]]:
    options = Options(query.dry_run, getattr(query, "update", False), query.skip_bad)

    async def work() -> ImportReport:
        try:
            lines = read_table(importer.table, content, name="the file")
            report = await import_lines(call.connection, importer, lines, options, by=call.principal)
        except UsageError as error:
            raise invalid("body", str(error)) from None
        answer = _report(importer.kind, report)
        if not report.done and not report.dry_run:
            raise _refused(answer)
        return answer

    return work


def _report(kind: str, report: Report) -> ImportReport:
    values = asdict(report)
    values.pop("organisations_created")
    bad = [BadLine(**each) for each in values.pop("bad")[:MAX_TOLD]]
    return ImportReport(kind=kind, bad_lines=len(report.bad), bad=bad, **values)


def _refused(report: ImportReport) -> ProblemError:
    first = report.bad[0]
    detail = f"nothing was imported: {report.bad_lines} bad lines, the first is line {first.line}: {first.reason}"
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY, "import-refused", detail, more={"report": report.model_dump(mode="json")}
    )

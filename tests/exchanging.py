"""What the tests of files share: text in, report out; and what is taken out, as text."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from fleet.access.principal import SYSTEM, Principal
from fleet.api.exportable import EXPORTS
from fleet.state.exchange.components import ComponentImporter
from fleet.state.exchange.exports import Format, span_of, written
from fleet.state.exchange.importing import Importer, Options, Report, import_lines
from fleet.state.exchange.kits import KitImporter
from fleet.state.exchange.models import ModelImporter
from fleet.state.exchange.placements import PlacementImporter
from fleet.state.exchange.table import read_table
from fleet.state.ledger.check import check

Connection = AsyncConnection[Any]
IMPORTERS: dict[str, Importer[Any]] = {
    each.kind: each for each in (ModelImporter(), KitImporter(), ComponentImporter(), PlacementImporter())
}
MODELS = (
    "manufacturer,name,kind,calibration_interval_days\nMaker,Tab,tablet,\nMaker,Card,sim,\n"
    "Maker,Scale,scale,\nMaker,Oxi,oximeter,365\n"
)


async def bring(connection: Connection, kind: str, text: str, *, by: Principal = SYSTEM, **options: bool) -> Report:
    """Import a file of one kind."""
    importer = IMPORTERS[kind]
    lines = read_table(importer.table, text.encode())
    return await import_lines(connection, importer, lines, Options(**options), by=by)


async def take(connection: Connection, kind: str, form: Format = Format.CSV, organisation: str | None = None) -> str:
    """Export everything of one kind; of what is of one kit, that of K-1."""
    span = span_of("K-1", None, None) if EXPORTS[kind].by_span else None
    pieces = written(connection, EXPORTS[kind], form, organisation=organisation, span=span)
    return "".join([piece async for piece in pieces])


def told(report: Report) -> list[tuple[int, str, str]]:
    """Its bad lines."""
    return [(bad.line, bad.key, bad.reason) for bad in report.bad]


async def differences(connection: Connection) -> list[str]:
    """What the books say otherwise than their log."""
    return [str(found) async for checked in check(connection) for found in checked.found]

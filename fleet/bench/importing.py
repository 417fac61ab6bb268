"""A file of components into books that are full already: how long `fleet components import` takes."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from psycopg import AsyncConnection

from fleet.access.principal import SYSTEM
from fleet.db.connect import connect
from fleet.errors import UsageError
from fleet.state.exchange.components import ComponentImporter
from fleet.state.exchange.importing import Options, import_lines
from fleet.state.exchange.table import read_table

Connection = AsyncConnection[Any]

LINES = 100_000


async def import_s(dsn: str, lines: int = LINES) -> float:
    """Import so many new components; returns the seconds it took. Needs the models of the books' bench."""
    text = "manufacturer,model,serial,note\n" + "".join(f"Maker,S 2,NEW-{n:07d},bought\n" for n in range(lines))
    importer = ComponentImporter()
    connection: Connection = await connect(dsn, role="bench")
    async with connection:
        began_s = perf_counter()
        rows = read_table(importer.table, text.encode(), name="components.csv")
        report = await import_lines(connection, importer, rows, Options(), by=SYSTEM)
        took_s = perf_counter() - began_s
    if report.created != lines:
        raise UsageError(f"{report.created} of {lines} components were imported: {report.bad[:1]}")
    return took_s

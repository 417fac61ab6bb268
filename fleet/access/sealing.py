"""Making and checking the chain over the audit, see fleet/access/chain.py for what a link holds.

Writers add lines and wait for nobody. One sealer follows: it takes the lines of transactions that lie below the horizon
of its snapshot, which have all ended, in the order of their transactions; so no line can come before one that is in the
chain already. After a restore on another server transactions count anew: what was restored is chained first, by number.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from psycopg.rows import class_row, dict_row

from fleet.access.chain import START, Entry, Fault, Finding, Head, Link, Report, Verifier, extend
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_one

_SQL = load_queries("fleet.access", "audit.sql")

BATCH = 2_000
"""Lines that are chained, or compared, at a time."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one batch did: how many lines got their link, where the chain ends, and whether more may wait."""

    links: int
    head: Head
    more: bool


@dataclass(frozen=True, slots=True)
class Verified:
    """What comparing the whole chain with the lines found; `unsealed` lines have no link yet."""

    report: Report
    unsealed: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Up to where lines were chained; `tx` is None while those of an earlier server are."""

    here: bool
    system_identifier: int
    tx: int | None
    audit_id: int
    floor_id: int


async def seal(connection: Connection, batch: int = BATCH) -> Sealed:
    """Chain the next lines in one transaction; two that do it at once follow each other."""
    async with connection.transaction():
        place = await _place(connection)
        entries = await _next(connection, place, batch)
        head = await _last(connection)
        links = list(extend(head, entries))
        if links:
            await _chain(connection, links)
            head = Head(links[-1].position, links[-1].hash)
        full = len(entries) == batch
        if place.tx is None:
            await _note_place(connection, *((None, entries[-1].audit_id) if full else (0, 0)))
        elif entries:
            await _note_place(connection, entries[-1].tx, entries[-1].audit_id)
    return Sealed(len(links), head, full or place.tx is None)


async def verify(connection: Connection, noted: Iterable[Head] = ()) -> Verified:
    """Compare every link with its line and the one before it, and with heads `noted` elsewhere; changes nothing.

    Reads one snapshot, a batch at a time.
    """
    async with connection.transaction():
        await connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        verifier = Verifier(await _anchor(connection), noted)
        last = 0
        async for link, entry in _links(connection):
            verifier.link(link, entry)
            last = link.audit_id
        unsealed = await _unsealed(connection, verifier)
        report = verifier.finish()
        if (missing := await _cut_off(connection, last)) is not None:
            report.add(Finding(None, missing, Fault.HEAD_BEYOND_END))
    return Verified(report, unsealed)


async def _place(connection: Connection) -> _Place:
    found = await fetch_one(connection, _SQL["sealer"], {}, _Place)
    assert found is not None
    if found.here:
        return found
    await connection.execute(_SQL["begin_chain_on"], {"system_identifier": found.system_identifier})
    found = await fetch_one(connection, _SQL["sealer"], {}, _Place)
    assert found is not None
    return found


async def _next(connection: Connection, place: _Place, batch: int) -> list[Entry]:
    query = _SQL["unsealed_of_before" if place.tx is None else "unsealed"]
    values = {"tx": str(place.tx), "audit_id": place.audit_id, "floor_id": place.floor_id, "limit": batch}
    async with connection.cursor(binary=True, row_factory=class_row(Entry)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


async def _last(connection: Connection) -> Head:
    return await fetch_one(connection, _SQL["last_link"], {}, Head) or START


async def _chain(connection: Connection, links: list[Link]) -> None:
    values = {
        "positions": [link.position for link in links],
        "audit_ids": [link.audit_id for link in links],
        "digests": [link.digest for link in links],
        "hashes": [link.hash for link in links],
    }
    await connection.execute(_SQL["chain"], values)


async def _note_place(connection: Connection, tx: int | None, audit_id: int) -> None:
    values = {"tx": None if tx is None else str(tx), "audit_id": audit_id}
    await connection.execute(_SQL["sealed"], values)


async def _anchor(connection: Connection) -> Head:
    return await fetch_one(connection, _SQL["anchor"], {}, Head) or START


async def _links(connection: Connection) -> AsyncIterator[tuple[Link, Entry | None]]:
    after = 0
    while True:
        async with connection.cursor(binary=True, row_factory=dict_row) as cursor:
            await cursor.execute(_SQL["links"], {"after": after, "limit": BATCH})
            rows = await cursor.fetchall()
        for row in rows:
            link = Link(row.pop("position"), row["audit_id"], row.pop("digest"), row.pop("hash"))
            present = row.pop("present")
            yield link, Entry(**row) if present else None
        if len(rows) < BATCH:
            return
        after = link.position


async def _unsealed(connection: Connection, verifier: Verifier) -> int:
    count = 0
    async with connection.cursor("without_link", row_factory=dict_row) as cursor:
        cursor.itersize = BATCH
        await cursor.execute(_SQL["without_link"])
        async for row in cursor:
            behind = row.pop("behind")
            verifier.unsealed(Entry(**row), behind=behind)
            count += not behind
    return count


async def _cut_off(connection: Connection, last: int) -> int | None:
    """The line that the sealer says it chained last, when the chain does not end with it."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["sealed_up_to"])
        (place,) = await cursor.fetchall()
    chained = place["audit_id"] if place["tx"] is not None and place["audit_id"] else last
    return None if chained == last else int(chained)

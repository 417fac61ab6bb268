"""Search: one text, and whatever carries it, in one round trip; only by what an index finds under row-level security.

Kits are found by id (also by its beginning, in capitals), by the last four characters, and by words of their label;
components by serial number, asset tag, IMEI, ICCID, Bluetooth address and the last four characters; service requests by
their number, with or without its zeros. A placement
reference is not searched for here, because what is searched stands in addresses and logs:
`placements.reference_numbers` does that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.rows import class_row

from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_dicts
from fleet.protocol.topics import KIT_ID
from fleet.state.registry import checks

_SQL = load_queries("fleet.state", "search.sql")

MAX_TEXT = 200
TAIL = 4
SHORTEST_PREFIX = 3
"""Fewer characters are the beginning of too much."""
CANDIDATES = (1_000, 3_000)
"""Kits with the first of several words that are looked through for the others: at first, and where few have them."""
_END = chr(0x10FFFF)
"""Sorts behind every character under COLLATE "C"."""
_REQUEST = re.compile(r"SR-([0-9]{4})-0*([0-9]{1,12})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found: a kit, a component with the kit it is in, or a request (`number`); `by` says what fitted.

    `placement` is the number of the placement where it is; otherwise it is at `location`, where known.
    """

    kind: Literal["kit", "component", "request"]
    by: str
    rank: int
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
    number: str | None = None


async def search(connection: Connection, text: str, limit: int = 20) -> list[Hit]:
    """What fits `text`, the best first, `limit` at most; exact identities come before beginnings, tails and labels."""
    text = text.strip()[:MAX_TEXT]
    if not text or "\x00" in text:
        return []
    (seen,) = await fetch_dicts(connection, _SQL["seen"], {"text": text})
    values = {**wanted(text, seen["words"]), **seen, "limit": limit}
    values["labelled"] = await _labelled(connection, values)
    async with connection.cursor(row_factory=class_row(Hit)) as cursor:
        # Not prepared: planned for the scope and the words at hand.
        await cursor.execute(_SQL["search"], values, prepare=False)
        hits = await cursor.fetchall()
    return sorted(hits, key=lambda hit: hit.rank)[:limit]


async def _labelled(connection: Connection, values: Mapping[str, Any]) -> list[int]:
    """Kits whose labels have all the words, `limit` at most; not all of them where very many have the first."""
    if values["word"] is None:
        return []
    first, most = (candidates // max(1, len(values["organisations"])) for candidates in CANDIDATES)
    shares = (max(1, first), max(values["limit"], most)) if values["more"] else (values["limit"],)
    found: list[int] = []
    for each in shares:
        rows = await fetch_dicts(connection, _SQL["labelled"], {**values, "candidates": each})
        found = [row["kit_id"] for row in rows if row["kit_id"] is not None]
        if len(found) >= values["limit"] or rows[0]["looked_at"] < each:
            break
    return found


def wanted(text: str, words: Sequence[str]) -> dict[str, Any]:
    """What to look for where; None where the text cannot be that."""
    variants = sorted({text, text.upper(), text.lower()})
    # What has digits is a number and rare; of the others the longest is.
    ordered = sorted(words, key=lambda word: (word.isalpha(), -len(word)))
    first = ordered[0] if ordered and len(ordered[0]) >= SHORTEST_PREFIX else None
    others = ordered[1:]
    return {
        "ids": variants,
        "prefix": text.upper() if KIT_ID.fullmatch(text) and len(text) >= SHORTEST_PREFIX else None,
        "tail": text.upper() if len(text) == TAIL else None,
        "digits": digits if (digits := re.sub(r"[ -]", "", text)).isdecimal() else None,
        "bluetooth": _bluetooth(text),
        "request": f"SR-{asked[1]}-{int(asked[2]):06}" if (asked := _REQUEST.fullmatch(text)) else None,
        "word": first,
        "word_end": None if first is None else first + _END,
        "more": others,
        "more_end": [word + _END for word in others],
    }


def _bluetooth(text: str) -> str | None:
    try:
        return checks.bluetooth_address(text)
    except ValueError:
        return None

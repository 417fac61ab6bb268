"""What the guards look at, gathered from the log and from what the tablet reported."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import dict_row

from fleet.db.queries import load_queries
from fleet.state.contact import proven_contact
from fleet.state.ledger.book import ComponentBook, KitBook, Spell, value_at
from fleet.state.ledger.guards import ComponentFacts, Heard, KitFacts, Peripheral, Piece
from fleet.state.ledger.log import ComponentRow, Log
from fleet.state.ledger.store import Connection
from fleet.state.lifecycle import UNCLEAN, ComponentState, KitState

_SQL = load_queries("fleet.state.ledger", "facts.sql")
CLEAN_AGAIN = frozenset(
    {ComponentState.CLEANING, ComponentState.CALIBRATING, ComponentState.IN_REPAIR, ComponentState.AT_SUPPLIER}
)
"""Conditions out of which a piece comes clean."""


def piece_of(row: ComponentRow) -> Piece:
    """A component as the guards see it."""
    return Piece(
        component_id=row.component_id,
        kind=row.kind,
        serial=row.serial,
        faulty=row.state == ComponentState.FAULTY,
        calibrated=row.calibrated,
        calibration_due=row.calibration_due,
    )


async def kit_facts(connection: Connection, log: Log, kit_id: int, book: KitBook, at: datetime) -> KitFacts:
    """The facts for a step of a kit at `at`; what its tablet told is the newest there is.

    Proof counts from when it came to where it is; without a word of that, from when it left for there.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["kit_facts"], {"kit_id": kit_id})
        (row,) = await cursor.fetchall()
    since = _state_since(book, at)
    reported = _heard(row, "software")
    # A tablet that was with somebody else tells its software anew when it is prepared.
    seen = reported is not None and reported.received_at >= since
    messages = (_heard(row, "heartbeat"), reported, _heard(row, "pairing"))
    return KitFacts(
        at=at,
        contents=row["contents"],
        pieces=tuple(piece_of(each) for each in log.pieces_of(kit_id)),
        calibration_margin=timedelta(days=row["calibration_margin_days"]),
        planned_until=row["planned_until"],
        wanted=row["wanted"],
        software=row["software"] if seen else None,
        proof_from=max(since, _placed_since(book, at) or since),
        live_at=row["live_at"],
        offset_s=row["offset_s"],
        heard=tuple(each for each in messages if each is not None),
        pairing=_heard(row, "pairing"),
        peripherals=tuple(_peripheral(each, row["pairing_time"]) for each in row["peripherals"] or ()),
    )


def piece_facts(row: ComponentRow, book: ComponentBook, at: datetime, kit_state: KitState | None) -> ComponentFacts:
    """The facts for a step of a component at `at`; `kit_state` is that of the kit it is in then.

    A piece that came out of a kit counts as unclean until something was done to it that cleans it: where the kit had
    been is not asked, because the piece was out of everybody's sight since.
    """
    held = value_at(book.memberships, at) is not None
    unclean = kit_state in UNCLEAN if held else _since_kit(book, at)
    return ComponentFacts(piece_of(row), at, in_kit=held, unclean=unclean)


def _since_kit(book: ComponentBook, at: datetime) -> bool:
    left = max((spell.end for spell in book.memberships if spell.end is not None and spell.end <= at), default=None)
    if left is None:
        return False
    return not any(
        spell.value in CLEAN_AGAIN and (spell.start is None or left <= spell.start <= at) for spell in book.states
    )


def _state_since(book: KitBook, at: datetime) -> datetime:
    return _start(book.states, at) or book.since


def _placed_since(book: KitBook, at: datetime) -> datetime | None:
    return _start(book.stays, at)


def _start(spells: tuple[Spell[Any], ...], at: datetime) -> datetime | None:
    begun = [spell.start for spell in spells if spell.start is not None and spell.start <= at]
    return max(begun, default=None)


def _heard(row: Mapping[str, Any], kind: str) -> Heard | None:
    time, received_at = row[f"{kind}_time"], row[f"{kind}_received_at"]
    return None if time is None or received_at is None else Heard(time, received_at)


def _peripheral(item: Mapping[str, Any], reported_at: datetime) -> Peripheral:
    return Peripheral(
        serial=str(item["serial"]),
        paired=bool(item["paired"]),
        last_contact=proven_contact(item.get("last_contact"), reported_at),
    )

"""Placements into the books: those of kits in use begin as opening balances, those of others are planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, ClassVar

from fleet.db.queries import load_queries
from fleet.state.exchange import cells
from fleet.state.exchange.importing import Counts, Importer, Run
from fleet.state.exchange.table import Table
from fleet.state.placements import check_reference
from fleet.state.texts import bad_kit


class State(StrEnum):
    """What a placement can be when it is entered; what is over is history of the books that it was in."""

    PLANNED = "planned"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class PlacementLine:
    """One placement to import; None says nothing.

    `begun` is since when the kit is in that home. Without a state it is active where its kit is in use, and else
    planned.
    """

    reference: str
    organisation: str
    kit: str | None = None
    state: str | None = None
    programme: str | None = None
    begun: datetime | None = None
    planned_from: date | None = None
    planned_until: date | None = None
    line: int = 0


def _make(**values: Any) -> PlacementLine:
    made = PlacementLine(**values)
    check_reference(made.reference)
    if made.planned_from and made.planned_until and made.planned_until < made.planned_from:
        raise ValueError("planned_until: is before planned_from")
    if made.begun is not None and made.kit is None:
        raise ValueError("kit: is missing, and it has begun")
    if made.begun is not None and made.state == State.PLANNED:
        raise ValueError("begun: what is planned has not begun")
    if made.state == State.ACTIVE and made.kit is None:
        raise ValueError("kit: is missing, and the state is active")
    return made


def _kit(text: str) -> str:
    problem = bad_kit(text)
    if problem is not None:
        raise ValueError(problem)
    return text


TABLE = Table(
    columns={
        "reference": str,
        "organisation": cells.named,
        "kit": _kit,
        "state": cells.one_of(State),
        "programme": cells.line,
        "begun": cells.moment,
        "planned_from": cells.day,
        "planned_until": cells.day,
    },
    key=("reference", "organisation"),
    # The reference is not told in reports, which are kept and logged elsewhere.
    told=("kit", "organisation"),
    make=_make,
)


class PlacementImporter(Importer[PlacementLine]):
    """A home is entered since when the kit is there; what the books said of its place since then gives way to it."""

    kind = "placements"
    table: ClassVar[Table[PlacementLine]] = TABLE
    queries = load_queries("fleet.state.exchange", "placements.sql")
    staged = ("line", *TABLE.columns)
    organisations = ("organisation",)

    async def look(self, run: Run) -> None:
        """Which lines are active, and since when."""
        await run.do(self.queries, "resolve")

    async def enter(self, run: Run) -> Counts:
        """References, then placements, then the homes of kits with the openings that tell them."""
        about = {"actor": run.by.actor, "batch": run.batch}
        await run.do(self.queries, "enter_references")
        created = await run.do(self.queries, "enter_placements")
        await run.do(self.queries, "note_placements")
        # What kits are and were is read before it is changed.
        await run.do(self.queries, "log_homes", "log_states", "log_later_places", **about)
        await run.do(self.queries, "place_kits", "remove_stays", "cut_stays", "add_stays", "enqueue", "announce")
        return Counts(created)

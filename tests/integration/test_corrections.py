"""What was told wrongly is corrected: the history shows both, and everything follows what really was."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from fleet.access.principal import SYSTEM, Grant, Principal
from fleet.access.roles import Role
from fleet.errors import ConflictError, FleetError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.ledger.assigning import assign_kit
from fleet.state.ledger.corrections import Correction, correct
from fleet.state.ledger.moves import move_component, move_kit
from fleet.state.ledger.steps import ComponentStep, KitStep, Taken, take_component_step, take_kit_step
from fleet.state.ledger.swaps import Swap, swap
from fleet.state.lifecycle import ComponentState, KitState
from tests.ledger_world import (
    Connection,
    add_catalogue,
    add_kits,
    add_pieces,
    add_placement,
    ago,
    books,
    differences,
    organisation_id,
)
from tests.support import execute, rows, value

WHY = "the driver's list says so"


async def step(connection: Connection, kit: str, to: str, at: datetime | None, **more: Any) -> int:
    """Take a kit's step, guards or not; gives the number of its (last) event."""
    taken = await take_kit_step(
        connection, kit, KitStep(KitState(to), occurred_at=at, override=True, reason="test", **more), by=SYSTEM
    )
    assert isinstance(taken, Taken), taken
    return taken.event_ids[-1]


async def put(connection: Connection, kit: str, at: datetime, **change: Any) -> int:
    """Put a piece in, take one out; gives the number of the (first) event."""
    taken = await swap(connection, kit, Swap(occurred_at=at, override=True, reason="test", **change), by=SYSTEM)
    assert isinstance(taken, Taken), taken
    return taken.event_ids[0]


def kit_row(database: str, kit: str) -> tuple[Any, ...]:
    """State, since when and where."""
    query = (
        "SELECT k.state, k.state_since, l.slug, k.placement_id FROM kits k LEFT JOIN locations l USING (location_id)"
        " WHERE kit = %s"
    )
    return rows(database, query, kit)[0]


async def test_a_step_that_did_not_happen_is_taken_back_and_that_as_well(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        await add_kits(connection, "K-1")
        await step(connection, "K-1", "ready", ago(10))
        wrong = await step(connection, "K-1", "dispatched", ago(5), location="van")
        (void,) = await correct(connection, wrong, Correction(WHY, void=True), by=SYSTEM)
        assert kit_row(database, "K-1") == ("ready", ago(10), "depot", None)
        assert value(database, "SELECT reason FROM book_events WHERE event_id = %s", void) == WHY
        assert value(database, "SELECT to_state FROM book_events WHERE event_id = %s", wrong) == "dispatched"
        with pytest.raises(ConflictError, match="taken back already"):
            await correct(connection, wrong, Correction(WHY, void=True), by=SYSTEM)
        await correct(connection, void, Correction("it did happen", void=True), by=SYSTEM)
        assert kit_row(database, "K-1") == ("dispatched", ago(5), "van", None)
        assert await differences(connection) == []


async def test_time_state_and_place_are_replaced(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        await add_kits(connection, "K-1")
        number = await step(connection, "K-1", "lost", ago(5))
        await correct(connection, number, Correction(WHY, occurred_at=ago(7)), by=SYSTEM)
        assert kit_row(database, "K-1") == ("lost", ago(7), None, None)
        await correct(connection, number, Correction(WHY, to_state="in_stock", location="workshop"), by=SYSTEM)
        assert kit_row(database, "K-1") == ("in_stock", ago(7), "workshop", None)
        opening = value(database, "SELECT min(event_id) FROM book_events")
        await correct(connection, opening, Correction(WHY, location="van", occurred_at=ago(100)), by=SYSTEM)
        first = "SELECT l.slug, lower(during) FROM stays JOIN locations l USING (location_id) ORDER BY during LIMIT 1"
        assert rows(database, first) == [("van", ago(100))]
        moved = (await move_kit(connection, "K-1", location="van", occurred_at=ago(3), by=SYSTEM))[0]
        await correct(connection, moved, Correction(WHY, location="depot"), by=SYSTEM)
        assert kit_row(database, "K-1")[2] == "depot"
        before = "SELECT before ->> 'location_id' FROM book_events WHERE corrects = %s"
        van = value(database, "SELECT location_id FROM locations WHERE slug = 'van'")
        assert value(database, before, moved) == str(van)
        assert await differences(connection) == []


async def test_what_makes_the_rest_impossible_is_refused_and_names_it(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        await add_kits(connection, "K-1", "K-2")
        one, two = await add_pieces(connection, "S-1", "S-2")
        went_in = await put(connection, "K-1", ago(30), incoming=one)
        await put(connection, "K-1", ago(20), incoming=two, outgoing=one, state=ComponentState.IN_STOCK)
        in_again = await put(connection, "K-2", ago(10), incoming=one)
        ready = await step(connection, "K-1", "ready", ago(9))
        dispatched = await step(connection, "K-1", "dispatched", ago(8))
        refused: list[tuple[int, Correction, str]] = [
            (went_in, Correction(WHY, void=True), "was not in the kit then"),
            (in_again, Correction(WHY, occurred_at=ago(25)), "was in kit K-1 then|was in another kit then"),
            (ready, Correction(WHY, void=True), f"event {dispatched}"),
            (ready, Correction(WHY, occurred_at=ago(7)), "a step from preparing to dispatched"),
            (dispatched, Correction(WHY, occurred_at=ago(500)), "before it was entered"),
        ]
        everything = "SELECT state, kit_id, revision FROM components UNION SELECT state, kit_id, revision FROM kits"
        state = rows(database, everything)
        count = value(database, "SELECT count(*) FROM book_events")
        for number, correction, why in refused:
            with pytest.raises(ConflictError, match=why):
                await correct(connection, number, correction, by=SYSTEM)
        assert value(database, "SELECT count(*) FROM book_events") == count
        assert rows(database, everything) == state
        assert await differences(connection) == []


async def test_what_no_event_of_the_kind_can_be(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        await add_kits(connection, "K-1")
        (one,) = await add_pieces(connection, "S-1")
        opening = value(database, "SELECT event_id FROM book_events WHERE kit_id IS NOT NULL")
        in_it = await put(connection, "K-1", ago(3), incoming=one)
        cases: list[tuple[int, Correction, str]] = [
            (opening, Correction(WHY, void=True), "void"),
            (opening, Correction("", occurred_at=ago(1)), "reason"),
            (opening, Correction(WHY), "void"),
            (opening, Correction(WHY, void=True, to_state="lost"), "void"),
            (opening, Correction(WHY, to_state="in_kit"), "to_state"),
            (opening, Correction(WHY, location="van", placement=1), "placement"),
            (opening, Correction(WHY, placement=1), "placement"),
            (opening, Correction(WHY, occurred_at=ago(-1)), "occurred_at"),
            (in_it, Correction(WHY, to_state="faulty"), "to_state"),
            (in_it, Correction(WHY, placement=1), "placement"),
        ]
        for number, correction, field in cases:
            with pytest.raises(InvalidError) as told:
                await correct(connection, number, correction, by=SYSTEM)
            assert told.value.field == field, correction
        (void,) = await correct(connection, in_it, Correction(WHY, void=True), by=SYSTEM)
        with pytest.raises(InvalidError, match="can only be taken back"):
            await correct(connection, void, Correction(WHY, occurred_at=ago(1)), by=SYSTEM)
        with pytest.raises(NotFoundError):
            await correct(connection, 10**9, Correction(WHY, void=True), by=SYSTEM)
        nobody = Principal("user", 1, "x", (Grant(Role.SUPPORT),))
        with pytest.raises(ForbiddenError):
            await correct(connection, in_it, Correction(WHY, void=True), by=nobody)


async def test_what_was_entered_together_is_corrected_together(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        (kit_id,) = await add_kits(connection, "K-1", organisation="aalborg")
        pieces = await add_pieces(connection, "S-1", "S-2", organisation="aalborg")
        for number, piece in enumerate(pieces):
            await put(connection, "K-1", ago(30 - number), incoming=piece)
        hjorring = organisation_id(database, "hjorring")
        await assign_kit(connection, kit_id, organisation_id=hjorring, owner_id=None, by=SYSTEM)
        assigned = value(database, "SELECT event_id FROM book_events WHERE what = 'assign' AND kit_id IS NOT NULL")
        voids = await correct(connection, assigned, Correction(WHY, void=True), by=SYSTEM)
        assert len(voids) == 3
        whose = "SELECT DISTINCT o.slug FROM components JOIN organisations o USING (organisation_id)"
        assert rows(database, whose) == [("aalborg",)]
        assert await differences(connection) == []
        # A correction of several is taken back as one, too.
        assert len(await correct(connection, voids[1], Correction(WHY, void=True), by=SYSTEM)) == 3
        assert rows(database, whose) == [("hjorring",)]
        assert await differences(connection) == []


async def test_scrapped_with_its_pieces_and_it_was_not_so(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        await add_kits(connection, "K-1")
        (one,) = await add_pieces(connection, "S-1")
        await put(connection, "K-1", ago(30), incoming=one)
        scrapped = await step(connection, "K-1", "scrapped", ago(2), with_components=True)
        assert value(database, "SELECT state FROM components") == "scrapped"
        await correct(connection, scrapped, Correction(WHY, void=True), by=SYSTEM)
        assert rows(database, "SELECT state, kit_id IS NOT NULL FROM components") == [("in_kit", True)]
        assert kit_row(database, "K-1")[0] == "preparing"
        # What was revoked once stays revoked: the secret may be anywhere.
        assert value(database, "SELECT credentials_revoked_at FROM kits") is not None
        assert await differences(connection) == []


async def test_an_installation_taken_back_plans_the_placement_again(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        await add_kits(connection, "K-1", organisation="nord")
        placement = add_placement(database, "K-1")
        await step(connection, "K-1", "ready", ago(10))
        await step(connection, "K-1", "dispatched", ago(9))
        installed = await step(connection, "K-1", "installed", ago(8))
        about = "SELECT state, lower(during), upper(during), ended_reason FROM placements WHERE placement_id = %s"
        assert rows(database, about, placement) == [("active", ago(8), None, None)]
        await correct(connection, installed, Correction(WHY, occurred_at=ago(7)), by=SYSTEM)
        assert rows(database, about, placement) == [("active", ago(7), None, None)]
        await step(connection, "K-1", "retrieved", ago(3))
        ended = rows(database, about, placement)
        assert ended == [("ended", ago(7), ago(3), "test")]
        await correct(connection, installed, Correction(WHY, occurred_at=ago(6)), by=SYSTEM)
        assert rows(database, about, placement) == [("ended", ago(6), ago(3), "test")]
        retrieved = value(database, "SELECT event_id FROM book_events WHERE to_state = 'retrieved'")
        await correct(connection, retrieved, Correction(WHY, void=True), by=SYSTEM)
        (void,) = await correct(connection, installed, Correction(WHY, void=True), by=SYSTEM)
        assert rows(database, about, placement) == [("planned", None, None, None)]
        assert kit_row(database, "K-1")[0] == "dispatched"
        assert await differences(connection) == []
        # Another kit came to be there: the first one's installation does not come back over it.
        await add_kits(connection, "K-2", organisation="nord")
        execute(database, "UPDATE placements SET kit_id = (SELECT kit_id FROM kits WHERE kit = 'K-2')")
        await step(connection, "K-2", "ready", ago(2))
        await step(connection, "K-2", "dispatched", ago(1.5))
        await step(connection, "K-2", "installed", ago(1))
        with pytest.raises(ConflictError, match=f"placement {placement} has another kit"):
            await correct(connection, void, Correction(WHY, void=True), by=SYSTEM)
        assert rows(database, about, placement)[0][:2] == ("active", ago(1))
        assert await differences(connection) == []


async def test_another_time_does_not_make_it_another_organisations(database: str) -> None:
    """A piece and a kit take their future along: what they did before was somebody else's."""
    async with books(database) as connection:
        add_catalogue(database)
        (kit_id,) = await add_kits(connection, "K-1", organisation="aalborg")
        (one,) = await add_pieces(connection, "S-1", organisation="aalborg")
        hjorring = organisation_id(database, "hjorring")
        await assign_kit(connection, kit_id, organisation_id=hjorring, owner_id=None, by=SYSTEM)
        later = (await move_kit(connection, "K-1", location="van", by=SYSTEM))[0]
        with pytest.raises(ConflictError, match="another organisation's"):
            await correct(connection, later, Correction(WHY, occurred_at=ago(3)), by=SYSTEM)
        # Told afterwards, a piece went in when the kit was the first one's, and became the other's with it.
        told = await put(connection, "K-1", ago(5), incoming=one)
        whose = "SELECT organisation_id FROM book_events WHERE event_id = %s"
        assert value(database, whose, told) != hjorring
        assert value(database, "SELECT organisation_id FROM components") == hjorring
        assert await differences(connection) == []


async def test_a_component_by_itself(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        (one,) = await add_pieces(connection, "S-1")
        broke = ComponentStep(ComponentState.FAULTY, occurred_at=ago(4))
        taken = await take_component_step(connection, one, broke, by=SYSTEM)
        assert isinstance(taken, Taken)
        (moved,) = await move_component(connection, one, location="workshop", occurred_at=ago(3), by=SYSTEM)
        await correct(connection, moved, Correction(WHY, location="van", occurred_at=ago(2)), by=SYSTEM)
        await correct(connection, taken.event_ids[0], Correction(WHY, to_state="cleaning"), by=SYSTEM)
        query = "SELECT state, slug FROM components JOIN locations USING (location_id)"
        assert rows(database, query) == [("cleaning", "van")]
        with pytest.raises(FleetError):
            await correct(connection, taken.event_ids[0], Correction(WHY, to_state="ordered"), by=SYSTEM)
        assert await differences(connection) == []

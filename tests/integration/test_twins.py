"""Two tablets under one kit's number, found in the history; the worker's look at it is bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from fleet.state.findings import store
from fleet.state.findings.store import Part, Settled
from tests.findings_world import Books, opened


@pytest.fixture
async def books(database: str) -> AsyncIterator[Books]:
    """Empty books, listening."""
    async with opened(database) as made:
        yield made


async def beats(books: Books, kit_id: int, boot: str, begin_min: int, end_min: int, **more: Any) -> None:
    """A heartbeat a minute, so many minutes ago until then; `late_s` is how long each was on its way."""
    late_s, phase_s = more.get("late_s", 0.3), more.get("phase_s", 0)
    await books.do(
        "INSERT INTO heartbeats (kit_id, boot, seq, time, received_at, clock_offset_s)"
        " SELECT %s, %s, g, at, at + make_interval(secs => %s), %s FROM generate_series(%s::int, %s::int, -1) g,"
        " LATERAL (SELECT %s - make_interval(mins => g, secs => %s) AS at) t RETURNING seq",
        kit_id, boot, late_s, more.get("offset_s"), begin_min, end_min, books.now, phase_s,
    )  # fmt: skip
    await books.do(
        "UPDATE kit_latest SET boot = %s, received_at = %s WHERE kit_id = %s RETURNING kit_id",
        boot, books.now - timedelta(minutes=end_min), kit_id,
    )  # fmt: skip


async def twins(books: Books) -> int:
    """A kit whose tablet says that it runs `b`, while `a` goes on for half an hour."""
    kit_id = await books.kit("K")
    await books.software(kit_id)
    await beats(books, kit_id, "b", 40, 1, phase_s=20)
    await beats(books, kit_id, "a", 600, 5)
    return kit_id


async def compare(books: Books, part: Part = Part()) -> Settled:  # noqa: B008 - frozen
    """One look at kits."""
    async with books.connection.transaction():
        return await store.compare_kits(books.connection, part, books.now)


async def test_they_are_found_once_and_forgotten_a_day_after_the_last_turn(books: Books) -> None:
    kit_id = await twins(books)
    await books.found_once("two_tablets")
    evidence = await books.do("SELECT evidence FROM findings")
    assert evidence["by"] == "boot"
    await beats(books, kit_id, "b", 1, 1, phase_s=30)
    await books.compare()
    assert await books.standing() == ["two_tablets"], "also while the newest heartbeat is of the tablet that began last"
    books.now += timedelta(days=1, minutes=1)
    await books.cleared()


async def test_the_queue_finds_them_as_well(books: Books) -> None:
    kit_id = await twins(books)
    other = await books.kit("L")
    await compare(books, store.part_of([other]))
    assert await books.standing() == []
    await compare(books, store.part_of([kit_id]))
    assert await books.standing() == ["two_tablets"]


@pytest.mark.parametrize(
    ("more", "why"),
    [({"late_s": 400}, "kept and sent later"), ({"offset_s": 700.0}, "a clock that is wrong")],
)
async def test_what_is_not_live_says_nothing(books: Books, more: dict[str, Any], why: str) -> None:
    kit_id = await books.kit("K")
    await books.software(kit_id)
    await beats(books, kit_id, "b", 40, 1, phase_s=20)
    await beats(books, kit_id, "a", 60, 5, **more)
    await books.compare()
    assert await books.standing() == [], why


async def test_two_tablets_while_a_kit_is_set_up_are_none(books: Books) -> None:
    kit_id = await twins(books)
    await books.set_state(kit_id, "preparing", books.now - timedelta(days=3))
    await books.compare()
    assert await books.standing() == []
    await books.set_state(kit_id, "installed", books.now - timedelta(minutes=6))
    await books.compare()
    assert await books.standing() == []


async def test_the_tablet_that_was_swapped_out_may_go_on_for_a_while(books: Books) -> None:
    kit_id = await twins(books)
    piece = await books.piece(kit_id, "tablet", "T-2")
    await books.do(
        "INSERT INTO kit_components (kit_id, component_id, during)"
        " VALUES (%s, %s, tstzrange(%s, NULL)) RETURNING kit_id",
        kit_id, piece, books.now - timedelta(minutes=45),
    )  # fmt: skip
    await books.compare()
    assert await books.standing() == []


async def test_identities_that_alternate(books: Books) -> None:
    kit_id = await books.kit("K")
    one, other = "490154203237518", "356938035643809"
    for number, (before, after) in enumerate([(one, other), (other, one), (one, other)]):
        await books.do(
            "INSERT INTO changes (kit_id, time, received_at, what, subject, before, after)"
            " VALUES (%s, %s, %s, 'identity', 'imei', %s, %s) RETURNING change_id",
            kit_id, *[books.now - timedelta(hours=9 - number)] * 2, before, after,
        )  # fmt: skip
    await books.found_once("two_tablets")
    assert (await books.do("SELECT evidence FROM findings"))["by"] == "imei"


async def test_only_a_sample_is_looked_at_where_it_could_be_very_many(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_SUSPECTS", 2)
    for number in range(5):
        kit_id = await books.kit(f"K-{number}")
        await books.software(kit_id)
        await beats(books, kit_id, "b", 40, 1, phase_s=20)
        await beats(books, kit_id, "a", 600, 5)
    await compare(books)
    assert await books.standing() == ["two_tablets"] * 2
    books.now += timedelta(seconds=7)
    assert (await compare(books)).cleared.total() == 0, "those that stand are looked at each time"

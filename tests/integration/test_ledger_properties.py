"""Random lives through the real use cases, against the real database, as the role and in the scope of the API."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any, ClassVar, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fleet.access.entering import enter
from fleet.access.principal import Grant, Principal, Scope
from fleet.access.roles import Role
from fleet.db import roles
from fleet.db.connect import connect
from fleet.errors import ConflictError, InvalidError
from fleet.state.ledger.assigning import assign_kit
from fleet.state.ledger.bulk import Item, take_together
from fleet.state.ledger.corrections import Correction, correct
from fleet.state.ledger.moves import move_component, move_kit
from fleet.state.ledger.steps import ComponentStep, KitStep, Taken, take_component_step, take_kit_step
from fleet.state.ledger.swaps import Swap, swap
from fleet.state.lifecycle import COMPONENTS, KITS, ComponentState, KitState
from tests.ledger_world import Connection, add_catalogue, add_kits, add_pieces, add_placement, ago, books, differences

T = TypeVar("T")
WORLD = count(1)
PLACES = ("depot", "workshop", "van")
FREE = sorted(set(ComponentState) - {ComponentState.IN_KIT})
SORTS = ("step", "step", "step", "piece", "swap", "swap", "move", "assign", "correct", "correct", "bulk")

PROJECTIONS = """
SELECT md5(concat(
    (SELECT string_agg(k::text, ',' ORDER BY kit_id) FROM kits k),
    (SELECT string_agg(c::text, ',' ORDER BY component_id) FROM components c),
    (SELECT string_agg(s::text, ',' ORDER BY stay_id) FROM stays s),
    (SELECT string_agg(m::text, ',' ORDER BY membership_id) FROM kit_components m),
    (SELECT string_agg(y::text, ',' ORDER BY custody_id) FROM custodies y),
    (SELECT string_agg(p::text, ',' ORDER BY placement_id) FROM placements p),
    (SELECT string_agg(l::text, ',' ORDER BY kit_id) FROM kit_latest l),
    (SELECT count(*) FROM book_events), (SELECT count(*) FROM events), (SELECT count(*) FROM evaluation_queue)))
"""
APART = """
SELECT count(*) FROM components c JOIN kits k USING (kit_id)
WHERE c.organisation_id IS DISTINCT FROM k.organisation_id OR k.state IN ('scrapped', 'returned')
"""


class Life:
    """Two kits and four pieces of one region, and whatever might be done with them, drawn from `choose`."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.eyes = psycopg.connect(database, autocommit=True)
        ids = dict(self.rows("SELECT slug, organisation_id FROM organisations"))
        self.organisations = list(ids.values())
        grant = Grant(Role.ADMIN, frozenset(self.organisations), root=ids["nord"])
        self.by = Principal("token", 1, "tester", (grant,))
        self.kits: dict[str, int] = {}
        self.pieces: list[int] = []

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What stands in the database, with eyes of its own."""
        return self.eyes.execute(query.encode(), parameters).fetchall()

    async def begin(self) -> None:
        """Enter them, each kit planned for a citizen."""
        number = next(WORLD)
        names = [f"K-{number}-{each}" for each in range(2)]
        async with books(self.database) as connection:
            self.kits = dict(zip(names, await add_kits(connection, *names, organisation="aalborg"), strict=True))
            serials = [f"S-{number}-{each}" for each in range(4)]
            self.pieces = await add_pieces(connection, *serials, organisation="aalborg")
        for each in names:
            add_placement(self.database, each, f"REF-{each}")

    async def connect(self) -> Connection:
        """As the API connects."""
        return await connect(self.database, role="test", run_as=roles.API)

    async def act(self, connection: Connection, work: Callable[[], Awaitable[Any]]) -> bool:
        """Do something in a transaction of its own; answers whether it was done."""
        try:
            async with connection.transaction():
                await enter(connection, self.by, Scope(frozenset(self.organisations)))
                outcome = await work()
        except (ConflictError, InvalidError):
            return False
        return isinstance(outcome, Taken) or outcome is None or bool(outcome and isinstance(outcome, tuple))

    async def do(self, connection: Connection, sort: str, choose: Callable[[int], int]) -> bool:
        """One thing of a sort; `choose(n)` gives a number below n."""
        kit = list(self.kits)[choose(2)]
        piece = self.pieces[choose(len(self.pieces))]
        happened = ago(300 - choose(300)) if choose(3) == 0 else None
        place = PLACES[choose(3)] if choose(2) else None
        common: dict[str, Any] = {"occurred_at": happened, "reason": "test"}
        by, works = self.by, connection

        async def step() -> Any:
            state = self.rows("SELECT state FROM kits WHERE kit = %s", kit)[0][0]
            allowed = KITS.allowed(KitState(state)) or tuple(KitState)
            # The first step of a state is the ordinary one.
            to = allowed[0 if choose(4) else choose(len(allowed))]
            more: dict[str, Any] = {"with_components": bool(choose(2))} if to in ("scrapped", "returned") else {}
            wanted = KitStep(to, location=place, override=True, **common, **more)
            return await take_kit_step(works, kit, wanted, by=by)

        async def by_piece() -> Any:
            state = self.rows("SELECT state FROM components WHERE component_id = %s", piece)[0][0]
            allowed = COMPONENTS.allowed(ComponentState(state)) or tuple(ComponentState)
            to = allowed[choose(len(allowed))]
            return await take_component_step(
                works, piece, ComponentStep(to, location=place, override=True, **common), by=by
            )

        async def change() -> Any:
            query = "SELECT component_id FROM components WHERE kit_id = %s"
            held = [number for (number,) in self.rows(query, self.kits[kit])]
            out = held[choose(len(held))] if held and choose(2) else None
            in_ = piece if out is None or choose(2) else None
            state = None if out is None else FREE[choose(len(FREE))] if choose(2) else ComponentState.CLEANING
            return await swap(works, kit, Swap(in_, out, state, place, override=True, **common), by=by)

        async def move() -> Any:
            if choose(2):
                return await move_kit(works, kit, location=place or "van", by=by, **common)
            return await move_component(works, piece, location=place or "van", by=by, **common)

        async def assign() -> Any:
            to = self.organisations[choose(len(self.organisations))]
            return await assign_kit(works, self.kits[kit], organisation_id=to, owner_id=to, by=by)

        async def correction() -> Any:
            query = "SELECT event_id FROM book_events WHERE kit_id = %s OR component_id = %s ORDER BY event_id DESC"
            numbers = [number for (number,) in self.rows(query, self.kits[kit], piece)]
            wanted = (
                Correction("test", void=True),
                Correction("test", occurred_at=ago(300 - choose(300))),
                Correction("test", location=place or "depot"),
                Correction("test", to_state=FREE[choose(len(FREE))]),
            )[choose(4)]
            # What was told last is the likeliest to be taken back.
            number = numbers[choose(2 if choose(2) and len(numbers) > 1 else len(numbers))]
            return await correct(works, number, wanted, by=by)

        async def many() -> Any:
            wanted = [KitStep(KitState(to)) for to in ("ready", "in_stock")]
            items = [Item(index, name, wanted[choose(2)]) for index, name in enumerate(list(self.kits) * 2)]
            items.append(Item(9, piece, ComponentStep(ComponentState.FAULTY)))
            itemised = bool(choose(2))
            how: dict[str, Any] = {"by": by, "tell": lambda _: None, "itemised": itemised}
            return (1,) if await take_together(works, items, **how) else False

        works_of: dict[str, Callable[[], Awaitable[Any]]] = {
            "step": step,
            "piece": by_piece,
            "swap": change,
            "move": move,
            "assign": assign,
            "correct": correction,
            "bulk": many,
        }
        return await self.act(connection, works_of[sort])


class Machine(RuleBasedStateMachine):
    """Anything that may be done, in any order; looked at after each."""

    database: ClassVar[str]
    runner: ClassVar[asyncio.Runner]
    done: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(self.database)
        self.connection: Connection = self.run(self.life.connect())
        self.owner: Connection = self.run(connect(self.database, role="test"))
        self.active: set[int] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for it."""
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        """New kits and pieces."""
        self.run(self.life.begin())
        self.active = self.placed()

    def placed(self) -> set[int]:
        """Placements that are or were active."""
        return {number for (number,) in self.life.rows("SELECT placement_id FROM placements WHERE during IS NOT NULL")}

    @rule(sort=st.sampled_from(SORTS), data=st.data())
    def act(self, sort: str, data: st.DataObject) -> None:
        """Do something; what is refused leaves everything as it was."""
        before = self.life.rows(PROJECTIONS)
        taken = self.run(self.life.do(self.connection, sort, lambda below: data.draw(st.integers(0, below - 1))))
        self.done[sort] += taken
        assert taken or sort == "bulk" or self.life.rows(PROJECTIONS) == before
        placed = self.placed()
        assert sort == "correct" or placed >= self.active
        self.active = placed

    @invariant()
    def holds(self) -> None:
        """What is current is what the log says, and pieces in a kit are of its organisation."""
        assert self.run(differences(self.owner)) == []
        assert self.life.rows(APART) == [(0,)]

    def teardown(self) -> None:
        """Hang up."""
        self.run(self.connection.close())
        self.run(self.owner.close())
        self.life.eyes.close()


def test_whatever_is_done_the_books_are_what_the_log_says(database: str) -> None:
    add_catalogue(database)
    with asyncio.Runner() as runner:
        Machine.database, Machine.runner, Machine.done = database, runner, Counter()
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=8, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    # The walk got somewhere: of every sort something was done.
    assert all(Machine.done[sort] for sort in SORTS), Machine.done
    assert Machine.done.total() > 50, Machine.done


@pytest.mark.parametrize("seed", range(2))
async def test_several_writers_at_once(database: str, seed: int) -> None:
    """None waits in a circle, and what they leave is what the log says."""
    add_catalogue(database)
    life = Life(database)
    await life.begin()

    async def write(writer: int) -> int:
        chosen = random.Random(seed * 10 + writer)
        connection = await life.connect()
        async with connection:
            return sum([await life.do(connection, chosen.choice(SORTS), chosen.randrange) for _ in range(40)])

    async with asyncio.timeout(60):
        done = await asyncio.gather(*(write(writer) for writer in range(3)))
    assert sum(done) > 20
    async with books(database) as connection:
        assert await differences(connection) == []
    assert life.rows(APART) == [(0,)]
    life.eyes.close()

"""A simulated month on the real ingest and worker: how many requests are right, how many faults are found.

Time is made here and passes in steps; messages, noise and faults are the simulator's, which knows the truth. What the
server opens is compared with it: a request is right when its kit has that fault, a fault is found when a request of its
kit speaks of it, and what befalls many when an incident does.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import psycopg
from psycopg import AsyncConnection

from fleet.alerts.judging.catalogue import CATALOGUE
from fleet.alerts.rules import RuleName
from fleet.alerts.worker import tick
from fleet.bench.fleets import temporary_database
from fleet.db import roles
from fleet.db.connect import connect
from fleet.db.queries import load_queries
from fleet.ingest.connection import Incoming
from fleet.ingest.decode import Decoder, Refusal, Report
from fleet.ingest.listening import MAX_GAP_S, ListeningClock, ListeningState
from fleet.ingest.store import Writer
from fleet.protocol.topics import Kind, Topics
from simulator.homes import DAY_S, HOUR_S
from simulator.lives import WANTED, Life, Month, Outage, Said, month
from simulator.truth import Fault

_SQL = load_queries("fleet.bench", "month.sql")
STEP_S = 900.0
BATCH = 5_000
LOOKS = 20
"""Ticks of a step, at most; the worker tells when there is more to do."""
ALSO = {"silent": ("never_heard",)}
"""What a fault may be called as well: a kit that dies before it was ever heard."""
MANY = "mass_event"
"""The row of incidents among the causes."""
OWN_OUTAGES = ((8 * DAY_S, 8 * DAY_S + 6 * HOUR_S), (19 * DAY_S, 19 * DAY_S + 2 * HOUR_S))
NETWORK_AWAY = Outage("3", 12 * DAY_S + 2 * HOUR_S, 13 * DAY_S + 4 * HOUR_S)
"""Long enough for kits that are always on to be missed."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A service request as it was opened or opened again; `at_s` from the month's beginning."""

    kit: str
    cause: str
    at_s: float


@dataclass(frozen=True, slots=True)
class OpenedForMany:
    """An incident as it was opened; it asks for somebody as a request does. `cohort` is written `kind:value`."""

    rule: str
    cohort: str
    at_s: float


@dataclass(frozen=True, slots=True)
class CauseResult:
    """Requests and faults of one cause; `late_s` is the median, None where none was found."""

    faults: int
    found: int
    requests: int
    right: int
    late_s: float | None = None


@dataclass(frozen=True, slots=True)
class MonthResult:
    """`precision` is the share of requests that are right, `recall` the share of faults that were found.

    What befalls many is one fault, and each incident one request: it is right when it names those of an outage that is,
    once. `repeated` are right requests beyond the first of a fault; they count as wrong. `late_s` is how long after it
    could be known a fault was found, the median, and `late_most_s` what 95 % of them stay below: known is what the kit
    told or should have told, for as long as the rule waits.
    """

    kits: int
    days: int
    messages: int
    precision: float
    recall: float
    requests: int
    repeated: int
    faults: int
    incidents: int
    late_s: float | None
    late_most_s: float | None
    took_s: float
    by_cause: dict[str, CauseResult] = field(default_factory=dict)


@dataclass(slots=True)
class _Tally:
    """What is counted, by cause."""

    true: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    late_s: dict[str, list[float]] = field(default_factory=dict)
    repeated: int = 0


def measure(kits: int = 10_000, days: int = 30, *, seed: int = 1) -> MonthResult:
    """Play a month on a database of its own."""
    with temporary_database(durable=False) as (dsn, _):
        return asyncio.run(play(dsn, kits, days, seed=seed))


async def play(dsn: str, kits: int, days: int, *, seed: int = 1, step_s: float = STEP_S) -> MonthResult:
    """Play a month on a migrated, empty database and judge it; the worker looks every `step_s`."""
    began_s = perf_counter()
    begin = (datetime.now(UTC) - timedelta(days=days + 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    made = month(kits, days, begin, seed=seed, outages=(NETWORK_AWAY,))
    _enter(dsn, made.lives, begin)
    player = _Player(dsn, made, begin, step_s)
    await player.play(days * DAY_S)
    opened, incidents = await _opened(dsn, begin)
    took_s = round(perf_counter() - began_s, 1)
    known_s = {life.kit: life.known_s for life in made.lives if life.known_s is not None}
    outages = [each for each in made.outages if each.end_s <= days * DAY_S]
    about = {"kits": kits, "days": days, "messages": player.messages, "took_s": took_s}
    return judged(made.faults, opened, known_s, outages=outages, incidents=incidents, **about)


def judged(
    faults: Sequence[Fault],
    opened: Iterable[Opened],
    known_s: Mapping[str, float] | None = None,
    *,
    outages: Sequence[Outage] = (),
    incidents: Sequence[OpenedForMany] = (),
    **about: Any,
) -> MonthResult:
    """Compare what was opened with what was true; `known_s` is when each kit's fault first showed."""
    tally = _Tally(true=Counter(fault.cause for fault in faults))
    _judge_requests(tally, {fault.kit: fault for fault in faults}, opened, known_s or {})
    _judge_incidents(tally, outages, incidents)
    late = sorted(each for some in tally.late_s.values() for each in some)
    requests, true, right = tally.requests.total(), tally.true.total(), tally.right.total()
    return MonthResult(
        precision=round(right / requests, 4) if requests else math.nan,
        recall=round(right / true, 4) if true else math.nan,
        requests=requests,
        repeated=tally.repeated,
        faults=true,
        incidents=len(incidents),
        late_s=_share_below(late, 0.5),
        late_most_s=_share_below(late, 0.95),
        by_cause={cause: _cause(tally, cause) for cause in sorted(tally.true.keys() | tally.requests.keys())},
        **about,
    )


def _judge_requests(
    tally: _Tally, of_kit: Mapping[str, Fault], opened: Iterable[Opened], known_s: Mapping[str, float]
) -> None:
    asked: set[str] = set()
    for each in sorted(opened, key=lambda each: each.at_s):
        fault = of_kit.get(each.kit)
        if fault is None or not _speaks_of(each, fault):
            tally.requests[each.cause] += 1
            continue
        tally.requests[fault.cause] += 1
        if each.kit in asked:
            tally.repeated += 1
            continue
        asked.add(each.kit)
        tally.right[fault.cause] += 1
        due_s = known_s.get(each.kit, fault.start_s) + CATALOGUE[RuleName(fault.cause)].default.for_s
        tally.late_s.setdefault(fault.cause, []).append(each.at_s - due_s)


def _judge_incidents(tally: _Tally, outages: Sequence[Outage], incidents: Sequence[OpenedForMany]) -> None:
    """Each outage is one incident of silence, named by its network; any other incident is wrong."""
    left = list(outages)
    tally.true[MANY] += len(left)
    for each in sorted(incidents, key=lambda each: each.at_s):
        tally.requests[MANY] += 1
        mine = [o for o in left if each.cohort == f"operator:{o.operator}" and o.start_s <= each.at_s <= o.end_s]
        if each.rule == RuleName.SILENT and mine:
            left.remove(mine[0])
            tally.right[MANY] += 1


def _speaks_of(each: Opened, fault: Fault) -> bool:
    """Whether it is about this fault: by name, and while it lasted or an hour after, until all of it has been said."""
    named = each.cause == fault.cause or each.cause in ALSO.get(fault.cause, ())
    return named and fault.start_s <= each.at_s <= fault.end_s + HOUR_S


def _cause(tally: _Tally, cause: str) -> CauseResult:
    right = tally.right[cause]
    late_s = _share_below(sorted(tally.late_s.get(cause, [])), 0.5)
    return CauseResult(tally.true[cause], right, tally.requests[cause], right, late_s)


def _share_below(values: Sequence[float], share: float) -> float | None:
    return round(values[int(len(values) * share)], 1) if values else None


class _Player:
    """One month on one database; nothing is heard in our own outages, and said once they are over."""

    def __init__(self, dsn: str, made: Month, begin: datetime, step_s: float = STEP_S) -> None:
        self._dsn, self._made, self._begin, self._step_s = dsn, made, begin, step_s
        self._writer = Writer(dsn, 0)
        self._topics = Topics()
        self._decoder = Decoder(self._topics)
        self._clock = ListeningClock(clock_s=0.0)
        self._waiting: list[Said] = []
        self.messages = 0

    async def play(self, length_s: float) -> None:
        """Step by step to the end."""
        worker = await connect(self._dsn, role="bench", run_as=roles.WORKER)
        books = await connect(self._dsn, role="bench")
        try:
            await self._writer.open()
            await self._writer.ensure_partitions(self._begin.date() - timedelta(days=1))
            await self._begin_listening(books)
            now_s = 0.0
            while now_s < length_s:
                await self._step(now_s, now_s + self._step_s, books)
                now_s += self._step_s
                await self._look(worker, now_s)
        finally:
            await self._writer.close()
            await worker.close()
            await books.close()

    async def _begin_listening(self, books: AsyncConnection[Any]) -> None:
        self._clock = self._clock.connected().evidence(-1.0, -1.0).evidence(0.0, 0.0)
        await self._store([], 0.0, books)

    async def _step(self, from_s: float, to_s: float, books: AsyncConnection[Any]) -> None:
        for life in self._made.lives:
            self._waiting.extend(life.advance(to_s))
        if any(start_s < to_s <= end_s for start_s, end_s in OWN_OUTAGES):
            self._clock = self._clock.disconnected()
            return
        if any(start_s < from_s <= end_s for start_s, end_s in OWN_OUTAGES):
            self._clock = self._clock.connected()
        heard = sorted(self._waiting, key=lambda said: said.received_s)
        self._waiting = []
        self.messages += len(heard)
        for start in range(0, max(len(heard), 1), BATCH):
            batch = heard[start : start + BATCH]
            last = start + BATCH >= len(heard)
            if (
                last or self._clock.state is ListeningState.LISTENING
            ):  # the clock stands until the backlog is worked off
                self._listen(to_s if last else batch[-1].received_s)
            await self._store(batch, to_s, books)

    def _listen(self, until_s: float) -> None:
        at_s = self._clock.credited_at_s or 0.0
        if self._clock.state is not ListeningState.LISTENING:
            at_s = until_s - MAX_GAP_S / 2
        while at_s < until_s:
            at_s = min(at_s + MAX_GAP_S / 2, until_s)
            self._clock = self._clock.evidence(at_s, at_s)

    async def _store(self, batch: Sequence[Said], now_s: float, books: AsyncConnection[Any]) -> None:
        decoded = [self._decoder.decode(self._incoming(said, now_s)) for said in batch]
        reports = [each for each in decoded if isinstance(each, Report)]
        refusals = [each for each in decoded if isinstance(each, Refusal)]
        await self._writer.store(reports, refusals, self._clock, write_clock=True)
        await books.execute(_SQL["heard_now"], {"now": self._at(now_s)})

    def _incoming(self, said: Said, now_s: float) -> Incoming:
        """What waited for us reaches us when we are back."""
        late = now_s - said.received_s > self._step_s
        received_at = self._at(now_s if late else said.received_s)
        return Incoming(self._topics.device(said.kit, Kind(said.kind)), said.payload, False, received_at, 1)

    async def _look(self, worker: AsyncConnection[Any], now_s: float) -> None:
        for _ in range(LOOKS):
            result = await tick(worker, self._at(now_s))
            if not result.more:
                return

    def _at(self, at_s: float) -> datetime:
        return self._begin + timedelta(seconds=at_s)


def _enter(dsn: str, lives: Sequence[Life], begin: datetime) -> None:
    wanted = ";".join(f"{name}={version}" for name, version in WANTED.items())
    values = {
        "kits": [life.kit for life in lives],
        "intervals": [life.programme.expected_interval_s for life in lives],
        "wanted": wanted,
        "begin": begin,
    }
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_SQL["enter"], values)
        connection.execute(_SQL["watch"])
        connection.execute(b"ANALYZE kits, kit_latest")


async def _opened(dsn: str, begin: datetime) -> tuple[list[Opened], list[OpenedForMany]]:
    connection = await connect(dsn, role="bench")
    try:
        cursor = await connection.execute(_SQL["opened"])
        opened = [Opened(kit, cause, (at - begin).total_seconds()) for kit, cause, at in await cursor.fetchall()]
        cursor = await connection.execute(_SQL["incidents"])
        many = [OpenedForMany(rule, named, (at - begin).total_seconds()) for rule, named, at in await cursor.fetchall()]
        return opened, many
    finally:
        await connection.close()

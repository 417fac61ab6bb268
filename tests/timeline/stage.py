"""Plays a timeline: messages go through the real decoder and writer, the worker is the real one, time is made here.

Between two moments only heartbeats happen and the listening clock runs; what else happens, happens at a moment. The
worker looks at every moment: often around what happens or is expected, now and then in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from fleet.access.principal import SYSTEM
from fleet.alerts.worker import tick
from fleet.db import roles
from fleet.db.connect import connect
from fleet.ingest.connection import Incoming
from fleet.ingest.decode import Decoder, Refusal, Report
from fleet.ingest.listening import MARKER_EVERY_S, MAX_GAP_S, ListeningClock, ListeningState
from fleet.ingest.store import Writer
from fleet.state.kits import NewKit, create_kit, edit_kit
from fleet.state.ledger.steps import KitStep, take_kit_step
from fleet.state.lifecycle import KitState
from tests.timeline import desk, people
from tests.timeline.language import COUNTED, SERVICES, Action, LanguageError, Scenario, seconds
from tests.timeline.people import People
from tests.timeline.tablets import TOPICS, Tablet, do, tablets_of

DAYS_AGO = 20
"""Timelines lie in the past, where messages are accepted and no step is in the future."""
FINE_S = 5.0
AFTER_ACTION_S = (0.0, 5.0, 10.0, 20.0, 40.0)
AROUND_EXPECTED_S = 10.0
COARSE_TICKS = 50
TICKS_OF_A_SPAN = 30


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of the stream, `at_s` from the beginning."""

    at_s: float
    type: str
    kit: str | None
    body: dict[str, Any]


class Stage:
    """A scenario on a migrated database."""

    def __init__(self, dsn: str, scenario: Scenario) -> None:
        self.begin = (datetime.now(UTC) - timedelta(days=DAYS_AGO)).replace(minute=0, second=0, microsecond=0)
        self._dsn, self.scenario = dsn, scenario
        self._writer = Writer(dsn, 0)
        self._decoder = Decoder(TOPICS)
        self._clock = ListeningClock(clock_s=100_000.0)
        self._down: set[str] = set()
        self._now_s = 0.0
        self.tablets: dict[str, Tablet] = {}
        self.numbers: dict[float, dict[str, int]] = {}
        self._follows = any(change.thing == "request" for change in scenario.changes)
        self._people: People | None = None
        self._connection: AsyncConnection[Any] | None = None
        self._worker: AsyncConnection[Any] | None = None

    async def play(self) -> list[Seen]:
        """Play it to its end and tell what was seen."""
        self._connection = await connect(self._dsn, role="test")
        self._worker = await connect(self._dsn, role="worker", run_as=roles.WORKER)
        try:
            await self._writer.open()
            await self._set_up()
            if any(action.verb in people.VERBS for action in self.scenario.actions):
                self._people = await People.come(self._dsn)
            for moment_s in self._moments():
                await self._come_to(moment_s)
            return await self._seen()
        finally:
            if self._people is not None:
                await self._people.leave()
            await self._writer.close()
            await self._worker.close()
            await self._connection.close()

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return self._at(self._now_s)

    def _at(self, at_s: float) -> datetime:
        return self.begin + timedelta(seconds=at_s)

    @property
    def _books(self) -> AsyncConnection[Any]:
        assert self._connection is not None
        return self._connection

    def _listens(self) -> bool:
        return not self._down & {"broker", "ingest", "database"}

    async def _set_up(self) -> None:
        await self._writer.ensure_partitions(self.begin.date() - timedelta(days=2))
        self._clock = self._clock.connected().evidence(-1.0, -1.0).evidence(0.0, 0.0)
        await self._store([])
        for kits in self.scenario.kits.values():
            for tablet in tablets_of(kits.ids(), kits.options, self.begin):
                self.tablets[tablet.kit] = tablet
                await self._enter(tablet.kit, kits.options)
                versions = {name: kits.options[name] for name in ("app", "os", "mdm") if name in kits.options}
                if versions:
                    tablet.report(0.0, versions)
        await self._books.execute("UPDATE kits SET state_since = %s", (self.begin,))
        for rule in self.scenario.rules:
            await self._set_rule(rule)
        for piece in self.scenario.pieces:
            await desk.enter_piece(self._books, piece, self.begin)
        for action in self.scenario.actions:
            if action.verb == "maintained":
                await desk.plan_window(self._books, self.scenario.of(action.subject), action, self._at)

    async def _enter(self, kit: str, options: dict[str, str] | Any) -> None:
        wanted = dict(pair.split("=") for pair in options["wants"].split(";")) if "wants" in options else {}
        if options.get("organisation"):
            await self._books.execute(
                "INSERT INTO organisations (slug, name, kind) VALUES (%s, %s, 'municipality') ON CONFLICT DO NOTHING",
                (options["organisation"], options["organisation"]),
            )
        new = NewKit(
            kit,
            state=options.get("state", KitState.INSTALLED),
            organisation=options.get("organisation"),
            kit_type=options.get("kit_type"),
            expected_interval_s=int(seconds(options.get("every", "5m"))),
            tolerance=float(options["tolerance"]) if "tolerance" in options else None,
            wanted_components=wanted,
        )
        await create_kit(self._books, new, by=SYSTEM)

    async def _set_rule(self, action: Action) -> None:
        """`rule silent for 60s keep 15s enabled=no battery=15`."""
        words = dict(zip(action.words[::2], action.words[1::2], strict=True))
        columns = {"for": "for_s", "keep": "keep_firing_for_s"}
        for word, text in words.items():
            await self._books.execute(
                f"UPDATE rules SET {columns[word]} = %s WHERE rule = %s".encode(), (seconds(text), action.verb)
            )
        for name, value in action.values.items():
            if name == "enabled":
                await self._books.execute(
                    "UPDATE rules SET enabled = %s WHERE rule = %s", (value == "yes", action.verb)
                )
            else:
                number = Jsonb({name: float(value)})
                await self._books.execute(
                    "UPDATE rules SET parameters = parameters || %s WHERE rule = %s", (number, action.verb)
                )

    def _moments(self) -> list[float]:
        scenario, found = self.scenario, {0.0, self.scenario.ends_s}
        coarse_s = max(60.0, scenario.ends_s / COARSE_TICKS)
        found |= _steps(0.0, scenario.ends_s, coarse_s)
        for action in scenario.actions:
            for at_s in {action.span.start_s, action.span.end_s}:
                found |= {at_s + after_s for after_s in AFTER_ACTION_S}
        for change in scenario.changes:
            step_s = max(FINE_S, (change.span.end_s - change.span.start_s) / TICKS_OF_A_SPAN)
            found |= _steps(change.span.start_s - AROUND_EXPECTED_S, change.span.end_s + AROUND_EXPECTED_S, step_s)
        found |= {number.at_s for number in scenario.numbers}
        return sorted(at_s for at_s in found if 0 <= at_s <= scenario.ends_s)

    async def _come_to(self, moment_s: float) -> None:
        self._run_clock(moment_s)
        self._now_s = moment_s
        for tablet in self.tablets.values():
            tablet.beats_until(moment_s)
        await self._hand_over()
        acting = [each for each in self.scenario.actions if moment_s in (each.span.start_s, each.span.end_s)]
        for action in acting:
            if action.span.start_s == moment_s:
                await self._begin_action(action)
            if action.span.end_s == moment_s and action.span.end_s > action.span.start_s:
                await self._end_action(action)
        if acting:
            await self._hand_over()
        if not self._down & {"worker", "database"}:
            await self._look()
        for number in self.scenario.numbers:
            if number.at_s == moment_s:
                self.numbers[moment_s] = await self._counts()

    def _run_clock(self, moment_s: float) -> None:
        """Evidence comes back every few seconds while everything is up."""
        if not self._listens():
            return
        at_s = self._now_s
        while at_s < moment_s:
            at_s = min(at_s + MAX_GAP_S / 2, moment_s)
            self._clock = self._clock.evidence(at_s, at_s)

    async def _hand_over(self) -> None:
        """Deliver what tablets hold, each at the time it was said when nothing was in the way."""
        if not self._listens():
            return
        batch: list[Incoming] = []
        for tablet in self.tablets.values():
            if not tablet.offline:
                batch.extend(tablet.deliver(self.now))
        await self._store(batch)

    async def _store(self, batch: Iterable[Incoming]) -> None:
        decoded = [self._decoder.decode(message) for message in batch]
        reports = [each for each in decoded if isinstance(each, Report)]
        refusals = [each for each in decoded if isinstance(each, Refusal)]
        await self._writer.store(reports, refusals, self._clock, write_clock=True)
        await self._books.execute("UPDATE listening SET updated_at = %s", (self.now,))

    async def _look(self) -> None:
        assert self._worker is not None
        for _ in range(3):
            result = await tick(self._worker, self.now)
            if not result.more:
                break
        if self._follows:
            await desk.follow(self._worker, self.now)

    async def _begin_action(self, action: Action) -> None:
        if action.subject in SERVICES:
            await self._take_down(action.subject)
        elif action.subject == "books":
            assert self._worker is not None
            await desk.compare(self._worker, self._books, self.now)
        elif action.subject == "sql":
            statement = action.words[0].replace("$now", f"'{self.now.isoformat()}'")
            await self._books.execute(statement.replace("$begin", f"'{self.begin.isoformat()}'").encode())
        elif action.verb == "maintained":
            return
        elif action.verb in people.VERBS:
            assert self._people is not None
            for kit in self.scenario.of(action.subject):
                await self._people.do(kit, action, self.now)
        elif action.verb in desk.VERBS:
            for kit in self.scenario.of(action.subject):
                await desk.do(self._books, kit, action, self.now, self._at)
        else:
            for kit in self.scenario.of(action.subject):
                await self._act(self.tablets[kit], action)

    async def _act(self, tablet: Tablet, action: Action) -> None:
        match action.verb:
            case "beats":
                tablet.begin_beating(self._now_s, action.values)
            case "offline":
                tablet.offline = True
            case "twinned":
                tablet.twin_seq = 0
            case "becomes":
                await self._step(tablet.kit, KitState(action.words[0]))
            case "wants":
                await edit_kit(self._books, tablet.kit, {"wanted_components": dict(action.values)}, by=SYSTEM)
            case "expected":
                interval_s = int(seconds(action.words[0]))
                await edit_kit(self._books, tablet.kit, {"expected_interval_s": interval_s}, by=SYSTEM)
            case _:
                do(tablet, action.verb, self._now_s, action.words, action.values)

    async def _end_action(self, action: Action) -> None:
        if action.subject in SERVICES:
            self._bring_up(action.subject)
            return
        for kit in self.scenario.of(action.subject):
            if action.verb == "maintained":
                continue
            if action.verb == "beats":
                self.tablets[kit].beating = False
            elif action.verb == "offline":
                self.tablets[kit].offline = False
            elif action.verb == "twinned":
                self.tablets[kit].twin_seq = None
            else:
                raise LanguageError(f"{action.line!r}: {action.verb} lasts no time")

    async def _step(self, kit: str, to: KitState) -> None:
        step = KitStep(to=to, reason="as the timeline says", override=True)
        outcome = await take_kit_step(self._books, kit, step, by=SYSTEM)
        if not hasattr(outcome, "event_ids"):
            raise LanguageError(f"{kit} cannot become {to}: {outcome}")

    async def _take_down(self, service: str) -> None:
        if self._listens() and service == "broker":
            self._clock = self._clock.disconnected()
            await self._writer.stop_clock()
        self._down.add(service)

    def _bring_up(self, service: str) -> None:
        """What is down keeps its part; a new ingest takes the clock over as the old one left it."""
        self._down.discard(service)
        if service == "ingest":
            old = self._clock
            age_s = self._now_s - (old.credited_at_s or 0.0)
            self._clock = ListeningClock.taken_over(old.clock_s, old.resumed_clock_s, old.grace_from_clock_s, age_s)
        if service in ("ingest", "broker"):
            self._clock = self._clock.connected()
        if self._listens():
            self._clock = self._clock.evidence(self._now_s - MARKER_EVERY_S / 2, self._now_s)
            assert self._clock.state is ListeningState.LISTENING

    async def _counts(self) -> dict[str, int]:
        cursor = await self._books.execute(_COUNTS)
        row = await cursor.fetchone()
        assert row is not None
        return dict(zip(COUNTED, row, strict=True))

    async def _seen(self) -> list[Seen]:
        cursor = await self._books.execute(
            "SELECT at, type, kit, body FROM events WHERE type LIKE 'alert.%' OR type LIKE 'incident.%'"
            " ORDER BY event_id"
        )
        seen = [*await cursor.fetchall(), *await desk.log_of_requests(self._books)]
        return [Seen((at - self.begin).total_seconds(), *rest) for at, *rest in seen]


_COUNTS = b"""
SELECT (SELECT count(*) FROM service_requests WHERE state IN ('open', 'in_progress', 'waiting')),
       (SELECT count(*) FROM alerts WHERE state = 'active'),
       (SELECT count(*) FROM incident_members WHERE left_at IS NULL),
       (SELECT count(*) FROM incidents WHERE state = 'open'),
       (SELECT count(*) FROM alerts WHERE state = 'active' AND suppressed_by IS NOT NULL),
       (SELECT count(*) FROM alerts WHERE state = 'active' AND acknowledged),
       (SELECT count(*) FROM service_requests),
       (SELECT count(*) FROM visits WHERE state IN ('planned', 'under_way', 'failed'))
"""


def _steps(start_s: float, end_s: float, step_s: float) -> set[float]:
    count = int((end_s - start_s) // step_s) + 1
    return {round(start_s + number * step_s, 3) for number in range(count)} | {end_s}

"""Runs a scenario from start to report: `await simulate(scenario, options)`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from fleet.protocol.endpoint import Endpoint
from fleet.protocol.topics import Topics
from simulator import ledger_file, store
from simulator.checker import Checked, check
from simulator.engine import Engine
from simulator.errors import LedgerError, ScenarioError, UnavailableError
from simulator.hub import Hub
from simulator.judge import drained as judge_drained
from simulator.ledger import Ledger
from simulator.ledger_file import Header
from simulator.limits import allow_connections
from simulator.probe import probe
from simulator.progress import Progress
from simulator.report import Latency, Links, Messages, Report, Spread
from simulator.sampler import Sampler
from simulator.scenario import Scenario
from simulator.stage import Stage
from simulator.watch import Watch

ENDLESS_DRAIN_S = 1.0
"""Whoever stops a run without an end does not want to wait; nothing is checked."""
LISTED = frozenset({"connects", "reconnects", "losses", "planned_cuts", "connect_failures"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where to run and what to write; without `dsn` the database is not looked at."""

    endpoint: Endpoint
    dsn: str | None = None
    topic_root: str = "fleet/v1"
    boot_prefix: str | None = None
    ledger_path: Path | None = None
    progress: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """A run that is over, not yet checked."""

    header: Header
    ledger: Ledger
    connections: Links


def new_boot_prefix(now: datetime) -> str:
    """Unlike any before, and readable: the time and two random characters."""
    return f"{now:%Y%m%dT%H%M%S}{secrets.token_hex(1)}"


async def simulate(scenario: Scenario, options: Options, *, stop: asyncio.Event | None = None) -> Report:
    """Play the scenario, check the ledger against the database, and report.

    `stop` ends it early: what was sent until then is checked. Raises SimulatorError when the broker or the
    database cannot be used at the start.
    """
    if options.dsn is not None:
        await asyncio.to_thread(_check_books, scenario, options.dsn)
    played = await play(scenario, options, stop=stop or asyncio.Event())
    checked = None
    if options.dsn is not None and not scenario.fleet.endless:
        checked = await asyncio.to_thread(check, played.header, played.ledger, options.dsn)
    return report_of(played, checked)


def _check_books(scenario: Scenario, dsn: str) -> None:
    """Messages of kits that are not in the books would all be quarantined."""
    kits = scenario.kit_ids()
    try:
        with store.open_store(dsn) as books:
            known = books.known_kits(kits)
    except psycopg.Error as error:
        raise store.database_error(error) from None
    if known < len(kits):
        raise UnavailableError(
            f"{len(kits) - known} of {len(kits)} kits are not in the books: "
            "simulator kits SCENARIO > kits.csv && fleet kits import kits.csv"
        )


async def play(scenario: Scenario, options: Options, *, stop: asyncio.Event) -> Played:
    """Connect every kit, play to the end or until `stop`, and leave politely."""
    allow_connections(scenario.fleet.kits)
    await probe(options.endpoint)
    ledger = _new_ledger(scenario, options)
    watch = Watch(scenario)
    endless = scenario.fleet.endless
    until_s = float("inf") if endless else scenario.fleet.duration_s
    topics = Topics(options.topic_root)
    async with Hub(options.endpoint, topics, ledger, scenario.connections, seed=scenario.fleet.seed) as hub:
        stage = Stage(scenario, boot_prefix=ledger.boot_prefix, epoch=ledger.started_at.timestamp())
        engine = Engine(hub, stage, watch)
        sampler = Sampler(hub, options.dsn) if options.dsn and not endless else None
        async with _beside(sampler.sample() if sampler else None), _beside(_progress(hub, engine, until_s, options)):
            await engine.play(until_s, stop)
            stopped_s = hub.clock()
            drained = await engine.drain(ENDLESS_DRAIN_S if endless else scenario.expect.drain_s)
        await engine.leave()
    header = Header(
        started_at=ledger.started_at,
        stopped_s=stopped_s,
        drained=drained,
        boot_prefix=ledger.boot_prefix,
        topic_root=options.topic_root,
        scenario=scenario,
        expected=watch.expected(stopped_s),
        commit_s=sampler.spread() if sampler else Spread(),
    )
    if options.ledger_path is not None:
        await asyncio.to_thread(ledger_file.write, options.ledger_path, header, ledger)
    return Played(header, ledger, _links(hub))


def _new_ledger(scenario: Scenario, options: Options) -> Ledger:
    now = datetime.now(UTC)
    return Ledger(
        boot_prefix=options.boot_prefix or new_boot_prefix(now),
        started_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
        record=not scenario.fleet.endless,
    )


def _progress(hub: Hub, engine: Engine, until_s: float, options: Options) -> Coroutine[Any, Any, None] | None:
    return Progress(hub, engine, until_s=until_s).show() if options.progress else None


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Run `work` while the body does; it ends with the body."""
    if work is None:
        yield
        return
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield
        task.cancel()


def _links(hub: Hub) -> Links:
    counts = hub.counts
    return Links(
        connects=counts["connects"],
        reconnects=counts["reconnects"],
        losses=counts["losses"],
        planned_cuts=counts["planned_cuts"],
        failures=dict(hub.failures),
        other={name: count for name, count in counts.items() if name not in LISTED},
    )


def report_of(played: Played, checked: Checked | None) -> Report:
    """The report of a run, with or without the database's part."""
    header, ledger = played.header, played.ledger
    fleet = header.scenario.fleet
    expectations = [] if fleet.endless else [judge_drained(ledger, header.drained)]
    if checked is not None:
        expectations = checked.expectations
    return Report(
        scenario=header.scenario.name,
        seed=fleet.seed,
        boot_prefix=header.boot_prefix,
        kits=fleet.kits,
        started_at=header.started_at,
        stopped_at=header.started_at + timedelta(seconds=round(header.stopped_s, 3)),
        duration_s=round(header.stopped_s, 3),
        messages=_messages(ledger),
        connections=played.connections,
        latency=checked.latency if checked else Latency(),
        database=checked.stored if checked else None,
        expectations=expectations,
        passed=all(one.met for one in expectations),
    )


def _messages(ledger: Ledger) -> Messages:
    counts = ledger.counts
    return Messages(
        made=sum(ledger.made.values()),
        acknowledged=sum(ledger.acknowledged.values()) if ledger.record else counts["acks"],
        unacknowledged=ledger.unacknowledged(),
        refused=counts["refused"],
        dropped_at_bound=counts["dropped_at_bound"],
        sends=counts["sends"],
        resends=counts["resends"],
        by_kind=dict(ledger.made),
        acknowledged_by_kind=dict(ledger.acknowledged),
    )


def check_file(path: Path, dsn: str) -> Report:
    """Check a saved ledger again; raises SimulatorError."""
    header, ledger = ledger_file.read(path)
    if header.scenario.fleet.endless:
        raise LedgerError(f"{path}: an endless run keeps no ledger")
    checked = check(header, ledger, dsn)
    return report_of(Played(header, ledger, Links(0, 0, 0, 0, {}, {})), checked)


def endpoint_of(url: str, *, ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> Endpoint:
    """The broker's address; raises ScenarioError with what is wrong."""
    try:
        return Endpoint.parse(url, ca_file=ca, cert_file=cert, key_file=key)
    except ValueError as error:
        raise ScenarioError(f"the broker's URL: {error}") from None

"""What a trial needs of the past, read from the database: stories of kits, and what kept their alerts quiet.

Everything is within what the caller sees and bounded. For which kits windows and variants are is told by the books as
they are now; shelves that are over leave no trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fleet.alerts import mass
from fleet.alerts.cohorts import Traits, cohort_of
from fleet.alerts.judging.catalogue import CATALOGUE, Source
from fleet.alerts.judging.facts import LONGEST_GRACE_S, WATCHED_STATE, KitFacts
from fleet.alerts.judging.hearing import Hearing, Span, silent_spans
from fleet.alerts.judging.replay import SpanStory, Story, Told, ToldStory
from fleet.alerts.judging.settings import Variant
from fleet.alerts.judging.spells import INCIDENT, MAINTENANCE, Spell
from fleet.alerts.quieting.suppress import shelved
from fleet.alerts.rules import Line, RuleName
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_dicts, fetch_value

SQL = load_queries("fleet.alerts.judging", "dryrun.sql")
MOST_ROWS = 250_000
"""Messages of one batch of kits."""
_HEARTBEAT = ("battery", "charging", "signal_dbm", "network", "storage_free_mb", "uptime_s", "clock_offset_s")
Kit = Mapping[str, Any]


class TooMuchError(Exception):
    """More messages than are gone through at once."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of the time from `begin` to `end` apart from what the kits told; lists are by kit.

    Before `known_from` outages of ours were not written down.
    """

    rule: RuleName
    begin: datetime
    end: datetime
    hearing: Hearing
    outages: Sequence[Span]
    known_from: datetime | None
    mass: mass.Settings
    spells: Mapping[int, Sequence[Spell]] = field(default_factory=dict)
    variants: Mapping[int, Sequence[Variant]] = field(default_factory=dict)
    traits: Mapping[int, Traits] = field(default_factory=dict)

    @property
    def deaf_s(self) -> float:
        """Seconds of this time in which we did not listen."""
        whole = self.hearing.clock_s(self.end) - self.hearing.clock_s(self.begin)
        return (self.end - self.begin).total_seconds() - whole


async def past(connection: Connection, rule: RuleName, kits: Sequence[Kit], begin: datetime, end: datetime) -> Past:
    """Read it for these kits."""
    values = {"kit_ids": [kit["kit_id"] for kit in kits], "rule": rule, "begin": begin}
    outages = [tuple(row.values()) for row in await fetch_dicts(connection, SQL["outages"], values)]
    settings = await fetch_dicts(connection, SQL["mass_settings"], values)
    given = mass.Settings(**settings[0]) if settings else mass.DEFAULT
    cohorts = await fetch_dicts(connection, SQL["cohorts"], values)
    return Past(
        rule,
        begin,
        end,
        Hearing(outages),
        [span for span in outages if span[0] != span[1]],
        await fetch_value(connection, SQL["outages_known_from"], {}),
        given,
        await _spells(connection, kits, given, values),
        await _variants(connection, rule, values),
        {row["kit_id"]: frozenset(map(cohort_of, row["cohorts"])) for row in cohorts},
    )


async def stories(connection: Connection, of: Past, kits: Sequence[Kit]) -> dict[int, Story]:
    """The stories of some kits; those of whom there is nothing to tell have none. Raises TooMuchError."""
    values = {"kit_ids": [kit["kit_id"] for kit in kits], "begin": of.begin, "end": of.end, "most": MOST_ROWS}
    if CATALOGUE[of.rule].source is Source.BOOKS:
        return await _found(connection, of.rule, values)
    states: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    for row in await fetch_dicts(connection, SQL["states"], values):
        states[row["kit_id"]].append((row["at"], row["state"]))
    if of.rule is RuleName.SILENT:
        return await _silent(connection, of, kits, states, values)
    return await _told(connection, of, kits, states, values)


async def _found(connection: Connection, rule: RuleName, values: Mapping[str, Any]) -> dict[int, Story]:
    kinds = [str(kind) for kind in CATALOGUE[rule].kinds]
    spans: dict[int, list[Span]] = defaultdict(list)
    for row in await fetch_dicts(connection, SQL["findings"], {**values, "kinds": kinds}):
        spans[row["kit_id"]].append((row["opened_at"], row["ended_at"]))
    return {kit_id: SpanStory(kit_id, each) for kit_id, each in spans.items()}


async def _silent(
    connection: Connection,
    of: Past,
    kits: Sequence[Kit],
    states: Mapping[int, Sequence[tuple[datetime, str]]],
    values: Mapping[str, Any],
) -> dict[int, Story]:
    gaps: dict[int, list[Span]] = defaultdict(list)
    for row in await _messages(connection, "heard", values):
        gaps[row["kit_id"]].append((row["received_at"], row["next_at"]))
    found: dict[int, Story] = {}
    for kit in kits:
        kit_id, allowance_s, last = kit["kit_id"], kit["watch_allowance_s"], kit["last_heard_at"]
        if not gaps[kit_id] and last is not None and last < of.begin:
            gaps[kit_id].append((last, None))
        if allowance_s is None or not gaps[kit_id]:
            continue
        used = in_use(kit, states[kit_id], of.end)
        hearing = of.hearing.without([(s.begin, s.end) for s in of.spells.get(kit_id, ()) if not s.opens])
        spans = silent_spans(gaps[kit_id], used, allowance_s, kit["watch_interval_s"] or 0.0, hearing)
        told = [(max(begin, of.begin), end) for begin, end in spans if end is None or end > of.begin]
        found[kit_id] = SpanStory(kit_id, told, used)
    return found


def in_use(kit: Kit, states: Sequence[tuple[datetime, str]], until: datetime) -> list[Span]:
    """When the kit was in use, as the log of its states tells; by its present state where that says nothing."""
    told = sorted(states) or [(kit["state_since"], kit["state"])]
    ends = [*(at for at, _ in told[1:]), None]
    return [(at, end) for (at, state), end in zip(told, ends, strict=True) if state == WATCHED_STATE and at < until]


async def _told(
    connection: Connection,
    of: Past,
    kits: Sequence[Kit],
    states: Mapping[int, Sequence[tuple[datetime, str]]],
    values: Mapping[str, Any],
) -> dict[int, Story]:
    """Kits that tell their history again, with what the books say of their states since then."""
    messages: dict[int, list[Told]] = defaultdict(list)
    query = "reports" if CATALOGUE[of.rule].source is Source.REPORT else "heartbeats"
    for row in await _messages(connection, query, values):
        messages[row["kit_id"]].append(_message(row))
    return {
        kit["kit_id"]: ToldStory(
            _at_begin(kit, states[kit["kit_id"]], of), messages[kit["kit_id"]], states[kit["kit_id"]], of.hearing
        )
        for kit in kits
    }


async def _messages(connection: Connection, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = await fetch_dicts(connection, SQL[query], values)
    if len(rows) >= MOST_ROWS:
        raise TooMuchError
    return rows


def _at_begin(kit: Kit, states: Sequence[tuple[datetime, str]], of: Past) -> KitFacts:
    """What the books say; before the first known state it was not in use.

    One that was in use before the history begins and has been heard at all was heard before.
    """
    known = bool(states)
    heard = kit["last_heard_at"] is not None and kit["state_since"] < of.begin
    return KitFacts(
        kit["kit_id"],
        "unknown" if known else kit["state"],
        kit["state_since"],
        wanted=kit["wanted_components"],
        kit_type=kit["kit_type"],
        watch_interval_s=kit["watch_interval_s"],
        watch_allowance_s=kit["watch_allowance_s"],
        watch_from_clock_s=of.hearing.clock_s(kit["state_since"]),
        heard_clock_s=of.hearing.clock_s(of.begin) if heard else None,
    )


def _message(row: Mapping[str, Any]) -> Told:
    body = row["body"] if "body" in row else {name: row[name] for name in _HEARTBEAT}
    return Told(row["kind"], row["boot"], row["seq"], row["time"], row["received_at"], body)


async def _spells(
    connection: Connection, kits: Sequence[Kit], given: mass.Settings, values: Mapping[str, Any]
) -> dict[int, list[Spell]]:
    """What kept alerts quiet; a kit has one more of its intervals after maintenance, as the worker gives it."""
    interval_s = {kit["kit_id"]: kit["watch_interval_s"] or 0.0 for kit in kits}
    found: dict[int, list[Spell]] = defaultdict(list)
    for row in await fetch_dicts(connection, SQL["maintenance"], values):
        grace = timedelta(seconds=min(interval_s[row["kit_id"]], LONGEST_GRACE_S))
        end = None if row["ended_at"] is None else row["ended_at"] + grace
        spell = Spell(f"{MAINTENANCE}:{row['window_id']}", row["began_at"], end, opens=row["collect"])
        found[row["kit_id"]].append(spell)
    for row in await fetch_dicts(connection, SQL["shelves"], values):
        spell = Spell(shelved(row["until"]), row["shelved_at"], row["until"], severity=row["severity"])
        found[row["kit_id"]].append(spell)
    for row in await fetch_dicts(connection, SQL["memberships"], values):
        window = timedelta(seconds=mass.window_s(interval_s[row["kit_id"]], given))
        spell = Spell(f"{INCIDENT}:{row['incident_id']}", row["joined_at"] - window, row["left_at"])
        found[row["kit_id"]].append(spell)
    return found


async def _variants(connection: Connection, rule: RuleName, values: Mapping[str, Any]) -> dict[int, list[Variant]]:
    found: dict[int, list[Variant]] = defaultdict(list)
    for row in await fetch_dicts(connection, SQL["variants"], values):
        line = row.pop("line")
        found[row.pop("kit_id")].append(Variant(rule=rule, line=None if line is None else Line(line), **row))
    return found

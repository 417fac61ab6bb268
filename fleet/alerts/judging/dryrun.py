"""A dry run: what changed settings would have done over the last days, beside what was done.

It reads history kit by kit within what the caller sees, some kits of a large fleet only, and ends at its deadline with
what it has until then. It writes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import Any

from fleet.alerts.judging import editing
from fleet.alerts.judging.catalogue import CATALOGUE, About, Source
from fleet.alerts.judging.facts import KitFacts
from fleet.alerts.judging.parameters import checked
from fleet.alerts.judging.replay import Episode, SpanStory, Story, Told, ToldStory, play, silent_spans
from fleet.alerts.rules import PRIORITY_OF, Line, Priority, Rule, RuleName
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_dicts
from fleet.errors import InvalidError
from fleet.state.registry.editing import merged

_SQL = load_queries("fleet.alerts.judging", "dryrun.sql")
DEADLINE_S = 15.0
STATEMENT_TIMEOUT_MS = 20_000
MOST_KITS = {Source.HEARTBEAT: 200, Source.CLOCK: 1_000, Source.REPORT: 1_000, Source.BOOKS: 1_000}
"""Kits of one dry run, fewer where every heartbeat is told again; of a larger fleet a sample by number."""
KITS_AT_ONCE = 20
MOST_TOLD = 500
"""Kits listed with what would have opened."""
_HEARTBEAT = ("battery", "charging", "signal_dbm", "network", "storage_free_mb", "uptime_s", "clock_offset_s")


@dataclass(frozen=True, slots=True)
class Order:
    """What to try: changed settings, over how many days, for which kits."""

    changes: Mapping[str, Any]
    days: int
    kits: Sequence[str] | None = None
    organisation: str | None = None
    programme: str | None = None
    kit_type: str | None = None


@dataclass(frozen=True, slots=True)
class KitResult:
    """One kit: what would have opened, and when alerts of the rule did open and clear."""

    kit: str
    would: Sequence[Episode]
    did: Sequence[tuple[datetime, datetime | None]]


@dataclass(slots=True)
class Result:
    """What would have been, of `looked_at` of the `kits` asked for; not `complete` when the time was over before."""

    rule: Rule
    begin: datetime
    end: datetime
    kits: int = 0
    looked_at: int = 0
    complete: bool = True
    opened: int = 0
    cleared: int = 0
    did_open: int = 0
    days: Counter[tuple[str, date]] = field(default_factory=Counter)
    told: list[KitResult] = field(default_factory=list)

    @property
    def per_day(self) -> list[tuple[date, int, int]]:
        """Each day with how many would have opened and how many did."""
        days = sorted({day for _, day in self.days})
        return [(day, self.days["would", day], self.days["did", day]) for day in days]

    def add(self, kit: KitResult) -> None:
        """Count one kit."""
        self.looked_at += 1
        self.opened += len(kit.would)
        self.cleared += sum(each.cleared_at is not None for each in kit.would)
        self.did_open += len(kit.did)
        self.days.update(("would", each.opened_at.astimezone(UTC).date()) for each in kit.would)
        self.days.update(("did", opened_at.astimezone(UTC).date()) for opened_at, _ in kit.did)
        if (kit.would or kit.did) and len(self.told) < MOST_TOLD:
            self.told.append(kit)


async def run(connection: Connection, name: str, order: Order, now: datetime) -> Result:
    """Try it, in the caller's transaction. Raises NotFoundError and InvalidError."""
    row = await editing.find_rule(connection, name)
    about = CATALOGUE[RuleName(name)]
    rule = _tried(row, about, order.changes)
    result = Result(rule, now - timedelta(days=order.days), now)
    await connection.execute(_SQL["limit"], {"timeout": str(STATEMENT_TIMEOUT_MS)})
    kits = await _kits(connection, order, about, result)
    deadline_s = perf_counter() + DEADLINE_S
    for begin in range(0, len(kits), KITS_AT_ONCE):
        if perf_counter() > deadline_s:
            result.complete = False
            break
        await _some(connection, rule, kits[begin : begin + KITS_AT_ONCE], result)
    return result


def _tried(row: editing.RuleRow, about: About, changes: Mapping[str, Any]) -> Rule:
    """The rule as it is set, with the changes laid over it."""
    base = checked(about.parameters, row.parameters)
    parameters = checked(about.parameters, changes.get("parameters") or {}, base=base)
    told = merged(row, changes, ("severity", "for_s", "keep_firing_for_s", "enabled"))
    priority = PRIORITY_OF[told["severity"]] if told["severity"] != row.severity else Priority(row.priority)
    return Rule(about.default.rule, line=Line(row.line), priority=priority, parameters=parameters, **told)


async def _kits(connection: Connection, order: Order, about: About, result: Result) -> list[dict[str, Any]]:
    values = {
        "kits": None if order.kits is None else list(order.kits),
        "organisation": order.organisation,
        "programme": order.programme,
        "kit_type": order.kit_type,
        "begin": result.begin,
        "limit": MOST_KITS[about.source],
    }
    found = await fetch_dicts(connection, _SQL["kits"], values)
    if order.kits is not None and len(found) < len(set(order.kits)):
        missing = sorted(set(order.kits) - {row["kit"] for row in found})
        raise InvalidError("kits", f"no kit {missing[0]}")
    result.kits = found[0]["total"] if found else 0
    return found


async def _some(connection: Connection, rule: Rule, kits: Sequence[Mapping[str, Any]], result: Result) -> None:
    values = {
        "kit_ids": [kit["kit_id"] for kit in kits],
        "begin": result.begin,
        "end": result.end,
        "rule": rule.rule,
    }
    did: dict[int, list[tuple[datetime, datetime | None]]] = defaultdict(list)
    for row in await fetch_dicts(connection, _SQL["did"], values):
        did[row["kit_id"]].append((row["opened_at"], row["cleared_at"]))
    stories = await _stories(connection, rule, kits, result, values)
    for kit in kits:
        story = stories.get(kit["kit_id"])
        would = [] if story is None else play(story, rule, result.end)
        result.add(KitResult(kit["kit"], would, did.get(kit["kit_id"], [])))


async def _stories(
    connection: Connection, rule: Rule, kits: Sequence[Mapping[str, Any]], result: Result, values: dict[str, Any]
) -> dict[int, Story]:
    source = CATALOGUE[rule.rule].source
    if source is Source.BOOKS:
        kinds = [str(kind) for kind in CATALOGUE[rule.rule].kinds]
        spans: dict[int, list[tuple[datetime, datetime | None]]] = defaultdict(list)
        for row in await fetch_dicts(connection, _SQL["findings"], {**values, "kinds": kinds}):
            spans[row["kit_id"]].append((row["opened_at"], row["ended_at"]))
        return {kit_id: SpanStory(kit_id, each) for kit_id, each in spans.items()}
    if rule.rule is RuleName.SILENT:
        heard: dict[int, list[datetime]] = defaultdict(list)
        for row in await fetch_dicts(connection, _SQL["heard"], values):
            heard[row["kit_id"]].append(row["received_at"])
        return {
            kit["kit_id"]: SpanStory(
                kit["kit_id"], silent_spans(heard[kit["kit_id"]], kit["watch_allowance_s"], result.end)
            )
            for kit in kits
            if kit["watch_allowance_s"] is not None and kit["kit_id"] in heard
        }
    return await _told(connection, source, kits, result, values)


async def _told(
    connection: Connection, source: Source, kits: Sequence[Mapping[str, Any]], result: Result, values: dict[str, Any]
) -> dict[int, Story]:
    """Kits that tell their history again, with what the books say of their states since then."""
    messages: dict[int, list[Told]] = defaultdict(list)
    query = "reports" if source is Source.REPORT else "heartbeats"
    for row in await fetch_dicts(connection, _SQL[query], values):
        messages[row["kit_id"]].append(_message(row))
    states: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    for row in await fetch_dicts(connection, _SQL["states"], values):
        states[row["kit_id"]].append((row["at"], row["state"]))
    return {
        kit["kit_id"]: ToldStory(
            _at_begin(kit, states[kit["kit_id"]], result.begin), messages[kit["kit_id"]], states[kit["kit_id"]]
        )
        for kit in kits
    }


def _at_begin(kit: Mapping[str, Any], states: Sequence[tuple[datetime, str]], begin: datetime) -> KitFacts:
    """What the books say; before the first known state it was not in use.

    One that was in use before the history begins and has been heard at all was heard before.
    """
    known = bool(states)
    heard = kit["last_heard_at"] is not None and kit["state_since"] < begin
    return KitFacts(
        kit["kit_id"],
        "unknown" if known else kit["state"],
        kit["state_since"],
        wanted=kit["wanted_components"],
        kit_type=kit["kit_type"],
        watch_interval_s=kit["watch_interval_s"],
        watch_allowance_s=kit["watch_allowance_s"],
        watch_from_clock_s=kit["state_since"].timestamp(),
        heard_clock_s=begin.timestamp() if heard else None,
    )


def _message(row: Mapping[str, Any]) -> Told:
    body = row["body"] if "body" in row else {name: row[name] for name in _HEARTBEAT}
    return Told(row["kind"], row["boot"], row["seq"], row["time"], row["received_at"], body)

"""A dry run: what changed settings would have done over the last days, beside what was done.

It reads history kit by kit within what the caller sees, some kits of a large fleet only, and ends at its deadline with
what it has until then. It writes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import Any

from fleet.alerts import mass
from fleet.alerts.cohorts import Cohort
from fleet.alerts.judging import editing, retelling, together
from fleet.alerts.judging.catalogue import CATALOGUE, About, Source
from fleet.alerts.judging.parameters import able_to_speak, checked
from fleet.alerts.judging.replay import Episode, Played, play
from fleet.alerts.judging.retelling import SQL, Past, TooMuchError
from fleet.alerts.judging.settings import varied
from fleet.alerts.quieting.flapping import Flap
from fleet.alerts.rules import PRIORITY_OF, Line, Priority, Rule, RuleName
from fleet.db.rows import Connection, fetch_dicts
from fleet.errors import InvalidError
from fleet.state.registry.editing import merged

DEADLINE_S = 15.0
GATHERING_S = 5.0
"""For asking of what would have opened whether it is a mass event; beside the time for history."""
STATEMENT_TIMEOUT_MS = 20_000
MOST_KITS = {Source.HEARTBEAT: 200, Source.CLOCK: 1_000, Source.REPORT: 1_000, Source.BOOKS: 1_000}
"""Kits of one dry run, fewer where every heartbeat is told again; of a larger fleet a sample by number."""
KITS_AT_ONCE = 20
MESSAGES_AT_ONCE = 20_000
"""Heartbeats that a batch of kits may be expected to have; it has fewer kits where they are many."""
MOST_TOLD = 500
"""Kits listed with what would have opened."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to try: changed settings, over how many days, for which kits, and whether their variants count."""

    changes: Mapping[str, Any]
    days: int
    kits: Sequence[str] | None = None
    organisation: str | None = None
    programme: str | None = None
    kit_type: str | None = None
    variants: bool = True


@dataclass(frozen=True, slots=True)
class Did:
    """An alert that there was."""

    opened_at: datetime
    cleared_at: datetime | None
    suppressed_by: str | None


@dataclass(frozen=True, slots=True)
class KitResult:
    """One kit: what would have opened, what maintenance would have withheld, and what did open."""

    kit_id: int
    kit: str
    played: Played
    did: Sequence[Did]

    @property
    def would(self) -> Sequence[Episode]:
        """What would have opened."""
        return self.played.episodes


@dataclass(frozen=True, slots=True)
class Kept:
    """What something would have kept quiet: openings of which nobody is told until it is over, or never; openings
    that it would have held back altogether; and of the former those that were told of when it was over."""

    by: str
    suppressed: int
    withheld: int
    heard_later: int


@dataclass(slots=True)
class Result:
    """What would have been, of `looked_at` of the `kits` asked for; not `complete` when the time was over before.

    `incidents` counts mass events that the settings would have made of those kits, beside those that there were.
    """

    rule: Rule
    begin: datetime
    end: datetime
    kits: int = 0
    looked_at: int = 0
    complete: bool = True
    varied: int = 0
    incidents: int = 0
    outages: int = 0
    deaf_s: float = 0.0
    known_from: datetime | None = None
    found: list[KitResult] = field(default_factory=list)

    @property
    def episodes(self) -> Iterator[Episode]:
        """Everything that would have opened."""
        return (episode for kit in self.found for episode in kit.would)

    @property
    def stride(self) -> float:
        """Of how many kits each one that was looked at speaks."""
        return self.kits / self.looked_at if self.looked_at else 1.0

    @property
    def opened(self) -> int:
        """Alerts that would have opened."""
        return sum(1 for _ in self.episodes)

    @property
    def cleared(self) -> int:
        """Those of them that would have cleared."""
        return sum(each.cleared_at is not None for each in self.episodes)

    @property
    def heard(self) -> int:
        """Those that anybody would have been told of: not suppressed, or not any more while they held."""
        return sum(each.heard for each in self.episodes)

    @property
    def did_open(self) -> int:
        """Alerts that did open."""
        return sum(len(kit.did) for kit in self.found)

    @property
    def kept(self) -> list[Kept]:
        """By what they would have been kept quiet, the most first."""
        suppressed = Counter(each.suppressed_by for each in self.episodes if each.suppressed_by is not None)
        later = Counter(each.suppressed_by for each in self.episodes if each.heard_at is not None)
        withheld: Counter[str] = Counter()
        for kit in self.found:
            withheld.update(kit.played.withheld)
        names = sorted({*suppressed, *withheld}, key=lambda by: (-suppressed[by] - withheld[by], by))
        return [Kept(by, suppressed[by], withheld[by], later[by]) for by in names]

    @property
    def per_day(self) -> list[tuple[date, int, int, int]]:
        """Each day (UTC) with how many would have opened, of how many of those one was told, and how many did."""
        days: Counter[tuple[str, date]] = Counter()
        for each in self.episodes:
            days["would", _day(each.opened_at)] += 1
            if each.heard:
                days["heard", _day(each.heard_at or each.opened_at)] += 1
        days.update(("did", _day(each.opened_at)) for kit in self.found for each in kit.did)
        return [
            (day, days["would", day], days["heard", day], days["did", day]) for day in sorted({day for _, day in days})
        ]

    @property
    def told(self) -> list[KitResult]:
        """Kits with anything to tell, a bounded number."""
        telling = (kit for kit in self.found if kit.would or kit.did or kit.played.withheld)
        return [kit for kit, _ in zip(telling, range(MOST_TOLD), strict=False)]


async def run(connection: Connection, name: str, order: Order, now: datetime) -> Result:
    """Try it, in the caller's transaction. Raises NotFoundError and InvalidError."""
    row = await editing.find_rule(connection, name)
    about = CATALOGUE[RuleName(name)]
    rule = _tried(row, about, order.changes)
    flap = Flap(*merged(row, order.changes, ("flap_openings", "flap_window_s", "flap_quiet_s")).values())
    result = Result(rule, now - timedelta(days=order.days), now)
    await connection.execute(SQL["limit"], {"timeout": str(STATEMENT_TIMEOUT_MS)})
    kits = await _kits(connection, order, about, result)
    deadline_s = perf_counter() + DEADLINE_S
    past = await retelling.past(connection, rule.rule, kits, result.begin, result.end)
    result.outages, result.deaf_s, result.known_from = len(past.outages), past.deaf_s, past.known_from
    trial = _Trial(rule, flap, past, order.variants, deadline_s)
    for some in _batches(kits, about.source, order.days):
        if perf_counter() > deadline_s:
            result.complete = False
            break
        try:
            await _some(connection, trial, some, result)
        except TooMuchError:
            result.complete = False
    await asyncio.to_thread(_gather, past, kits, result)
    return result


@dataclass(frozen=True, slots=True)
class _Trial:
    """What is tried, and until when, by this process's own clock."""

    rule: Rule
    flap: Flap
    past: Past
    with_variants: bool
    deadline_s: float

    def rule_of(self, kit_id: int) -> Rule:
        """The rule for one kit."""
        return varied(self.rule, self.past.variants.get(kit_id, ())) if self.with_variants else self.rule


def _tried(row: editing.RuleRow, about: About, changes: Mapping[str, Any]) -> Rule:
    """The rule as it is set, with the changes laid over it."""
    base = checked(about.parameters, row.parameters)
    parameters = able_to_speak(checked(about.parameters, changes.get("parameters") or {}, base=base))
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
    found = await fetch_dicts(connection, SQL["kits"], values)
    if order.kits is not None and len(found) < len(set(order.kits)):
        missing = sorted(set(order.kits) - {row["kit"] for row in found})
        raise InvalidError("kits", f"no kit {missing[0]}")
    result.kits = found[0]["total"] if found else 0
    return found


def _batches(kits: Sequence[Mapping[str, Any]], source: Source, days: int) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Kits some at a time, so that what they told fits into memory."""
    some: list[Mapping[str, Any]] = []
    expected = 0.0
    for kit in kits:
        each = days * 86_400 / max(kit["watch_interval_s"] or 300, 1) if source is Source.HEARTBEAT else 0.0
        if some and (len(some) == KITS_AT_ONCE or expected + each > MESSAGES_AT_ONCE):
            yield some
            some, expected = [], 0.0
        some.append(kit)
        expected += each
    if some:
        yield some


async def _some(connection: Connection, trial: _Trial, kits: Sequence[Mapping[str, Any]], result: Result) -> None:
    past = trial.past
    values = {"kit_ids": [kit["kit_id"] for kit in kits], "begin": past.begin, "end": past.end, "rule": past.rule}
    did: dict[int, list[Did]] = defaultdict(list)
    for row in await fetch_dicts(connection, SQL["did"], values):
        did[row.pop("kit_id")].append(Did(**row))
    stories = await retelling.stories(connection, past, kits)
    for kit in kits:
        if perf_counter() > trial.deadline_s:
            result.complete = False
            return
        kit_id = kit["kit_id"]
        rule, story = trial.rule_of(kit_id), stories.get(kit_id)
        spells = past.spells.get(kit_id, ())
        played = Played() if story is None else play(story, rule, past.end, spells, trial.flap)
        result.found.append(KitResult(kit_id, kit["kit"], played, did.get(kit_id, [])))
        result.looked_at += 1
        result.varied += rule is not trial.rule


def _gather(past: Past, kits: Sequence[Mapping[str, Any]], result: Result) -> None:
    """Ask of what would have opened whether it is a mass event; sizes of cohorts are those of what was looked at.

    It computes for seconds, and touches nothing but `result`: in a thread of its own, so that others are served.
    """
    deadline_s = perf_counter() + GATHERING_S
    interval_s = {kit["kit_id"]: kit["watch_interval_s"] or 0.0 for kit in kits}
    silent = past.rule is RuleName.SILENT
    sizes: Counter[Cohort] = Counter()
    opened = []
    for kit in result.found:
        traits = past.traits.get(kit.kit_id, frozenset())
        sizes.update(traits)
        window_s = mass.window_s(interval_s[kit.kit_id] if silent else 0.0, past.mass)
        opened += [together.Opened(traits, window_s, episode) for episode in kit.would]
    estimated = {cohort: round(count * result.stride) for cohort, count in sizes.items()}
    gathered = together.gather(opened, estimated, past.mass, result.stride, deadline_s)
    result.incidents, result.complete = gathered.incidents, result.complete and gathered.complete


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()

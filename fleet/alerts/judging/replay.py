"""What a rule would have done: a kit's history is told again, and the same judge and the same step look at it. Pure.

The clock is that of the history. Our own outages are not in it, so what was not heard because of them counts as not
heard. What was there before the history begins is not known: nothing holds before the first message of a kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from fleet.alerts.actions import ClearAlert, DropPending, HoldPending, OpenAlert, RefreshEvidence, SetRecovering
from fleet.alerts.evaluate import judgement_of, wake
from fleet.alerts.judging.advance import Judgement, advance
from fleet.alerts.judging.catalogue import CATALOGUE, Source
from fleet.alerts.judging.facts import Clock, Condition, KitFacts, Standing
from fleet.alerts.judging.parameters import LONGEST_WINDOW_S
from fleet.alerts.rules import Rule
from fleet.protocol.times import Position

MOST_STEPS = 100_000
"""Looks at one kit; what is left of its history is not told."""
_HEARTBEAT = ("battery", "charging", "signal_dbm", "network", "storage_free_mb", "uptime_s", "clock_offset_s")


@dataclass(frozen=True, slots=True)
class Told:
    """One stored message. `body` is that of a report, or the values of a heartbeat by name."""

    kind: str
    boot: str
    seq: int
    time: datetime
    received_at: datetime
    body: Any

    @property
    def position(self) -> Position:
        """Where it stands among those of its kind."""
        return Position(self.boot, self.seq, self.time, self.received_at)


@dataclass(slots=True)
class Episode:
    """An alert that would have been; `cleared_at` is None when it would stand at the end."""

    opened_at: datetime
    severity: str
    evidence: Mapping[str, Any]
    cleared_at: datetime | None = None
    resolution: str | None = None


class Story(Protocol):
    """A kit's history in order: when something is told, and what may be said of the kit then."""

    def moments(self) -> Sequence[datetime]:
        """When something was told, in order."""
        ...

    def go_to(self, at: datetime) -> None:
        """Take in what was told up to then."""
        ...

    def judge(self, rule: Rule, standing: Standing, at: datetime) -> Judgement:
        """What the rule finds then."""
        ...

    def wake(self, rule: Rule, at: datetime) -> datetime | None:
        """When time alone may change that."""
        ...


def play(story: Story, rule: Rule, until: datetime) -> list[Episode]:
    """The alerts of one kit by these settings."""
    player = _Player(story, rule)
    for at in [*(each for each in story.moments() if each < until), until]:
        while player.next_look is not None and player.next_look < at:
            player.look(player.next_look)
        story.go_to(at)
        player.look(at)
        if player.steps > MOST_STEPS:
            break
    return player.episodes


@dataclass(slots=True)
class _Player:
    """What stands while the history is told, as the database would have it."""

    story: Story
    rule: Rule
    standing: Standing = field(default_factory=Standing)
    episodes: list[Episode] = field(default_factory=list)
    next_look: datetime | None = None
    steps: int = 0
    _due_at: datetime | None = None

    def look(self, at: datetime) -> None:
        """Judge and step at this moment."""
        self.steps += 1
        judgement = self.story.judge(self.rule, self.standing, at)
        for action in advance(judgement, self.standing, self.rule, at):
            self._carry_out(action, at)
        soonest = at + timedelta(seconds=1)
        moments = [each for each in (self._due_at, self.story.wake(self.rule, at)) if each is not None]
        self.next_look = max(soonest, min(moments)) if moments else None

    def _carry_out(self, action: Any, at: datetime) -> None:
        match action:
            case HoldPending():
                self.standing = replace(self.standing, pending_since=action.since)
                self._due_at = action.due_at
            case DropPending():
                self.standing, self._due_at = Standing(), None
            case OpenAlert():
                self.episodes.append(Episode(at, action.severity or self.rule.severity, action.evidence))
                self.standing = Standing(
                    alert_id=len(self.episodes),
                    evidence=action.evidence,
                    severity=action.severity,
                    version=action.version,
                )
                self._due_at = None
            case SetRecovering():
                self.standing = replace(self.standing, recovering_since=action.since)
                self._due_at = action.due_at
            case RefreshEvidence():
                self.standing = replace(self.standing, evidence=action.evidence, severity=action.severity)
            case ClearAlert():
                self.episodes[-1].cleared_at, self.episodes[-1].resolution = at, action.resolution.value
                self.standing, self._due_at = Standing(), None


class ToldStory:
    """A kit that tells of itself: its messages are folded as they came, the newer of a kind counts."""

    def __init__(self, kit: KitFacts, messages: Iterable[Told], states: Sequence[tuple[datetime, str]] = ()) -> None:
        self._facts = kit
        self._left = sorted(messages, key=lambda told: told.received_at, reverse=True)
        self._states = sorted(states, reverse=True)
        told_at = {each.received_at for each in self._left}
        self._moments = sorted({kit.state_since} | told_at | {at for at, _ in states})
        self._newest: dict[str, Position] = {}
        self._boots: dict[str, datetime] = {}
        self._days: set[date] = set()

    def moments(self) -> Sequence[datetime]:
        """When something came or its state changed."""
        return self._moments

    def go_to(self, at: datetime) -> None:
        """Fold what came up to then."""
        changes: dict[str, Any] = {}
        while self._states and self._states[-1][0] <= at:
            since, state = self._states.pop()
            changes |= {"state": state, "state_since": since, "watch_from_clock_s": since.timestamp()}
        while self._left and self._left[-1].received_at <= at:
            changes |= self._taken(self._left.pop())
        if changes:
            self._facts = replace(self._facts, **changes)

    def judge(self, rule: Rule, standing: Standing, at: datetime) -> Judgement:
        """As the worker judges."""
        return judgement_of(self._facts, rule, standing, _clock(at), at)

    def wake(self, rule: Rule, at: datetime) -> datetime | None:
        """As the worker looks again; and when a kit that was never heard should have been."""
        moments = [wake(self._facts, {rule.rule: rule}, at)]
        kit = self._facts
        if CATALOGUE[rule.rule].source is Source.CLOCK and kit.heard_clock_s is None and kit.watch_allowance_s:
            wait_s = max(kit.watch_allowance_s, getattr(rule.parameters, "at_least_s", 0.0))
            moments.append(kit.state_since + timedelta(seconds=wait_s + 1))
        return min((each for each in moments if each is not None and each > at), default=None)

    def _taken(self, told: Told) -> dict[str, Any]:
        heard: dict[str, Any] = {"heard_clock_s": told.received_at.timestamp(), "last_heard_at": told.received_at}
        newest = self._newest.get(told.kind)
        if told.kind in ("software", "pairing"):
            self._days.add(told.time.astimezone(UTC).date())
            heard["used_days"] = frozenset(self._days)
        if told.kind == "software":
            self._boots[told.boot] = min(told.time, self._boots.get(told.boot, told.time))
            after = told.time - timedelta(seconds=LONGEST_WINDOW_S)
            heard["boots"] = tuple(sorted(began for began in self._boots.values() if began > after))
        if newest is not None and not told.position.newer_than(newest):
            return heard
        self._newest[told.kind] = told.position
        return heard | _latest(told)


class SpanStory:
    """A condition that held from time to time, whatever found it: findings that stood, silence."""

    def __init__(self, kit_id: int, spans: Iterable[tuple[datetime, datetime | None]]) -> None:
        self._kit_id = kit_id
        self._spans = sorted(spans, key=lambda span: span[0])
        self._at: datetime | None = None

    def moments(self) -> Sequence[datetime]:
        """Where one begins or ends."""
        return sorted({at for span in self._spans for at in span if at is not None})

    def go_to(self, at: datetime) -> None:
        """Nothing is taken in."""

    def judge(self, rule: Rule, standing: Standing, at: datetime) -> Judgement:
        """Whether one of them is on."""
        on = any(begin <= at and (end is None or at < end) for begin, end in self._spans)
        return Judgement(self._kit_id, Condition({}) if on else None, watched=True, may_open=True)

    def wake(self, rule: Rule, at: datetime) -> datetime | None:
        """Never."""
        return None


def silent_spans(
    heard_at: Sequence[datetime], allowance_s: float, until: datetime
) -> list[tuple[datetime, datetime | None]]:
    """When a kit heard at these moments, in order, was silent for longer than it may be."""
    spans: list[tuple[datetime, datetime | None]] = []
    for before, after in zip(heard_at, [*heard_at[1:], until], strict=True):
        deadline = before + timedelta(seconds=allowance_s)
        if deadline < after:
            spans.append((deadline, None if after == until else after))
    return spans


def by_day(episodes: Iterable[tuple[datetime, Any]]) -> dict[date, int]:
    """How many of them begin on each day (UTC)."""
    days: dict[date, int] = defaultdict(int)
    for opened_at, _ in episodes:
        days[opened_at.astimezone(UTC).date()] += 1
    return dict(days)


def _latest(told: Told) -> dict[str, Any]:
    """What becomes the latest by a message."""
    if told.kind == "heartbeat":
        values = {name: told.body[name] for name in _HEARTBEAT}
        return {**values, "time": told.time, "received_at": told.received_at, "boot": told.boot}
    name = {"software": "software", "pairing": "peripherals", "update": "update"}[told.kind]
    return {name: told.body, f"{name}_at": told.time}


def _clock(at: datetime) -> Clock:
    return Clock(at.timestamp(), 0.0, 0.0, hears=True)

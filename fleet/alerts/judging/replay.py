"""What a rule would have done: a kit's history is told again, and the same judge and the same step look at it. Pure.

The clock is the listening clock as it was then, and what kept the kit's alerts quiet keeps them quiet here as well.
What was there before the history begins is not known: nothing holds before the first message of a kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from fleet.alerts.actions import ClearAlert, DropPending, HoldPending, OpenAlert, RefreshEvidence, SetRecovering
from fleet.alerts.evaluate import judgement_of, wake
from fleet.alerts.judging.advance import Judgement, advance
from fleet.alerts.judging.catalogue import CATALOGUE, Source
from fleet.alerts.judging.facts import Condition, KitFacts, Standing
from fleet.alerts.judging.hearing import LATEST, Hearing, Span
from fleet.alerts.judging.parameters import LONGEST_WINDOW_S
from fleet.alerts.judging.spells import Spell, keeper
from fleet.alerts.quieting.flapping import BY_ITSELF, Clearing, Flap, flaps, must_wait, quiet_at, since
from fleet.alerts.rules import Rule
from fleet.protocol.times import Position

MOST_STEPS = 100_000
"""Looks at one kit; what is left of its history is not told."""
MOST_PAUSES = 100
"""Times for which a tablet was switched off that are remembered."""
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
    """An alert that would have been; `cleared_at` is None when it would stand at the end.

    `suppressed_by` kept it quiet when it opened; at `heard_at` that was over while it held, and it would have been
    told of.
    """

    opened_at: datetime
    severity: str
    evidence: Mapping[str, Any]
    cleared_at: datetime | None = None
    resolution: str | None = None
    suppressed_by: str | None = None
    heard_at: datetime | None = None
    flapping: bool = False

    @property
    def heard(self) -> bool:
        """Whether anybody would have been told of it."""
        return self.suppressed_by is None or self.heard_at is not None


@dataclass(slots=True)
class Played:
    """What would have become of a kit; `withheld` counts, by what, openings that maintenance without evaluation held
    back, whether or not they came after it."""

    episodes: list[Episode] = field(default_factory=list)
    withheld: Counter[str] = field(default_factory=Counter)


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


def play(story: Story, rule: Rule, until: datetime, spells: Sequence[Spell] = (), flap: Flap | None = None) -> Played:
    """The alerts of one kit by these settings; `flap` is what flapping is by them."""
    player = _Player(story, rule, spells, flap)
    edges = {at for spell in spells for at in (spell.begin, spell.end) if at is not None and spell.begin < until}
    moments = sorted({at for at in (*story.moments(), *edges) if at < until})
    for at in [*moments, until]:
        while player.next_look is not None and player.next_look < at:
            player.look(player.next_look)
        story.go_to(at)
        player.look(at)
        if player.steps > MOST_STEPS:
            break
    return player.played


@dataclass(slots=True)
class _Player:
    """What stands while the history is told, as the database would have it."""

    story: Story
    rule: Rule
    spells: Sequence[Spell] = ()
    flap: Flap | None = None
    standing: Standing = field(default_factory=Standing)
    played: Played = field(default_factory=Played)
    next_look: datetime | None = None
    steps: int = 0
    _due_at: datetime | None = None
    _withholding: Spell | None = None

    def look(self, at: datetime) -> None:
        """Judge and step at this moment."""
        self.steps += 1
        judgement = self.story.judge(self.rule, self.standing, at)
        for action in advance(judgement, self.standing, self.rule, at):
            self._carry_out(self._quieted(action, at), at)
        self._lift(at)
        soonest = at + timedelta(seconds=1)
        moments = [each for each in (self._due_at, self.story.wake(self.rule, at)) if each is not None]
        self.next_look = max(soonest, min(moments)) if moments else None

    def _quieted(self, action: Any, at: datetime) -> Any:
        """What becomes of an action where maintenance withholds it, or flapping goes on."""
        if isinstance(action, OpenAlert | HoldPending):
            severity = getattr(action, "severity", None) or self.rule.severity
            spell = keeper(self.spells, severity, at)
            if spell is not None and not spell.opens:
                if spell is not self._withholding:
                    self._withholding = spell
                    self.played.withheld[spell.by] += 1
                return DropPending(action.kit_id, action.rule)
        if isinstance(action, ClearAlert) and self.flap is not None:
            flapping = self.played.episodes[-1].flapping
            asked = Clearing(action.alert_id, flapping, self.standing.recovering_since, action.resolution)
            if must_wait(asked, self.flap, at):
                due_at = quiet_at(asked, self.flap, at)
                return SetRecovering(action.alert_id, self.standing.recovering_since or at, due_at)
        return action

    def _lift(self, at: datetime) -> None:
        """Let what stands suppressed be heard once nothing keeps it quiet."""
        if self.standing.alert_id is None or self.standing.recovering_since is not None:
            return
        episode = self.played.episodes[-1]
        if not episode.heard and keeper(self.spells, episode.severity, at) is None:
            episode.heard_at = at

    def _open(self, action: OpenAlert, at: datetime) -> None:
        episodes = self.played.episodes
        severity = action.severity or self.rule.severity
        spell = keeper(self.spells, severity, at)
        by = None if spell is None else spell.by
        flapping = self.flap is not None and flaps(self._opened_lately(self.flap, at), self.flap)
        episodes.append(Episode(at, severity, action.evidence, suppressed_by=by, flapping=flapping))
        self.standing = Standing(
            alert_id=len(episodes), evidence=action.evidence, severity=action.severity, version=action.version
        )
        self._due_at = None

    def _opened_lately(self, flap: Flap, at: datetime) -> int:
        after = since(at, flap)
        return sum(each.opened_at > after and each.resolution in BY_ITSELF for each in self.played.episodes)

    def _carry_out(self, action: Any, at: datetime) -> None:
        match action:
            case HoldPending():
                self.standing = replace(self.standing, pending_since=self.standing.pending_since or action.since)
                self._due_at = action.due_at
            case DropPending():
                self.standing, self._due_at = Standing(), None
            case OpenAlert():
                self._open(action, at)
            case SetRecovering():
                self.standing = replace(self.standing, recovering_since=action.since, clears_at=action.due_at)
                self._due_at = action.due_at
            case RefreshEvidence():
                self.standing = replace(self.standing, evidence=action.evidence, severity=action.severity)
                self.played.episodes[-1].severity = action.severity or self.rule.severity
            case ClearAlert():
                episode = self.played.episodes[-1]
                episode.cleared_at, episode.resolution = at, action.resolution.value
                self.standing, self._due_at = Standing(), None


class ToldStory:
    """A kit that tells of itself: its messages are folded as they came, the newer of a kind counts."""

    def __init__(
        self,
        kit: KitFacts,
        messages: Iterable[Told],
        states: Sequence[tuple[datetime, str]] = (),
        hearing: Hearing | None = None,
    ) -> None:
        self._facts = kit
        self._hearing = hearing or Hearing()
        self._left = sorted(messages, key=lambda told: told.received_at, reverse=True)
        self._states = sorted(states, reverse=True)
        told_at = {each.received_at for each in self._left}
        self._moments = sorted({kit.state_since} | told_at | {at for at, _ in states})
        self._newest: dict[str, Position] = {}
        self._boots: dict[str, datetime] = {}
        self._days: set[date] = set()
        self._pauses: tuple[tuple[datetime, datetime], ...] = ()

    def moments(self) -> Sequence[datetime]:
        """When something came or its state changed."""
        return self._moments

    def go_to(self, at: datetime) -> None:
        """Fold what came up to then."""
        changes: dict[str, Any] = {}
        while self._states and self._states[-1][0] <= at:
            since, state = self._states.pop()
            changes |= {"state": state, "state_since": since, "watch_from_clock_s": self._hearing.clock_s(since)}
        while self._left and self._left[-1].received_at <= at:
            changes |= self._taken(self._left.pop())
        if changes:
            self._facts = replace(self._facts, **changes)

    def judge(self, rule: Rule, standing: Standing, at: datetime) -> Judgement:
        """As the worker judges."""
        return judgement_of(self._facts, rule, standing, self._hearing.clock(at), at)

    def wake(self, rule: Rule, at: datetime) -> datetime | None:
        """As the worker looks again; and when a kit that was never heard should have been."""
        moments = [wake(self._facts, {rule.rule: rule}, at)]
        kit = self._facts
        if CATALOGUE[rule.rule].source is Source.CLOCK and kit.heard_clock_s is None and kit.watch_allowance_s:
            wait_s = max(kit.watch_allowance_s, getattr(rule.parameters, "at_least_s", 0.0))
            due_at = self._hearing.silent_from(kit.state_since, wait_s, kit.watch_interval_s or 0.0, LATEST)
            moments.append(None if due_at is None else due_at + timedelta(seconds=1))
        return min((each for each in moments if each is not None and each > at), default=None)

    def _taken(self, told: Told) -> dict[str, Any]:
        heard_clock_s = self._hearing.clock_s(told.received_at)
        heard: dict[str, Any] = {"heard_clock_s": heard_clock_s, "last_heard_at": told.received_at}
        newest = self._newest.get(told.kind)
        if told.kind in ("software", "pairing"):
            self._days.add(told.time.astimezone(UTC).date())
            heard["used_days"] = frozenset(self._days)
        if told.kind == "software":
            self._boots[told.boot] = min(told.time, self._boots.get(told.boot, told.time))
            after = min(told.time, told.received_at) - timedelta(seconds=LONGEST_WINDOW_S)
            heard["boots"] = tuple(sorted(began for began in self._boots.values() if began > after))
        if newest is not None and not told.position.newer_than(newest):
            return heard
        self._newest[told.kind] = told.position
        if told.kind == "heartbeat" and newest is not None and newest.boot != told.boot:
            off_at = told.received_at - (told.time - newest.time)
            self._pauses = (*self._pauses, (off_at, told.received_at))[-MOST_PAUSES:]
            heard["pauses"] = self._pauses
        return heard | _latest(told)


class SpanStory:
    """A condition that held from time to time, whatever found it: findings that stood, silence.

    `used` are the times in which it counts; None is always.
    """

    def __init__(self, kit_id: int, spans: Iterable[Span], used: Sequence[Span] | None = None) -> None:
        self._kit_id = kit_id
        self._spans = sorted(spans, key=lambda span: span[0])
        self._used = used

    def moments(self) -> Sequence[datetime]:
        """Where one begins or ends."""
        return sorted({at for span in (*self._spans, *(self._used or ())) for at in span if at is not None})

    def go_to(self, at: datetime) -> None:
        """Nothing is taken in."""

    def judge(self, rule: Rule, standing: Standing, at: datetime) -> Judgement:
        """Whether one of them is on."""
        on = rule.enabled and _during(self._spans, at)
        watched = self._used is None or _during(self._used, at)
        return Judgement(self._kit_id, Condition({}) if on else None, watched, may_open=True)

    def wake(self, rule: Rule, at: datetime) -> datetime | None:
        """Never."""
        return None


def _during(spans: Iterable[Span], at: datetime) -> bool:
    return any(begin <= at and (end is None or at < end) for begin, end in spans)


def _latest(told: Told) -> dict[str, Any]:
    """What becomes the latest by a message."""
    if told.kind == "heartbeat":
        values = {name: told.body[name] for name in _HEARTBEAT}
        return {**values, "time": told.time, "received_at": told.received_at, "boot": told.boot}
    name = {"software": "software", "pairing": "peripherals", "update": "update"}[told.kind]
    return {name: told.body, f"{name}_at": told.time}

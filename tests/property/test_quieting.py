"""Suppression only ever narrows; recurrences are those of another implementation of RFC 5545."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fleet.alerts.quieting import flapping
from fleet.alerts.quieting.flapping import Clearing, Flap
from fleet.alerts.quieting.recurrence import occurrences, parse
from fleet.alerts.quieting.suppress import SEVERITIES, Cover, Opening, Shelf, Suppression, graver, suppressor
from fleet.alerts.rules import Resolution

ZONE = ZoneInfo("Europe/Copenhagen")
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
FLAP = Flap(openings=3, window_s=20 * 60, quiet_s=5 * 60)
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@st.composite
def rules(draw: st.DrawFn) -> str:
    """An RRULE of our part of the standard."""
    frequency = draw(st.sampled_from(("DAILY", "WEEKLY", "MONTHLY")))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 5))}"]
    days = draw(st.lists(st.sampled_from(DAYS), unique=True, max_size=3))
    if days and frequency == "MONTHLY":
        # All with an ordinal or none: of a mixture dateutil takes what is both, the standard what is either.
        ordinals = st.sampled_from(("1", "2", "-1")) if draw(st.booleans()) else st.just("")
        parts.append("BYDAY=" + ",".join(draw(ordinals) + day for day in days))
    elif days:
        parts.append("BYDAY=" + ",".join(days))
    elif frequency == "MONTHLY" and draw(st.booleans()):
        numbers = draw(st.lists(st.sampled_from((1, 15, 28, 30, 31, -1)), unique=True, min_size=1, max_size=3))
        parts.append("BYMONTHDAY=" + ",".join(map(str, numbers)))
    if draw(st.booleans()):
        parts.append(f"COUNT={draw(st.integers(1, 8))}")
    return ";".join(parts)


@given(rules(), st.integers(0, 2 * 365 * 24 * 60))
@example("FREQ=MONTHLY;BYMONTHDAY=31", 30 * 24 * 60 + 90)
def test_recurrences_are_those_of_dateutil(rule: str, minute: int) -> None:
    begins_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    local = begins_at.astimezone(ZONE).replace(tzinfo=None)
    assume(local.replace(tzinfo=ZONE).astimezone(UTC) == begins_at)
    ours = [each.begins_at for each in islice(occurrences(begins_at, timedelta(minutes=1), parse(rule)), 12)]
    theirs = [each.replace(tzinfo=ZONE).astimezone(UTC) for each in islice(rrulestr(rule, dtstart=local), 12)]
    assert ours == theirs


@dataclass
class Stands:
    """One alert, as a tick leaves it."""

    severity: str
    suppressed_by: str | None
    flapping: bool = False
    gone_since: datetime | None = None


@dataclass
class Told:
    """What somebody heard: when an alert opened for them, or was let be heard."""

    heard: list[datetime] = field(default_factory=list)
    alert: Stands | None = None
    openings: list[datetime] = field(default_factory=list)


@dataclass(frozen=True)
class Standing:
    """What is on at a moment."""

    cover: Cover
    begins_at: datetime
    ends_at: datetime


minutes = st.integers(0, 60).map(lambda count: BEGIN + timedelta(minutes=count))
severities = st.sampled_from(SEVERITIES)


@st.composite
def windows(draw: st.DrawFn) -> Standing:
    """A window for the kit or for another, for all rules or some."""
    begins_at, ends_at = sorted((draw(minutes), draw(minutes)))
    names = draw(st.sampled_from((None, frozenset({"silent"}), frozenset({"storage_low"}))))
    cover = Cover(draw(st.sampled_from((1, 2))), draw(st.integers(1, 9)), draw(st.booleans()), names)
    return Standing(cover, begins_at, ends_at)


shelves = st.builds(
    Shelf,
    kit_id=st.sampled_from((1, 2)),
    rule=st.sampled_from(("silent", "storage_low")),
    until=minutes,
    severity=severities,
)
reports = st.lists(st.none() | severities, min_size=1, max_size=60)


@dataclass(frozen=True)
class Moment:
    """What keeps quiet at a moment."""

    now: datetime
    covers: list[Cover]
    shelves: list[Shelf]
    incident: int | None
    flap: Flap

    def reason(self, severity: str) -> Suppression | None:
        """What keeps an alert quiet; a mass event speaks for whatever nothing else does."""
        found = suppressor(Opening(1, "silent", severity), self.covers, self.shelves, self.now)
        return found if found or self.incident is None else Suppression(f"incident:{self.incident}")


def played(
    reports: Iterable[str | None],
    windows: list[Standing],
    shelves: list[Shelf],
    flap: Flap,
    incidents: Sequence[tuple[datetime, datetime]] = (),
) -> Told:
    """One kit and rule, a report and a tick every minute: how grave it is, or None when all is well."""
    told = Told()
    for number, severity in enumerate(reports):
        now = BEGIN + timedelta(minutes=number)
        covers = [each.cover for each in windows if each.begins_at <= now < each.ends_at]
        incident = next((at for at, (begins, ends) in enumerate(incidents) if begins <= now < ends), None)
        _step(told, severity, Moment(now, covers, shelves, incident, flap))
    return told


def _step(told: Told, severity: str | None, at: Moment) -> None:
    alert, now, flap = told.alert, at.now, at.flap
    if severity is None:
        if alert is not None and _may_clear(alert, flap, now):
            told.alert = None
        return
    reason = at.reason(severity)
    if alert is None:
        _open(told, severity, reason, flap, now)
        return
    alert.severity, alert.gone_since = severity, None
    if alert.suppressed_by is not None:
        assert reason is None or reason.by
        alert.suppressed_by = None if reason is None else reason.by
        if reason is None:
            told.heard.append(now)


def _open(told: Told, severity: str, reason: Suppression | None, flap: Flap, now: datetime) -> None:
    if reason is not None:
        assert reason.by.startswith(("maintenance:", "shelved:", "incident:"))
        if not reason.opens:
            return
    lately = sum(at > flapping.since(now, flap) for at in told.openings)
    told.openings.append(now)
    told.alert = Stands(severity, reason.by if reason else None, flapping.flaps(lately, flap))
    if reason is None:
        told.heard.append(now)


def _may_clear(alert: Stands, flap: Flap, now: datetime) -> bool:
    alert.gone_since = alert.gone_since or now
    return not flapping.must_wait(Clearing(1, alert.flapping, alert.gone_since, Resolution.PROOF), flap, now)


NEVER = Flap(openings=1000, window_s=60, quiet_s=0)


incidents = st.lists(st.tuples(minutes, minutes).map(lambda both: (min(both), max(both))), max_size=2)


@given(reports, st.lists(windows(), max_size=4), st.lists(shelves, max_size=3), incidents, st.booleans())
def test_suppression_only_narrows(
    reports: list[str | None],
    windows: list[Standing],
    shelves: list[Shelf],
    incidents: list[tuple[datetime, datetime]],
    flaps: bool,
) -> None:
    """Whatever is heard with suppression belongs to a fault that was heard without, at the same time or later."""
    plain = played(reports, [], [], NEVER)
    quiet = played(reports, windows, shelves, FLAP if flaps else NEVER, incidents)
    assert len(quiet.heard) <= len(plain.heard)
    for mine in quiet.heard:
        number = round((mine - BEGIN).total_seconds() / 60)
        assert reports[number] is not None, "heard while all was well"
    earlier = zip(plain.heard, quiet.heard, strict=False)
    assert all(first <= mine for first, mine in earlier), "heard sooner than without"
    assert len(quiet.openings) <= len(plain.openings)


def minute(number: int) -> datetime:
    """So many minutes after the beginning."""
    return BEGIN + timedelta(minutes=number)


WORK = Standing(Cover(1, 1, True, None), minute(0), minute(15))
REBUILDING = Standing(Cover(1, 1, False, None), minute(0), minute(15))


@pytest.mark.parametrize(
    ("windows", "shelves", "incidents", "flap", "heard"),
    [
        ([], [], [], NEVER, [5, 25]),
        ([WORK], [], [], NEVER, [25]),
        ([REBUILDING], [], [], NEVER, [25]),
        ([], [Shelf(1, "silent", minute(15), "major")], [], NEVER, [25]),
        ([], [Shelf(1, "silent", minute(30), "major")], [], NEVER, [5 + 25]),
        ([], [], [(minute(0), minute(15))], NEVER, [25]),
        ([], [], [], Flap(openings=1, window_s=3600, quiet_s=3600), [5]),
    ],
    ids=["nothing", "maintenance", "without evaluation", "shelf", "shelf that ends", "mass event", "flapping"],
)
def test_each_reason_narrows(
    windows: list[Standing],
    shelves: list[Shelf],
    incidents: list[tuple[datetime, datetime]],
    flap: Flap,
    heard: list[int],
) -> None:
    """What the property above says of all of them is not said of nothing."""
    reports = [*[None] * 5, *["major"] * 5, *[None] * 15, *["major"] * 15]
    assert played(reports, windows, shelves, flap, incidents).heard == [minute(number) for number in heard]


@given(severities, severities, minutes, minutes)
def test_a_shelf_never_hides_what_got_graver(severity: str, shelved_at: str, until: datetime, now: datetime) -> None:
    found = suppressor(Opening(1, "silent", severity), [], [Shelf(1, "silent", until, shelved_at)], now)
    assert (found is None) == (now >= until or graver(severity, shelved_at))


@given(st.lists(windows(), max_size=5), st.lists(shelves, max_size=5), severities, minutes)
def test_what_is_quiet_says_by_what_is_there(
    windows: list[Standing], shelves: list[Shelf], severity: str, now: datetime
) -> None:
    covers = [each.cover for each in windows]
    found = suppressor(Opening(1, "silent", severity), covers, shelves, now)
    reasons = {each.reason for each in covers} | {each.reason for each in shelves}
    assert found is None or found.by in reasons

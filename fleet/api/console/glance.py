"""A kit at one glance, for whoever has somebody on the telephone: what to do now, and its pieces in one list. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from fleet.access.roles import Permission
from fleet.alerts.judging.texts import TEXTS
from fleet.alerts.rules import RuleName
from fleet.api.kitdetail import KitDetail, Peripheral, Piece
from fleet.api.shapes import Title
from fleet.api.visits import Visit
from fleet.state.verdict import Health, ReasonCode

R, C = RuleName, ReasonCode
RULES: Mapping[ReasonCode, RuleName] = {
    C.NEVER_HEARD: R.NEVER_HEARD,
    C.SILENT: R.SILENT,
    C.PAIRING_LOST: R.PAIRING_LOST,
    C.VERSION_DRIFT: R.VERSION_DRIFT,
    C.BATTERY_LOW: R.TABLET_BATTERY_LOW,
    C.STORAGE_LOW: R.STORAGE_LOW,
    C.CLOCK_AHEAD: R.CLOCK_SKEW,
    C.CLOCK_BEHIND: R.CLOCK_SKEW,
}
"""The rule whose advice goes with a reason of the verdict."""
SEVERITIES = ("critical", "major", "minor", "warning")
TO_COME = ("planned", "under_way", "failed")
HEARD_BY_ITSELF = "tablet"


@dataclass(frozen=True, slots=True)
class Todo:
    """One thing to do: `key` of its text with `values`, or the `advice` of a rule by its `title`.

    It may lead on, for whoever has the permission that it `needs`.
    """

    key: str
    values: tuple[object, ...] = ()
    title: Title | None = None
    advice: Title | None = None
    href: str | None = None
    needs: Permission = Permission.KITS_READ


@dataclass(frozen=True, slots=True)
class PieceRow:
    """A piece of the books with what the tablet tells of it, or one that only the tablet knows (`booked` None)."""

    kind: str
    serial: str
    booked: Piece | None
    told: Peripheral | None
    last_contact: datetime | None

    @property
    def is_off(self) -> bool:
        """Whether something is wrong with it."""
        wrong = self.booked is None or self.booked.state == "faulty"
        return wrong or (self.told is not None and not self.told.paired)


def next_visit(visits: Sequence[Visit], today: date) -> Visit | None:
    """The visit that is under way or comes next; else the latest that is still to be done."""
    due = sorted((each for each in visits if each.state in TO_COME), key=lambda each: each.planned_on)
    ahead = (each for each in due if each.state == "under_way" or each.planned_on >= today)
    return next(ahead, due[-1] if due else None)


def pieces(kit: KitDetail) -> list[PieceRow]:
    """The pieces that the books have in the kit, and after them what only the tablet tells of."""
    told = {_key(each.serial): each for each in kit.peripherals}
    rows = []
    for piece in kit.bundle:
        seen = told.pop(_key(piece.serial), None)
        contact = kit.last_heard_at if piece.kind == HEARD_BY_ITSELF else None if seen is None else seen.last_contact
        rows.append(PieceRow(piece.kind, piece.serial, piece, seen, contact))
    return [*rows, *(PieceRow(each.kind, each.serial, None, each, each.last_contact) for each in told.values())]


def todo(kit: KitDetail, visit: Visit | None) -> list[Todo]:
    """What to do now, the first thing first."""
    known = list(_known(kit))
    wrong = [] if known else list(_advice(kit))
    found = [*known, *wrong, *_under_way(kit, visit)]
    if kit.health is Health.OK and not kit.alerts:
        found.append(Todo("todo.well", href=f"/kits/{kit.kit}/call", needs=Permission.CALLS_READ))
    elif wrong and not kit.service_requests:
        found.append(Todo("todo.open", href=f"/kits/{kit.kit}/request", needs=Permission.REQUESTS_WRITE))
    return found


def _known(kit: KitDetail) -> Iterator[Todo]:
    """What speaks for the kit already, so that nothing need be done about the kit itself."""
    for incident in kit.incidents:
        if incident.state == "open":
            yield Todo("todo.incident", href=f"/incidents/{incident.id}", needs=Permission.ALERTS_READ)
    for window in kit.maintenance:
        if window.rules is None:
            yield Todo("todo.maintenance", href=f"/maintenance/{window.id}")
    if any(reason.code is C.NOT_INSTALLED for reason in kit.reasons):
        yield Todo("todo.not_installed", (kit.state,))


def _advice(kit: KitDetail) -> Iterator[Todo]:
    """The advice of every rule that speaks of the kit, the gravest first."""
    spoken = sorted(
        (each for each in kit.alerts if each.suppressed_by is None and each.rule in set(R)),
        key=lambda each: SEVERITIES.index(each.severity),
    )
    rules = [R(each.rule) for each in spoken] + [RULES[each.code] for each in kit.reasons if each.code in RULES]
    quieted = {rule for window in kit.maintenance for rule in window.rules or ()}
    for rule in dict.fromkeys(rules):
        if rule in quieted:
            continue
        text = TEXTS[rule]
        title, advice = (Title(en=each.en, da=each.da) for each in (text.title, text.advice))
        yield Todo("todo.advice", title=title, advice=advice)


def _under_way(kit: KitDetail, visit: Visit | None) -> Iterator[Todo]:
    """What is being done about it already."""
    if visit is not None:
        yield Todo("todo.failed" if visit.state == "failed" else "todo.visit", href=f"/visits/{visit.number}")
    if kit.service_requests:
        number = kit.service_requests[0].number
        yield Todo("todo.request", (number,), href=f"/kits/{kit.kit}/request", needs=Permission.REQUESTS_WRITE)


def _key(serial: str) -> str:
    return serial.strip().casefold()

"""From what the books say and what kits report to findings. Pure functions of values and `now`.

A finding opens when its condition is certain (`opens`), and stays for as long as it holds. The two differ where our
own listening plays a part: what reached us out of a backlog after an outage of ours opens nothing, and an outage ends
nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from fleet.state.findings.facts import (
    DatedPiece,
    Found,
    HeardKit,
    IdentityFacts,
    Listening,
    LowStock,
    PeripheralFacts,
    Sighting,
    UnheardKit,
)
from fleet.state.findings.kinds import Kind, Severity

AFTER_STEP = timedelta(minutes=15)
"""A message so soon after a step may have been on its way when the step was recorded."""
AFTER_TAKE_DOWN = timedelta(days=3)
"""A kit on its way back may be left switched on so long; then somebody forgot it, or it is still at the citizen's."""
AFTER_CHANGE = timedelta(hours=1)
"""What a tablet says about a piece counts from this long after the piece went in or came out."""
QUIET_S: Mapping[Kind, float] = {
    Kind.REPORTS_WHILE_STORED: 86_400.0,
    Kind.REPORTS_WHILE_SCRAPPED: 7 * 86_400.0,
    Kind.REPORTS_WHILE_LOST: 7 * 86_400.0,
}
"""Listening time without a message after which a kit that should not report does so no more."""
IN_CONTACT = timedelta(days=7)
"""A device belongs to a tablet that it was in contact with this lately."""
AHEAD = timedelta(days=60)
"""How long before they end leases and warranties are told of."""

STORED = {
    "ordered": AFTER_STEP,
    "in_stock": AFTER_STEP,
    "retrieved": AFTER_TAKE_DOWN,
    "cleaning": AFTER_TAKE_DOWN,
}
"""States in which a kit should not report, and from how long after coming into them. One that is prepared, ready or on
its way may well be switched on."""
GONE = frozenset({"scrapped", "returned"})
QUIET_STATES = frozenset({*STORED, *GONE, "lost"})
NOT_BLUETOOTH = frozenset({"tablet", "sim"})
ENDED = frozenset({"scrapped", "lost", "returned", "ordered"})
"""States of a piece in which no date of it matters."""


def judge_heard(kits: Iterable[HeardKit], clock: Listening) -> Iterator[Found]:
    """Kits that report although the books have them in store, gone or lost."""
    for kit in kits:
        kind = _kind_of(kit.state)
        if kind is None or kit.last_heard_at <= kit.state_since + STORED.get(kit.state, AFTER_STEP):
            continue
        if clock.clock_s - kit.heard_clock_s >= QUIET_S[kind]:
            continue
        evidence = {
            "state": kit.state,
            "state_since": kit.state_since.isoformat(),
            "last_heard_at": _to_the_hour(kit.last_heard_at),
        }
        # What was heard out of the backlog of an outage has the clock's value at which that ended.
        opens = clock.hears and kit.heard_clock_s > clock.resumed_clock_s
        yield Found(kind, f"kit:{kit.kit_id}", evidence, kit_id=kit.kit_id, opens=opens)


def judge_unheard(kits: Iterable[UnheardKit], clock: Listening) -> Iterator[Found]:
    """Installed kits that were never heard."""
    for kit in kits:
        evidence = {"installed_since": kit.state_since.isoformat()}
        yield Found(
            Kind.NEVER_HEARD, f"kit:{kit.kit_id}", evidence, kit_id=kit.kit_id, opens=clock.hears and kit.overdue
        )


def judge_identity(facts: Iterable[IdentityFacts]) -> Iterator[Found]:
    """Kits whose tablet or SIM is another than the books say."""
    for each in facts:
        if each.reported_at <= each.since + AFTER_STEP:
            continue
        if each.kind == "tablet":
            yield from _other_tablet(each)
        books, reported = each.iccid, each.reported_iccid
        if books is not None and reported is not None and not same_digits(books, reported, least=18):
            yield _other(Kind.OTHER_SIM, each, "iccid", books, reported)


def judge_peripherals(facts: Iterable[PeripheralFacts]) -> Iterator[Found]:
    """Devices that the books and the tablet do not agree on."""
    for each in facts:
        if each.reported_serial is None:
            yield from _missing(each)
        elif each.component_id is None:
            yield from _unknown(each)
        else:
            yield from _described_otherwise(each)


def judge_shared(sightings: Iterable[Sighting], now: datetime) -> Iterator[Found]:
    """Devices that were lately in contact with the tablets of several kits.

    Each kit has a finding of its own, which names the others only where they are of the same organisation and owner.
    """
    groups: dict[tuple[str, str], list[Sighting]] = defaultdict(list)
    for each in sightings:
        if each.contact >= now - IN_CONTACT and not _before_it_left(each):
            groups[each.kind, plain_serial(each.serial)].append(each)
    for (kind, serial), group in groups.items():
        kits = {each.kit_id: each for each in group}
        if len(kits) < 2:
            continue
        for each in kits.values():
            evidence = {
                "serial": each.serial,
                "kind": kind,
                "last_contact": _to_the_hour(each.contact),
                "others": len(kits) - 1,
                "other_kits": sorted(other.kit for other in kits.values() if _told_to(each, other)),
            }
            subject = f"kit:{each.kit_id}/{kind}:{serial}"
            yield Found(Kind.PERIPHERAL_IN_TWO_KITS, subject, evidence, kit_id=each.kit_id)


def judge_dates(pieces: Iterable[DatedPiece], today: date) -> Iterator[Found]:
    """Pieces past their calibration, and those whose lease or (while faulty) warranty ends soon."""
    for piece in pieces:
        if piece.state in ENDED:
            continue
        if piece.calibration_due is not None and piece.calibration_due < today:
            yield _dated(Kind.CALIBRATION_OVERDUE, piece, "calibration_due", piece.calibration_due)
        if piece.lease_until is not None and piece.lease_until <= today + AHEAD:
            yield _dated(Kind.LEASE_ENDING, piece, "lease_until", piece.lease_until)
        ends = piece.warranty_until
        if piece.state == "faulty" and ends is not None and today <= ends <= today + AHEAD:
            yield _dated(Kind.WARRANTY_ENDING, piece, "warranty_until", ends)


def judge_stock(low: Iterable[LowStock]) -> Iterator[Found]:
    """Models of which too few are in store."""
    for each in low:
        evidence = {
            "manufacturer": each.manufacturer,
            "model": each.model,
            "location": each.location,
            "available": each.available,
            "on_order": each.on_order,
            "minimum": each.minimum,
            "to_order": each.to_order,
        }
        yield Found(
            Kind.BELOW_MINIMUM,
            f"minimum:{each.minimum_id}",
            evidence,
            model_id=each.model_id,
            location_id=each.location_id,
            organisation_id=each.organisation_id,
            severity=Severity.MAJOR if each.available == 0 else None,
        )


def plain_serial(text: str) -> str:
    """A serial number as it is compared: neither case nor spaces around it matter."""
    return text.strip().casefold()


def plain_name(text: str) -> str:
    """A model's name as it is compared: letters and digits only."""
    return re.sub(r"[\W_]+", "", text).casefold()


def same_digits(one: str, other: str, *, least: int) -> bool:
    """Whether two numbers are the same as far as both go, check digits at the end left out by some; at least so far."""
    first, second = (re.sub(r"\D", "", text) for text in (one, other))
    length = min(len(first), len(second))
    return length >= least and first[:length] == second[:length]


def _kind_of(state: str) -> Kind | None:
    if state in GONE:
        return Kind.REPORTS_WHILE_SCRAPPED
    if state == "lost":
        return Kind.REPORTS_WHILE_LOST
    return Kind.REPORTS_WHILE_STORED if state in STORED else None


def _other_tablet(each: IdentityFacts) -> Iterator[Found]:
    """By IMEI where both are known, else by serial number."""
    if each.imei is not None and each.reported_imei is not None:
        # The last digit of an IMEI checks the others; an IMEISV has two of another meaning in its place.
        if not same_digits(each.imei[:14], each.reported_imei, least=14):
            yield _other(Kind.OTHER_TABLET, each, "imei", each.imei, each.reported_imei)
    elif each.reported_serial is not None and plain_serial(each.serial) != plain_serial(each.reported_serial):
        yield _other(Kind.OTHER_TABLET, each, "serial", each.serial, each.reported_serial)


def _other(kind: Kind, each: IdentityFacts, name: str, books: str, reported: str) -> Found:
    evidence = {"what": name, "books": books, "reported": reported, "component": each.component_id}
    subject = f"kit:{each.kit_id}/component:{each.component_id}/{name}:{plain_serial(reported)}"
    return Found(kind, subject, evidence, kit_id=each.kit_id, component_id=each.component_id)


def _missing(each: PeripheralFacts) -> Iterator[Found]:
    """In the books and not known to the tablet; only where it is in use, and once the tablet had time to meet it."""
    if each.kit_state != "installed" or each.component_state != "in_kit" or each.since is None:
        return
    if each.kind in NOT_BLUETOOTH or each.reported_at <= each.since + AFTER_CHANGE:
        return
    evidence = {"kind": each.kind, "serial": each.serial, "component": each.component_id}
    yield Found(
        Kind.PERIPHERAL_MISSING,
        f"kit:{each.kit_id}/component:{each.component_id}",
        evidence,
        kit_id=each.kit_id,
        component_id=each.component_id,
    )


def _unknown(each: PeripheralFacts) -> Iterator[Found]:
    """Paired and not in the books of the kit, in a report from after the bundle last changed."""
    assert each.reported_serial is not None
    if not each.paired or each.kit_state == "preparing" or each.reported_at <= each.changed + AFTER_CHANGE:
        return
    evidence = {"kind": each.reported_kind, "serial": each.reported_serial, "model": each.reported_model}
    subject = f"kit:{each.kit_id}/{each.reported_kind}:{plain_serial(each.reported_serial)}"
    yield Found(Kind.PERIPHERAL_NOT_IN_BOOKS, subject, evidence, kit_id=each.kit_id)


def _described_otherwise(each: PeripheralFacts) -> Iterator[Found]:
    """Known to both, and not as the same: by kind or model, or by firmware once it is prepared."""
    about = {"component": each.component_id, "serial": each.serial}
    subject = f"kit:{each.kit_id}/component:{each.component_id}"
    if not _same_model(each):
        evidence = {
            **about,
            "books": {"kind": each.kind, "manufacturer": each.manufacturer, "model": each.model},
            "reported": {"kind": each.reported_kind, "model": each.reported_model},
        }
        named = plain_name(f"{each.reported_kind} {each.reported_model or ''}")
        yield _of_piece(Kind.MODEL_DIFFERS, each, f"{subject}/{named}", evidence)
    wanted = each.expected_firmware or each.books_firmware
    reported = each.reported_firmware
    if wanted is None or not reported or each.kit_state == "preparing" or wanted.strip() == reported.strip():
        return
    evidence = {**about, "books": wanted, "expected_by_model": each.expected_firmware is not None, "reported": reported}
    yield _of_piece(Kind.FIRMWARE_DIFFERS, each, f"{subject}/{reported}", evidence)


def _of_piece(kind: Kind, each: PeripheralFacts, subject: str, evidence: Mapping[str, Any]) -> Found:
    return Found(kind, subject, evidence, kit_id=each.kit_id, component_id=each.component_id)


def _same_model(each: PeripheralFacts) -> bool:
    if each.reported_kind is not None and each.kind != each.reported_kind:
        return False
    if not each.reported_model or each.model is None:
        return True
    reported = plain_name(each.reported_model)
    return reported in {plain_name(each.model), plain_name(f"{each.manufacturer} {each.model}")}


def _before_it_left(each: Sighting) -> bool:
    """Whether the contact was before the piece went from here into the kit where the books have it now."""
    if each.books_kit_id in (None, each.kit_id) or each.books_since is None:
        return False
    return each.contact <= each.books_since + AFTER_CHANGE


def _told_to(each: Sighting, other: Sighting) -> bool:
    whose = (each.organisation_id, each.owner_id)
    return other.kit_id != each.kit_id and whose == (other.organisation_id, other.owner_id)


def _dated(kind: Kind, piece: DatedPiece, name: str, day: date) -> Found:
    evidence = {"kind": piece.kind, "serial": piece.serial, name: day.isoformat()}
    return Found(
        kind, f"component:{piece.component_id}", evidence, kit_id=piece.kit_id, component_id=piece.component_id
    )


def _to_the_hour(moment: datetime) -> str:
    """A moment as evidence tells it: not so exact that it would change with every message."""
    return moment.replace(minute=0, second=0, microsecond=0).isoformat()

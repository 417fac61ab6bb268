"""What must be so before a step is taken: pure functions of facts, each answering what is not so.

Proof of function is a live message and every peripheral in contact after the kit arrived where it is used. Both the
message's own time and our receiving it must lie after the arrival: a report that was buffered at the depot has an older
time, one that was repeated late an older receipt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from fleet.state.lifecycle import Guard
from fleet.state.verdict import drift

PROOF_MAX_AGE = timedelta(hours=24)
"""How old a proof of function may be when the kit is installed."""
NO_PERIPHERALS = frozenset({"tablet", "sim"})
"""Kinds that the tablet does not reach over Bluetooth."""


class UnmetCode(StrEnum):
    """What a guard found missing."""

    KIND_MISSING = "kind_missing"
    KIND_SURPLUS = "kind_surplus"
    COMPONENT_FAULTY = "component_faulty"
    CALIBRATION_UNKNOWN = "calibration_unknown"
    CALIBRATION_EXPIRES = "calibration_expires"
    SOFTWARE_NOT_SEEN = "software_not_seen"
    SOFTWARE_DIFFERS = "software_differs"
    NOT_HEARD_SINCE_ARRIVAL = "not_heard_since_arrival"
    CLOCK_WRONG = "clock_wrong"
    PAIRING_NOT_SEEN = "pairing_not_seen"
    PERIPHERAL_NOT_SEEN = "peripheral_not_seen"
    PERIPHERAL_NOT_PAIRED = "peripheral_not_paired"
    PERIPHERAL_NO_CONTACT = "peripheral_no_contact"
    PROOF_TOO_OLD = "proof_too_old"
    BUNDLE_NOT_EMPTY = "bundle_not_empty"
    NOT_CLEANED = "not_cleaned"
    KIND_DIFFERS = "kind_differs"
    NOT_IN_KIT = "not_in_kit"


@dataclass(frozen=True, slots=True)
class Unmet:
    """One thing that stands in the way of a step; the members of `facts` depend on the code."""

    guard: Guard
    code: UnmetCode
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """A component of the bundle; `calibrated` says whether its model is calibrated at all."""

    component_id: int
    kind: str
    serial: str
    faulty: bool = False
    calibrated: bool = False
    calibration_due: date | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """The newest message of one kind: its own time and when we received it."""

    time: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Peripheral:
    """A device as the tablet last told of it."""

    serial: str
    paired: bool
    last_contact: datetime | None


@dataclass(frozen=True, slots=True)
class KitFacts:
    """What the guards of a kit's step look at.

    `contents` is how many of each kind the kit's type asks for, None without a type; `planned_until` the last day of
    the placement that is planned or running; `proof_from` the moment after which everything must have been heard
    (arrival, or the fault); `live_at` our last receipt of a live message; `offset_s` how wrong the tablet's clock is,
    where it is out of bounds.
    """

    at: datetime
    contents: Mapping[str, int] | None = None
    pieces: tuple[Piece, ...] = ()
    calibration_margin: timedelta = timedelta(0)
    planned_until: date | None = None
    wanted: Mapping[str, str] = field(default_factory=dict)
    software: Mapping[str, str] | None = None
    proof_from: datetime | None = None
    live_at: datetime | None = None
    offset_s: float | None = None
    heard: tuple[Heard, ...] = ()
    pairing: Heard | None = None
    peripherals: tuple[Peripheral, ...] = ()
    with_components: bool = False


@dataclass(frozen=True, slots=True)
class ComponentFacts:
    """What the guards of a component's step look at; `unclean`: it was with a citizen and not cleaned since."""

    piece: Piece
    at: datetime
    in_kit: bool = False
    unclean: bool = False


Facts = KitFacts | ComponentFacts


def unmet(guards: tuple[Guard, ...], facts: Facts) -> tuple[Unmet, ...]:
    """Everything that stands in the way, guard by guard."""
    return tuple(found for guard in guards for found in _CHECKS[guard](facts))


def calibrated_until(piece: Piece, needed: date) -> UnmetCode | None:
    """Whether a piece's calibration lasts to the end of the day `needed`."""
    if not piece.calibrated and piece.calibration_due is None:
        return None
    if piece.calibration_due is None:
        return UnmetCode.CALIBRATION_UNKNOWN
    return UnmetCode.CALIBRATION_EXPIRES if piece.calibration_due < needed else None


def _bundle_complete(facts: Any) -> Iterator[Unmet]:
    guard = Guard.BUNDLE_COMPLETE
    there = Counter(piece.kind for piece in facts.pieces)
    if facts.contents is not None:
        for kind, wanted in sorted(facts.contents.items()):
            if there[kind] < wanted:
                yield Unmet(guard, UnmetCode.KIND_MISSING, {"kind": kind, "wanted": wanted, "there": there[kind]})
        for kind, number in sorted(there.items()):
            wanted = facts.contents.get(kind, 0)
            if number > wanted:
                yield Unmet(guard, UnmetCode.KIND_SURPLUS, {"kind": kind, "wanted": wanted, "there": number})
    for piece in facts.pieces:
        if piece.faulty:
            yield Unmet(guard, UnmetCode.COMPONENT_FAULTY, _named(piece))


def _calibration_valid(facts: Any) -> Iterator[Unmet]:
    if isinstance(facts, ComponentFacts):
        pieces: tuple[Piece, ...] = (facts.piece,)
        needed = facts.at.date()
    else:
        pieces = facts.pieces
        needed = max(facts.planned_until or facts.at.date(), facts.at.date()) + facts.calibration_margin
    for piece in pieces:
        code = calibrated_until(piece, needed)
        if code is not None:
            due = None if piece.calibration_due is None else piece.calibration_due.isoformat()
            more = {"due": due, "needed": needed.isoformat()}
            yield Unmet(Guard.CALIBRATION_VALID, code, {**_named(piece), **more})


def _software_as_wanted(facts: Any) -> Iterator[Unmet]:
    guard = Guard.SOFTWARE_AS_WANTED
    has_tablet = any(piece.kind == "tablet" for piece in facts.pieces)
    if facts.software is None:
        if facts.wanted or has_tablet:
            yield Unmet(guard, UnmetCode.SOFTWARE_NOT_SEEN)
        return
    for item in drift(facts.wanted, facts.software):
        more = {"component": item.component, "wanted": item.wanted, "reported": item.reported}
        yield Unmet(guard, UnmetCode.SOFTWARE_DIFFERS, more)


def _proof_of_function(facts: Any) -> Iterator[Unmet]:
    guard = Guard.PROOF_OF_FUNCTION
    since = facts.proof_from
    told = {"since": None if since is None else since.isoformat()}
    if facts.offset_s is not None:
        # A clock that is out of bounds cannot tell a fresh message from a buffered one.
        yield Unmet(guard, UnmetCode.CLOCK_WRONG, {"offset_s": facts.offset_s})
    live = facts.live_at is not None and since is not None and facts.live_at > since
    heard = [message for message in facts.heard if live and _after(message, since)]
    if not heard:
        yield Unmet(guard, UnmetCode.NOT_HEARD_SINCE_ARRIVAL, told)
    elif all(_too_old(message.received_at, facts) for message in heard):
        yield Unmet(guard, UnmetCode.PROOF_TOO_OLD, _age(max(message.received_at for message in heard)))
    needed = [piece for piece in facts.pieces if piece.kind not in NO_PERIPHERALS]
    if not needed:
        return
    if facts.pairing is None or not _after(facts.pairing, since):
        yield Unmet(guard, UnmetCode.PAIRING_NOT_SEEN, told)
        return
    if _too_old(facts.pairing.received_at, facts):
        yield Unmet(guard, UnmetCode.PROOF_TOO_OLD, _age(facts.pairing.received_at))
    yield from _peripherals(needed, facts)


def _peripherals(needed: list[Piece], facts: KitFacts) -> Iterator[Unmet]:
    seen = {_serial(device.serial): device for device in facts.peripherals}
    for piece in needed:
        device = seen.get(_serial(piece.serial))
        contact = None if device is None else device.last_contact
        if device is None:
            code = UnmetCode.PERIPHERAL_NOT_SEEN
        elif not device.paired:
            code = UnmetCode.PERIPHERAL_NOT_PAIRED
        elif contact is None or facts.proof_from is None or contact <= facts.proof_from or _too_old(contact, facts):
            code = UnmetCode.PERIPHERAL_NO_CONTACT
        else:
            continue
        told = {**_named(piece), "last_contact": None if contact is None else contact.isoformat()}
        yield Unmet(Guard.PROOF_OF_FUNCTION, code, told)


def _bundle_empty(facts: Any) -> Iterator[Unmet]:
    if facts.pieces and not facts.with_components:
        named = [_named(piece) for piece in facts.pieces]
        yield Unmet(Guard.BUNDLE_EMPTY, UnmetCode.BUNDLE_NOT_EMPTY, {"components": named})


def _cleaned(facts: Any) -> Iterator[Unmet]:
    if facts.unclean:
        yield Unmet(Guard.CLEANED, UnmetCode.NOT_CLEANED, _named(facts.piece))


def _still_in_kit(facts: Any) -> Iterator[Unmet]:
    if not facts.in_kit:
        yield Unmet(Guard.STILL_IN_KIT, UnmetCode.NOT_IN_KIT, _named(facts.piece))


def _named(piece: Piece) -> dict[str, Any]:
    return {"component": piece.component_id, "kind": piece.kind, "serial": piece.serial}


def _serial(text: str) -> str:
    return text.strip().casefold()


def _after(message: Heard, since: datetime | None) -> bool:
    return since is not None and message.time > since and message.received_at > since


def _too_old(moment: datetime, facts: KitFacts) -> bool:
    return moment < facts.at - PROOF_MAX_AGE


def _age(moment: datetime) -> dict[str, Any]:
    return {"heard_at": moment.isoformat(), "max_age_h": PROOF_MAX_AGE.total_seconds() / 3600}


_CHECKS: dict[Guard, Callable[[Any], Iterator[Unmet]]] = {
    Guard.BUNDLE_COMPLETE: _bundle_complete,
    Guard.CALIBRATION_VALID: _calibration_valid,
    Guard.SOFTWARE_AS_WANTED: _software_as_wanted,
    Guard.PROOF_OF_FUNCTION: _proof_of_function,
    Guard.BUNDLE_EMPTY: _bundle_empty,
    Guard.CLEANED: _cleaned,
    Guard.STILL_IN_KIT: _still_in_kit,
}

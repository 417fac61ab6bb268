"""The hash chain over the audit: what a link commits to, how the chain grows, what verifying it finds. Pure.

Each row gives two values:

    digest = SHA-256(salt | [before,after,reason])
    hash   = SHA-256(previous hash | digest | [version,audit_id,tx,at,actor,principal,origin,action,subject_kind,
                     subject,organisation_id,kit_id])

where `|` joins bytes, the previous hash of the first link is 32 zero bytes, and a list is written as JSON in UTF-8: no
white space, the keys of an object in the order of their code points, numbers as PostgreSQL's numeric writes them, in
texts only `"`, `\\` and the characters below U+0020 escaped (in short where JSON has a short form, else as \\u00xx).
`at` is an integer, microseconds since 1970-01-01T00:00:00Z. So neither the order of keys in jsonb nor a time zone plays
a part.

The texts stand in the digest only, and salted: a row may be redacted later, losing texts and salt. Its link still
holds the digest of what stood there, from which nobody can guess it back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

VERSION = "fleet-audit-1"
GENESIS = bytes(32)
REDACTED = "audit.redacted"
"""Action of the row that tells of a redaction; its `after` repeats what is left of the redacted row."""
TRIMMED = "audit.trimmed"
"""Action of the row that tells of rows removed past their time; its `after` has `position` and `hash`."""
SHOWN_FAULTS = 20


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the audit. `before` and `after` are JSON texts, `at_us` microseconds since 1970 in UTC."""

    audit_id: int
    tx: int
    at_us: int
    actor: str
    principal: str | None
    origin: str | None
    action: str
    subject_kind: str
    subject: str | None
    organisation_id: int | None
    kit_id: int | None
    before: str | None
    after: str | None
    reason: str | None
    salt: bytes | None
    redacted: bool


class Link(msgspec.Struct, frozen=True):
    """A place in the chain, from 1 on without gaps."""

    position: int
    audit_id: int
    digest: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Up to where a chain goes: its last position and hash."""

    position: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.position}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head | None:
        """Read `POSITION:HASH`; None when it is none."""
        position, _, digits = text.strip().partition(":")
        try:
            hash_ = bytes.fromhex(digits)
        except ValueError:
            return None
        if len(hash_) != len(GENESIS) or not position.isascii() or not position.isdigit() or len(position) > 18:
            return None
        return cls(int(position), hash_)


START = Head(0, GENESIS)


class Fault(StrEnum):
    """Why a place of the chain does not fit."""

    POSITIONS_MISSING = "positions_missing"
    ROW_MISSING = "row_missing"
    TEXTS_CHANGED = "texts_changed"
    HASH_DIFFERS = "hash_differs"
    REDACTION_UNTOLD = "redaction_untold"
    REMOVAL_UNTOLD = "removal_untold"
    ROW_INSERTED = "row_inserted"
    HEAD_DIFFERS = "head_differs"
    HEAD_BEYOND_END = "head_beyond_end"
    HEAD_REMOVED = "head_removed"


MEANINGS: dict[Fault, str] = {
    Fault.POSITIONS_MISSING: "positions before it were removed",
    Fault.ROW_MISSING: "its row was deleted",
    Fault.TEXTS_CHANGED: "before, after or reason of its row was changed",
    Fault.HASH_DIFFERS: "its row was changed, or it does not follow the one before it",
    Fault.REDACTION_UNTOLD: "its row is marked as redacted, and no row tells of that or of what is left",
    Fault.REMOVAL_UNTOLD: "the rows before it were removed, and no row tells of that",
    Fault.ROW_INSERTED: "a row lies before the end of the chain that was never in it",
    Fault.HEAD_DIFFERS: "the chain there is not the one that was noted",
    Fault.HEAD_BEYOND_END: "the chain ends before it: the newest rows were cut off",
    Fault.HEAD_REMOVED: "its row was removed past its time, so it cannot be compared",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit; `position` is None for a row that has none."""

    position: int | None
    audit_id: int | None
    fault: Fault


@dataclass(slots=True)
class Report:
    """What verifying found; `faults` counts all, `findings` are the first of them."""

    first: int
    head: Head
    links: int = 0
    redacted: int = 0
    faults: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Count a finding and keep it while there are few."""
        self.faults += 1
        if len(self.findings) < SHOWN_FAULTS:
            self.findings.append(finding)


def digest_of(entry: Entry) -> bytes:
    """What a link keeps of the row's texts."""
    return hashlib.sha256((entry.salt or b"") + _texts(entry)).digest()


def hash_of(previous: bytes, digest: bytes, entry: Entry) -> bytes:
    """The hash of the link that follows `previous`."""
    told = (
        VERSION,
        entry.audit_id,
        entry.tx,
        entry.at_us,
        entry.actor,
        entry.principal,
        entry.origin,
        entry.action,
        entry.subject_kind,
        entry.subject,
        entry.organisation_id,
        entry.kit_id,
    )
    return hashlib.sha256(previous + digest + _ENCODE(told)).digest()


def extend(head: Head, entries: Iterable[Entry]) -> Iterator[Link]:
    """The links that follow `head`, one for each row in its order."""
    position, previous = head.position, head.hash
    for entry in entries:
        digest = digest_of(entry)
        previous = hash_of(previous, digest, entry)
        position += 1
        yield Link(position, entry.audit_id, digest, previous)


class Verifier:
    """Takes the links in their order with their rows, then the rows not sealed yet, and reports.

    `anchor` is what stands in place of the rows removed past their time. `noted` are heads kept elsewhere. With
    `told_before` False the anchor is the caller's own word and no row needs to tell of it.
    """

    def __init__(self, anchor: Head = START, noted: Iterable[Head] = (), *, told_before: bool = True) -> None:
        self._head = anchor
        self._report = Report(anchor.position + 1, anchor)
        self._noted = {head.position: head for head in noted}
        self._anchor = anchor if told_before and anchor.position else None
        self._redacted: dict[int, tuple[int, bytes]] = {}
        self._left: dict[str | None, bytes] = {}
        self._check_noted(anchor.position, anchor.hash)

    def link(self, link: Link, entry: Entry | None) -> None:
        """The next link and its row; None for a row that is not there."""
        if link.position != self._head.position + 1:
            self._fault(link, Fault.POSITIONS_MISSING)
            self._head = Head(link.position - 1, b"")
        fault = Fault.ROW_MISSING if entry is None else self._compare(link, entry)
        if fault is not None:
            self._fault(link, fault)
        self._check_noted(link.position, link.hash)
        self._head = Head(link.position, link.hash)
        self._report.links += 1

    def unsealed(self, entry: Entry, *, behind: bool = False) -> None:
        """A row without a link; `behind` when the chain has passed the place where it belongs."""
        self._take_note(entry)
        if behind:
            self._report.add(Finding(None, entry.audit_id, Fault.ROW_INSERTED))

    def finish(self) -> Report:
        """What was found, once everything was given."""
        for audit_id, (position, left) in self._redacted.items():
            if self._left.get(str(audit_id)) != left:
                self._report.add(Finding(position, audit_id, Fault.REDACTION_UNTOLD))
        if self._anchor is not None:
            self._report.add(Finding(self._report.first, None, Fault.REMOVAL_UNTOLD))
        for position in self._noted:
            beyond = position > self._head.position
            self._report.add(Finding(position, None, Fault.HEAD_BEYOND_END if beyond else Fault.HEAD_REMOVED))
        self._report.head = self._head
        self._report.redacted = len(self._redacted)
        return self._report

    def _compare(self, link: Link, entry: Entry) -> Fault | None:
        self._take_note(entry)
        if entry.redacted:
            self._redacted[entry.audit_id] = (link.position, _texts(entry))
        elif digest_of(entry) != link.digest:
            return Fault.TEXTS_CHANGED
        # After a gap there is nothing to compare with; the gap itself was reported.
        if self._head.hash and hash_of(self._head.hash, link.digest, entry) != link.hash:
            return Fault.HASH_DIFFERS
        return None

    def _take_note(self, entry: Entry) -> None:
        if entry.action not in (REDACTED, TRIMMED):
            return
        told = _parse(entry.after or "null")
        if not isinstance(told, dict):
            return
        if entry.action == REDACTED:
            self._left[entry.subject] = canonical([told.get(name) for name in ("before", "after", "reason")])
        elif self._anchor is not None and (told.get("position"), told.get("hash")) == (
            self._anchor.position,
            self._anchor.hash.hex(),
        ):
            self._anchor = None

    def _check_noted(self, position: int, hash_: bytes) -> None:
        noted = self._noted.pop(position, None)
        if noted is not None and noted.hash != hash_:
            self._report.add(Finding(position, None, Fault.HEAD_DIFFERS))

    def _fault(self, link: Link, fault: Fault) -> None:
        self._report.add(Finding(link.position, link.audit_id, fault))


def canonical(value: Any) -> bytes:
    """A JSON value in its one form; see the head of this module."""
    return _ENCODE(value)


def canonical_text(text: str | None) -> bytes:
    """A JSON text in its one form; None as `null`."""
    return b"null" if text is None else _ENCODE(_parse(text))


def _texts(entry: Entry) -> bytes:
    parts = (canonical_text(entry.before), canonical_text(entry.after), _ENCODE(entry.reason))
    return b"[" + b",".join(parts) + b"]"


def _parse(text: str) -> Any:
    """A JSON text, its numbers kept as they are written."""
    try:
        return _DECODE(text)
    except msgspec.ValidationError:  # an integer of thousands of digits
        return json.loads(text, parse_int=_verbatim, parse_float=_verbatim)


def _verbatim(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_DECODE = msgspec.json.Decoder(float_hook=_verbatim).decode

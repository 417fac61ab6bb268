"""The ledger: every message made, and what the broker said to it; 30 bytes a message in memory.

A message that the broker acknowledged with success must be in the database exactly once; one that was sent
but not acknowledged may or may not be there; one never sent must not.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import TypeAlias

from fleet.protocol.topics import Kind

TICKS_PER_S = 10_000
KINDS = tuple(Kind)
UNRECORDED = -1


class Status(IntEnum):
    """What became of a message."""

    MADE = 0
    ACKNOWLEDGED = 1
    REFUSED = 2
    LOST_TO_BOUND = 3


@dataclass(frozen=True, slots=True)
class BootOf:
    """Messages of one boot: `seq` tells them apart."""

    kit: str
    boot: str


@dataclass(frozen=True, slots=True)
class ReplyOf:
    """The reply to one command."""

    kit: str
    command: str


@dataclass(frozen=True, slots=True)
class BadOf:
    """Malformed messages: where they go and why they must be refused."""

    kit: str
    topic: str
    reason: str


Owner: TypeAlias = BootOf | ReplyOf | BadOf


@dataclass(frozen=True, slots=True)
class Row:
    """One message as the ledger has it; times are seconds from the start, None for never."""

    owner: Owner
    kind: Kind | None
    seq: int
    ts: datetime
    sent_s: float | None
    acked_s: float | None
    sends: int
    status: Status


class Ledger:
    """Rows in columns; a row's number is its handle."""

    def __init__(self, *, boot_prefix: str, started_at: datetime, record: bool = True) -> None:
        """`record` false keeps the counters only, for runs without an end."""
        self.boot_prefix = boot_prefix
        self.started_at = started_at
        self.record = record
        self.owners: list[Owner] = []
        self._owner_numbers: dict[Owner, int] = {}
        self.owner = array("I")
        self.kind = array("B")
        self.seq = array("I")
        self.ts_ms = array("q")
        self.sent = array("I")
        self.acked = array("I")
        self.sends = array("B")
        self.status = array("B")
        self.made: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.on_first_send: Callable[[int], None] | None = None

    def __len__(self) -> int:
        return len(self.owner)

    def add(self, owner: Owner, kind: Kind | None, seq: int, ts: datetime) -> int:
        """A message was made; `kind` is None for a malformed one. Returns its row."""
        self.made[kind or "malformed"] += 1
        if not self.record:
            return UNRECORDED
        number = self._owner_numbers.get(owner)
        if number is None:
            number = self._owner_numbers[owner] = len(self.owners)
            self.owners.append(owner)
        self.owner.append(number)
        self.kind.append(KINDS.index(kind) if kind else len(KINDS))
        self.seq.append(seq)
        self.ts_ms.append(round(ts.timestamp() * 1000))
        self.sent.append(0)
        self.acked.append(0)
        self.sends.append(0)
        self.status.append(Status.MADE)
        return len(self.owner) - 1

    def was_sent(self, row: int, at_s: float) -> None:
        """It was handed to the connection."""
        self.counts["sends"] += 1
        if row < 0:
            return
        if self.sends[row]:
            self.counts["resends"] += 1
        else:
            self.sent[row] = _ticks(at_s)
            if self.on_first_send is not None:
                self.on_first_send(row)
        self.sends[row] = min(255, self.sends[row] + 1)

    def was_acknowledged(self, row: int, at_s: float) -> None:
        """The broker took it (PUBACK with success)."""
        self.counts["acks"] += 1
        if row >= 0 and self.status[row] != Status.ACKNOWLEDGED:
            self.status[row] = Status.ACKNOWLEDGED
            self.acked[row] = _ticks(at_s)
            code = self.kind[row]
            self.acknowledged[KINDS[code] if code < len(KINDS) else "malformed"] += 1

    def was_refused(self, row: int) -> None:
        """The broker will never take it; it is not sent again."""
        self.counts["refused"] += 1
        if row >= 0 and self.status[row] != Status.ACKNOWLEDGED:
            self.status[row] = Status.REFUSED

    def was_dropped(self, row: int) -> None:
        """The tablet's own bound was reached; it is not kept any longer."""
        self.counts["dropped_at_bound"] += 1
        if row >= 0 and self.status[row] != Status.ACKNOWLEDGED:
            self.status[row] = Status.LOST_TO_BOUND

    def row(self, number: int) -> Row:
        """One message."""
        code = self.kind[number]
        return Row(
            owner=self.owners[self.owner[number]],
            kind=KINDS[code] if code < len(KINDS) else None,
            seq=self.seq[number],
            ts=datetime.fromtimestamp(self.ts_ms[number] / 1000, UTC),
            sent_s=_seconds(self.sent[number]),
            acked_s=_seconds(self.acked[number]),
            sends=self.sends[number],
            status=Status(self.status[number]),
        )

    def rows(self) -> Iterator[Row]:
        """Every message in the order it was made."""
        return map(self.row, range(len(self)))

    def restore(self, row: Row) -> None:
        """Put back a row read from a file."""
        number = self.add(row.owner, row.kind, row.seq, row.ts)
        self.sent[number] = 0 if row.sent_s is None else _ticks(row.sent_s)
        self.sends[number] = row.sends
        if row.status is Status.ACKNOWLEDGED:
            self.was_acknowledged(number, row.acked_s or 0.0)
        self.status[number] = row.status

    def unacknowledged(self) -> int:
        """Messages without an answer from the broker, sent or not."""
        return self.status.count(Status.MADE)

    def unsent(self) -> int:
        """Messages made without a connection, up to the end."""
        return sum(not sends and status == Status.MADE for sends, status in zip(self.sends, self.status, strict=True))


def _ticks(at_s: float) -> int:
    return max(1, min(2**32 - 1, round(at_s * TICKS_PER_S) + 1))


def _seconds(ticks: int) -> float | None:
    return (ticks - 1) / TICKS_PER_S if ticks else None

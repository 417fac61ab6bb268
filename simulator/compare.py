"""Ledger against database: what is missing, stored more than once, or was never sent."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from simulator.ledger import KINDS, TICKS_PER_S, BadOf, BootOf, Ledger, ReplyOf, Status
from simulator.store import StoredMessage

MAX_AGE = timedelta(days=30)
MAX_AHEAD = timedelta(minutes=3)
EXAMPLES = 5


@dataclass(slots=True)
class Comparison:
    """Result of one reading of the database."""

    checked: int = 0
    stored: int = 0
    missing: int = 0
    duplicates: int = 0
    foreign: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)
    received_s: list[float] = field(default_factory=list)

    def note(self, sort: str, example: str) -> None:
        """Keep a few examples of each sort."""
        kept = self.examples.setdefault(sort, [])
        if len(kept) < EXAMPLES:
            kept.append(example)


class Index:
    """Finds a ledger's row by what identifies a message; built once, eight bytes a row."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._boots: dict[tuple[str, str], tuple[int, array[int]]] = {}
        self._replies: dict[tuple[str, str], int] = {}
        by_owner: dict[int, list[int]] = defaultdict(list)
        for row, owner in enumerate(ledger.owner):
            by_owner[owner].append(row)
        for number, rows in by_owner.items():
            owner_ = ledger.owners[number]
            if isinstance(owner_, BootOf):
                rows.sort(key=ledger.seq.__getitem__)
                self._boots[owner_.kit, owner_.boot] = ledger.seq[rows[0]], array("I", rows)
            elif isinstance(owner_, ReplyOf):
                self._replies[owner_.kit, owner_.command] = rows[0]

    def row(self, message: StoredMessage) -> int | None:
        """The row of a stored message; None when it was never made."""
        if message.command is not None:
            return self._replies.get((message.kit, message.command))
        found = self._boots.get((message.kit, message.boot or ""))
        if found is None or message.seq is None:
            return None
        row = self._place(*found, message.seq)
        same = self._ledger.seq[row] == message.seq and KINDS[self._ledger.kind[row]] == message.kind
        return row if same else None

    def _place(self, first: int, rows: array[int], seq: int) -> int:
        """Where `seq` is, or its neighbour: numbers are missing only where a tablet still held messages."""
        guess = seq - first
        if 0 <= guess < len(rows) and self._ledger.seq[rows[guess]] == seq:
            return rows[guess]
        place = bisect_left(rows, seq, key=self._ledger.seq.__getitem__)
        return rows[min(place, len(rows) - 1)]

    def is_ours(self, message: StoredMessage) -> bool:
        """Whether a message unknown to the ledger pretends to be of this run."""
        prefix = f"{self._ledger.boot_prefix}-"
        return (message.boot or message.command or "").startswith(prefix)


def compare(ledger: Ledger, index: Index, messages: Iterable[StoredMessage]) -> Comparison:
    """Count every stored message on its row, then look at the rows."""
    found = Comparison()
    seen = array("B", bytes(len(ledger)))
    for message in messages:
        row = index.row(message)
        if row is not None and ledger.sends[row]:
            seen[row] = min(255, seen[row] + 1)
            if ledger.sends[row] == 1 and seen[row] == 1:
                found.received_s.append(_since_sent(ledger, row, message.received_at))
        elif index.is_ours(message):
            found.foreign += 1
            found.note("never sent", str(message))
    for row, times in enumerate(seen):
        _judge(ledger, row, times, found)
    return found


def _judge(ledger: Ledger, row: int, times: int, found: Comparison) -> None:
    if isinstance(ledger.owners[ledger.owner[row]], BadOf):
        return
    acknowledged = ledger.status[row] == Status.ACKNOWLEDGED
    found.checked += acknowledged
    found.stored += times > 0
    if times > 1:
        found.duplicates += 1
        found.note("more than once", f"{times} times {ledger.row(row)}")
    if acknowledged and not times:
        found.missing += 1
        found.note("missing", str(ledger.row(row)))


def _since_sent(ledger: Ledger, row: int, received_at: datetime) -> float:
    sent_s = (ledger.sent[row] - 1) / TICKS_PER_S
    return (received_at - ledger.started_at).total_seconds() - sent_s


def acknowledged_after_s(ledger: Ledger) -> Iterable[float]:
    """Seconds from sending to the broker's acknowledgement, for messages sent once."""
    for sent, acked, sends in zip(ledger.sent, ledger.acked, ledger.sends, strict=True):
        if acked and sends == 1:
            yield (acked - sent) / TICKS_PER_S


def time_range(ledger: Ledger, now: datetime) -> tuple[datetime, datetime]:
    """Within which times the messages of a ledger may be stored (their own, or that of receipt)."""
    floor_ms = (ledger.started_at - MAX_AGE).timestamp() * 1000
    usable = [ts for ts in ledger.ts_ms if ts >= floor_ms]
    first_ms = min(usable, default=floor_ms)
    first = datetime.fromtimestamp(first_ms / 1000, UTC)
    return min(first, ledger.started_at) - timedelta(seconds=5), now + MAX_AHEAD


def malformed_counts(ledger: Ledger) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """By topic and reason: how many were acknowledged, and how often they were sent in all."""
    taken: Counter[tuple[str, str]] = Counter()
    sent: Counter[tuple[str, str]] = Counter()
    for row, number in enumerate(ledger.owner):
        owner = ledger.owners[number]
        if isinstance(owner, BadOf):
            key = owner.topic, owner.reason
            taken[key] += ledger.status[row] == Status.ACKNOWLEDGED
            sent[key] += ledger.sends[row]
    return taken, sent

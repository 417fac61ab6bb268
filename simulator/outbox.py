"""What a tablet keeps until the broker has it for sure: pure bookkeeping, bounded.

Brokers acknowledge before disk, so an acknowledged message is kept a little longer and sent again after a
reconnect. That time is counted on packets heard, not on the clock: while nothing is heard from the broker,
nothing is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

LAST_PACKET_ID = 65_535


class Entry:
    """A message on its way; `row` is its place in the ledger, None for what is not kept (presence)."""

    __slots__ = ("acked_s", "live", "payload", "retain", "row", "topic")

    def __init__(self, row: int | None, topic: str, payload: bytes, *, retain: bool = False, live: bool = True) -> None:
        self.row = row
        self.topic = topic
        self.payload = payload
        self.retain = retain
        self.live = live
        self.acked_s = 0.0


class Outbox:
    """Waiting, in flight, and kept after the acknowledgement, each in order."""

    __slots__ = ("_inflight", "_keep_s", "_kept", "_last_id", "_max_waiting", "_waiting", "window")

    def __init__(self, *, window: int, max_waiting: int, keep_s: float) -> None:
        """`window` bounds what is in flight, `max_waiting` what waits or is kept."""
        self.window = window
        self._max_waiting = max_waiting
        self._keep_s = keep_s
        self._waiting: deque[Entry] = deque()
        self._inflight: dict[int, Entry] = {}
        self._kept: deque[Entry] = deque()
        self._last_id = 0

    @property
    def unsettled(self) -> int:
        """How many are not acknowledged yet."""
        return len(self._waiting) + len(self._inflight)

    def add(self, entry: Entry) -> bool:
        """Take a message; False when the bound is reached and it is not taken."""
        if len(self._waiting) >= self._max_waiting:
            return False
        self._waiting.append(entry)
        return True

    def take(self) -> tuple[int, Entry] | None:
        """The next message to send, with a free packet id; None when there is none or the window is full."""
        if not self._waiting or len(self._inflight) >= self.window:
            return None
        packet_id = self.reserve()
        entry = self._inflight[packet_id] = self._waiting.popleft()
        return packet_id, entry

    def reserve(self) -> int:
        """A packet id that is not in use."""
        while True:
            self._last_id = self._last_id % LAST_PACKET_ID + 1
            if self._last_id not in self._inflight:
                return self._last_id

    def begin(self, entry: Entry) -> int:
        """Put a message in flight past the queue and the window (presence)."""
        packet_id = self.reserve()
        self._inflight[packet_id] = entry
        return packet_id

    def settle(self, packet_id: int) -> Entry | None:
        """The broker answered; the message is in flight no longer."""
        return self._inflight.pop(packet_id, None)

    def keep(self, entry: Entry, now_s: float) -> Entry | None:
        """Keep an acknowledged message for a while; returns the one that had to go for the bound."""
        if entry.row is None or not self._keep_s:
            return None
        entry.acked_s = now_s
        self._kept.append(entry)
        return self._kept.popleft() if len(self._kept) > self._max_waiting else None

    def heard(self, now_s: float) -> None:
        """The broker is alive: what it acknowledged long enough ago is safe."""
        kept, safe_s = self._kept, now_s - self._keep_s
        while kept and kept[0].acked_s < safe_s:
            kept.popleft()

    def put_back(self, entry: Entry) -> None:
        """The broker could not take it now: it waits at the front."""
        self._waiting.appendleft(entry)

    def reconnected(self) -> int:
        """Everything not surely stored waits again, oldest first; returns how many were sent before."""
        again = [*self._kept, *(entry for entry in self._inflight.values() if entry.row is not None)]
        self._kept.clear()
        self._inflight.clear()
        self._waiting.extendleft(reversed(again))
        return len(again)

    def __iter__(self) -> Iterator[Entry]:
        yield from self._inflight.values()
        yield from self._waiting

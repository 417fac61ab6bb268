"""However messages come, in whatever order, how often, how split: each is stored once, the latest state the same."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fleet.ingest.connection import Incoming
from fleet.protocol.topics import Kind
from tests.make import at, incoming, payload
from tests.settling import Settling, settling, stored
from tests.support import add_kits, rows

pytestmark = pytest.mark.storage
ON_ONE_DATABASE = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
_kits = count(1)


@dataclass(frozen=True, slots=True)
class Message:
    """What a tablet made: its kind, identity and the time it believes it was."""

    kind: Kind
    boot: str
    seq: int
    ts_s: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message reaching us at a time; `live` false is retained, `cut` begins a batch, `restart` a process."""

    message: Message
    received_s: float
    live: bool = True
    cut: bool = False
    restart: bool = False


FAR_S = 40 * 86_400.0
KINDS = st.sampled_from([Kind.HEARTBEAT, Kind.HEARTBEAT, Kind.SOFTWARE, Kind.PAIRING, Kind.UPDATE])


@st.composite
def arrivals_of(draw: st.DrawFn, messages: list[Message], *, restarts: bool = True) -> list[Arrival]:
    """Every message at least once, in any order, some again, in batches cut anywhere."""
    again = draw(st.lists(st.sampled_from(messages), max_size=len(messages)))
    arrivals, now_s = [], 0.0
    for message in draw(st.permutations([*messages, *again])):
        now_s += draw(st.sampled_from([0.0, 0.001, 1.0, 60.0, 130.0, 4000.0]))
        chance = draw(st.integers(0, 9))
        arrivals.append(Arrival(message, now_s, chance != 0, chance in (1, 2, 3), restarts and chance == 4))
    return arrivals


@st.composite
def any_stream(draw: st.DrawFn) -> list[Arrival]:
    """Boots, numbers and clocks in any disorder: far ahead, far behind, jumping."""
    identities = st.tuples(KINDS, st.sampled_from("abc"), st.integers(0, 3))
    times = st.sampled_from([0.0, -1.0, -60.0, 119.0, 121.0, 3000.0, -FAR_S, FAR_S])
    made = draw(st.lists(identities, min_size=1, max_size=8, unique=True))
    return draw(arrivals_of([Message(*identity, draw(times)) for identity in made]))


@st.composite
def sane_stream(draw: st.DrawFn) -> list[Arrival]:
    """One counter per boot over all kinds, time rising with it, boots one after another."""
    messages, second = [], -20_000.0
    for boot in draw(st.permutations(["x", "a", "m"]))[: draw(st.integers(1, 3))]:
        for seq in range(draw(st.integers(1, 4))):
            second += draw(st.integers(1, 100))
            messages.append(Message(draw(KINDS), boot, seq, second))
    return draw(arrivals_of(messages))


async def play(it: Settling, kit: str, arrivals: list[Arrival]) -> None:
    """Settle the arrivals in their batches."""
    batch: list[Incoming] = []
    for arrival in arrivals:
        if arrival.restart or arrival.cut:
            await it.settle(batch)
            batch = []
        if arrival.restart:
            await it.restart()
        body = payload(
            arrival.message.kind,
            ts=at(arrival.message.ts_s),
            boot=arrival.message.boot,
            seq=arrival.message.seq,
            mark=_mark(arrival.message),
        )
        received_at = at(arrival.received_s)
        batch.append(incoming(kit, arrival.message.kind, body, received_at=received_at, retained=not arrival.live))
    await it.settle(batch)


def _mark(message: Message) -> int:
    return ord(message.boot[0]) * 10 + message.seq


def _identities(arrivals: list[Arrival]) -> list[tuple[str, str, int]]:
    return sorted({(a.message.kind.value, a.message.boot, a.message.seq) for a in arrivals})


def _message(boot: str, seq: int, ts_s: float) -> Message:
    return Message(Kind.HEARTBEAT, boot, seq, ts_s)


@ON_ONE_DATABASE
@example([Arrival(_message("a", 1, 3000.0), 0.0), Arrival(_message("a", 1, 3000.0), 2990.0)])
@example([Arrival(_message("a", 1, -FAR_S), 0.0), Arrival(_message("a", 1, -FAR_S), 10.0, restart=True)])
@example(
    [
        Arrival(_message("b", 5, FAR_S), 0.0),
        Arrival(_message("a", 1, FAR_S), 10.0, cut=True),
        Arrival(_message("b", 3, FAR_S), 20.0, cut=True),
        Arrival(_message("b", 5, FAR_S), 30.0, cut=True),
    ]
)
@given(any_stream())
async def test_each_identity_is_stored_exactly_once(database: str, arrivals: list[Arrival]) -> None:
    kit = f"K-{next(_kits)}"
    add_kits(database, kit)
    async with settling(database) as it:
        await play(it, kit, arrivals)
    assert stored(database, kit) == _identities(arrivals)


@ON_ONE_DATABASE
@given(sane_stream())
async def test_the_latest_state_does_not_depend_on_order_or_repetition(database: str, arrivals: list[Arrival]) -> None:
    kit = f"K-{next(_kits)}"
    add_kits(database, kit)
    async with settling(database) as it:
        await play(it, kit, arrivals)
    newest: dict[Kind, Message] = {}
    for message in sorted({arrival.message for arrival in arrivals}, key=lambda message: message.ts_s):
        newest[message.kind] = message
    _assert_history(database, kit, arrivals)
    _assert_latest(database, kit, newest.pop(Kind.HEARTBEAT, None), arrivals)
    reports = "SELECT kind, boot, seq, time FROM latest_reports JOIN kits USING (kit_id) WHERE kit = %s"
    assert set(rows(database, reports, kit)) == {
        (kind.value, message.boot, message.seq, at(message.ts_s)) for kind, message in newest.items()
    }


def _assert_history(database: str, kit: str, arrivals: list[Arrival]) -> None:
    own = {(a.message.kind.value, a.message.boot, a.message.seq, at(a.message.ts_s)) for a in arrivals}
    found = rows(database, "SELECT kind, boot, seq, time FROM grafana_messages WHERE kit = %s", kit)
    assert sorted(found) == sorted(own)


def _assert_latest(database: str, kit: str, beat: Message | None, arrivals: list[Arrival]) -> None:
    heard = max((at(arrival.received_s) for arrival in arrivals if arrival.live), default=None)
    newest = (None, None, None, None) if beat is None else (beat.boot, beat.seq, at(beat.ts_s), float(_mark(beat)))
    latest = "SELECT boot, seq, time, uptime_s, last_heard_at FROM kit_latest JOIN kits USING (kit_id) WHERE kit = %s"
    assert rows(database, latest, kit) == [(*newest, heard)]

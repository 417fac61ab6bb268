"""Whatever befalls a tablet, its messages keep the contract."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fleet.protocol.messages import decode, encode
from simulator.effects import Link, Publish
from simulator.faults import Fault
from simulator.scenario import Fleet, Rates, Scenario
from simulator.stage import Stage

KINDS = (
    "silence",
    "drift",
    "duplicate",
    "late",
    "out_of_order",
    "malformed",
    "mass_disconnect",
    "network_loss",
    "restart",
    "pairing_lost",
    "reconnect_storm",
    "update",
    "command",
)
END_S = 400.0


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    at_s = draw(st.floats(0, 150))
    fields: dict[str, Any] = {
        "kind": draw(st.sampled_from(KINDS)),
        "at_s": at_s,
        "until_s": at_s + draw(st.floats(0.5, 100)),
        "count": draw(st.integers(1, 3)),
    }
    return msgspec.convert(fields, Fault)


@given(st.lists(faults(), max_size=8), st.integers(0, 5), st.floats(0, 0.5))
def test_numbers_links_and_contents_hold(happening: list[Fault], seed: int, share: float) -> None:
    fleet = Fleet(kits=3, ramp_s=1, heartbeat_interval_s=5, seed=seed)
    rates = Rates(late_share=share, duplicate_share=share, restarts_per_day=200 * share, dead_zones_per_day=200 * share)
    stage = Stage(Scenario(fleet=fleet, faults=tuple(happening), rates=rates), boot_prefix="b", epoch=1e9)
    numbers: dict[str, list[int]] = defaultdict(list)
    up = defaultdict(bool)
    for index, effect in stage.advance(END_S):
        if isinstance(effect, Link):
            assert effect.up is not up[index]
            up[index] = effect.up
        elif isinstance(effect, Publish):
            assert decode(effect.kind, encode(effect.payload)) == effect.payload
            numbers[effect.boot or ""].append(effect.seq)
    for seqs in numbers.values():
        assert len(set(seqs)) == len(seqs)
        missing = set(range(max(seqs))) - set(seqs)
        # Only what is still held back at the end of the run (late noise) may be missing.
        assert not missing or share
    assert all(tablet.powered or tablet.next_at for tablet in stage.tablets)

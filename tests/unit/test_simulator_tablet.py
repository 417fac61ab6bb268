"""The virtual tablet: what it says at a start, under each fault, and that chance is only the seed's."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from fleet.protocol.messages import Heartbeat, Network, Pairing, Reply, ReplyStatus, Software, Update
from fleet.protocol.topics import Kind
from simulator.effects import Ask, Effect, Link, Malform, Publish
from simulator.scenario import parse
from simulator.stage import Stage, occurrences

FLEET = "[fleet]\nkits = {kits}\nramp_s = 0\nheartbeat_interval_s = 10\n[peripherals]\ncontacts_per_day = 0.0\n"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def stage(faults: str = "", kits: int = 1, more: str = "") -> Stage:
    return Stage(parse(FLEET.format(kits=kits) + more + faults), boot_prefix="b", epoch=EPOCH)


def effects(of: Stage, until_s: float = 100.0) -> list[Effect]:
    return [effect for _, effect in of.advance(until_s)]


def messages(of: Stage, until_s: float = 100.0) -> list[Publish]:
    return [effect for effect in effects(of, until_s) if isinstance(effect, Publish)]


def fault(kind: str, at_s: float, until_s: float | None = None, **more: object) -> str:
    lines = [f'kind = "{kind}"', f"at_s = {at_s}", "count = 1"]
    lines += [f"until_s = {until_s}"] if until_s is not None else []
    lines += [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in more.items()]
    return "\n[[faults]]\n" + "\n".join(lines)


def test_a_start_tells_software_pairing_and_life_with_one_counter() -> None:
    first = effects(stage(), 0)
    assert first[0] == Link(0.0, up=True)
    assert [(e.kind, e.seq) for e in first[1:] if isinstance(e, Publish)] == [
        (Kind.SOFTWARE, 0),
        (Kind.PAIRING, 1),
        (Kind.HEARTBEAT, 2),
    ]


def test_heartbeats_keep_the_interval_and_the_counter() -> None:
    beats = [m for m in messages(stage(), 200) if m.kind is Kind.HEARTBEAT]
    assert [m.seq for m in beats] == list(range(2, 2 + len(beats)))
    gaps = {round(later.at_s - sooner.at_s, 3) for sooner, later in pairwise(beats[1:])}
    assert gaps == {10.0}


def test_software_and_pairing_are_told_daily() -> None:
    told = [m.kind for m in messages(stage(), 2 * 86_400 + 1) if m.kind is not Kind.HEARTBEAT]
    assert told == [Kind.SOFTWARE, Kind.PAIRING] * 3


def test_silence_sends_nothing_and_comes_back_with_a_new_boot() -> None:
    quiet = stage(fault("silence", 20, 60))
    happened = effects(quiet)
    assert not [e for e in happened if 20 <= e.at_s < 60 and not isinstance(e, Link)]
    assert {m.boot for m in happened if isinstance(m, Publish)} == {"b-K-000001-1", "b-K-000001-2"}
    assert next(m.seq for m in happened if isinstance(m, Publish) and m.boot == "b-K-000001-2") == 0


def test_without_a_network_messages_are_made_and_say_so() -> None:
    happened = effects(stage(fault("network_loss", 20, 60)))
    links = [(e.at_s, e.up) for e in happened if isinstance(e, Link)]
    assert links == [(0.0, True), (20.0, False), (60.0, True)]
    during = [e.payload for e in happened if isinstance(e, Publish) and 20 < e.at_s < 60]
    assert during
    assert {beat.network for beat in during if isinstance(beat, Heartbeat)} == {Network.NONE}
    after = [e.payload for e in happened if isinstance(e, Publish) and e.at_s > 60]
    assert all(isinstance(beat, Heartbeat) and beat.network is not Network.NONE for beat in after)


def test_drift_tells_the_other_version_and_then_the_old_one() -> None:
    told = [m.payload for m in messages(stage(fault("drift", 20, 60, version="9.9"))) if m.kind is Kind.SOFTWARE]
    assert [s.components["app"] for s in told if isinstance(s, Software)] == ["3.4.1", "9.9", "3.4.1"]


def test_a_lost_pairing_is_told_and_its_return() -> None:
    told = [m.payload for m in messages(stage(fault("pairing_lost", 20, 60))) if m.kind is Kind.PAIRING]
    states = [[p.paired for p in t.peripherals if p.kind == "oximeter"] for t in told if isinstance(t, Pairing)]
    assert states == [[True], [False], [True]]


def test_late_messages_come_in_order_at_their_own_times() -> None:
    late = [m for m in messages(stage(fault("late", 15, 55))) if m.kind is Kind.HEARTBEAT]
    assert [m.seq for m in late] == sorted(m.seq for m in late)
    assert [m.payload.ts for m in late] == sorted(m.payload.ts for m in late)
    of = stage(fault("late", 15, 55))
    assert not [m for m in messages(of, 54) if m.at_s >= 15]
    assert len([m for m in messages(of, 55) if 15 <= m.at_s < 55]) == 4


def test_out_of_order_changes_the_order_and_nothing_else() -> None:
    straight = [m.seq for m in messages(stage())]
    shuffled = [m.seq for m in messages(stage(fault("out_of_order", 15, 90, window=3)))]
    assert shuffled != straight
    assert sorted(shuffled) == straight


def test_duplicates_are_copies_of_one_message() -> None:
    doubled = messages(stage(fault("duplicate", 15, 55)))
    assert [m.copies for m in doubled if 15 < m.at_s < 55] == [2] * 4
    assert len({m.seq for m in doubled}) == len(doubled)


def test_a_wrong_clock_shifts_the_time_told_only() -> None:
    skewed = [m for m in messages(stage(fault("clock_skew", 15, 55, offset_s=-600))) if 15 < m.at_s < 55]
    assert skewed
    assert all(m.payload.ts.timestamp() - (EPOCH + m.at_s) < -599 for m in skewed)


def test_each_sort_of_malformed_is_sent_once_without_an_end() -> None:
    happened = effects(stage(fault("malformed", 20)))
    sorts = [e.sort for e in happened if isinstance(e, Malform)]
    assert len(sorts) == len(set(sorts)) == 9


def test_a_storm_drops_the_link_again_and_again() -> None:
    happened = effects(stage(fault("reconnect_storm", 20, 30, period_s=2)))
    assert [e.at_s for e in happened if isinstance(e, Link) and e.at_once] == [20, 22, 24, 26, 28]


def test_an_update_runs_through_its_states_and_installs() -> None:
    told = messages(stage(fault("update", 20, version="4.0.0")))
    states = [m.payload.state for m in told if isinstance(m.payload, Update)]
    assert states == ["offered", "accepted", "downloading", "installing", "succeeded"]
    assert isinstance(told[-1].payload, Heartbeat)
    assert [m.payload.components["app"] for m in told if isinstance(m.payload, Software)][-1] == "4.0.0"


def test_a_restart_ends_an_update_and_starts_a_boot() -> None:
    told = messages(stage(fault("update", 20, step_s=5) + fault("restart", 27)))
    assert [m.payload.state for m in told if isinstance(m.payload, Update)] == ["offered", "accepted"]
    assert told[-1].boot == "b-K-000001-2"


def test_a_fault_that_meets_a_tablet_already_off_does_no_harm() -> None:
    happened = effects(stage(fault("silence", 20, 60) + fault("restart", 30) + fault("silence", 40, 80)))
    assert [(e.at_s, e.up) for e in happened if isinstance(e, Link)] == [(0.0, True), (20.0, False), (80.0, True)]


def test_a_command_is_asked_for_and_ping_is_answered_once() -> None:
    of = stage(fault("command", 20))
    (asked,) = [e for e in effects(of, 20) if isinstance(e, Ask)]
    payload = msgspec.json.encode({"name": asked.name})
    answer = [e for e in of.command(0, 21.0, asked.command, payload) if isinstance(e, Publish)]
    assert [m.kind for m in answer] == [Kind.SOFTWARE, Kind.PAIRING, Kind.HEARTBEAT, Kind.REPLY]
    assert answer[-1].command == asked.command
    assert of.command(0, 22.0, asked.command, payload) == []


def test_commands_that_make_no_sense_or_came_too_late_are_errors() -> None:
    of = stage()
    effects(of, 0)
    texts = (b"{", b'{"name":"dance"}', b'{"name":"ping","expires_at":"2020-01-01T00:00:00Z"}', b"\xff")
    for number, text in enumerate(texts):
        (reply,) = of.command(0, 1.0, f"c{number}", text)
        assert isinstance(reply, Publish)
        assert isinstance(reply.payload, Reply)
        assert reply.payload.status is ReplyStatus.ERROR


def test_reboot_and_repair_do_what_they_say() -> None:
    of = stage(fault("pairing_lost", 5))
    effects(of, 6)
    mended = of.command(0, 7.0, "c1", b'{"name":"repair_pairing"}')
    assert isinstance(mended[0], Publish)
    assert isinstance(mended[0].payload, Pairing)
    assert all(p.paired for p in mended[0].payload.peripherals)
    of.command(0, 8.0, "c2", b'{"name":"reboot"}')
    assert messages(of, 11)[-1].boot == "b-K-000001-2"


def test_desired_changes_the_interval_and_installs_for_a_campaign() -> None:
    of = stage()
    effects(of, 0)
    of.desired(0, 0.5, b'{"version":2,"heartbeat_interval_s":50,"components":{"app":"5"},"campaign":"c"}')
    of.desired(0, 0.6, b'{"version":1,"heartbeat_interval_s":1}')
    of.desired(0, 0.7, b"nonsense")
    told = messages(of, 200)
    assert len([m for m in told if m.kind is Kind.HEARTBEAT]) == 4
    assert [m.payload.components["app"] for m in told if isinstance(m.payload, Software)] == ["5"]


def test_noise_follows_the_seed_and_nothing_else() -> None:
    noise = "[rates]\nrestarts_per_day = 500.0\ndead_zones_per_day = 500.0\nlate_share = 0.2\nduplicate_share = 0.2\n"
    one, same = (effects(stage(kits=5, more=noise), 2000) for _ in range(2))
    assert one == same
    other = Stage(parse(FLEET.format(kits=5) + noise).with_changes(seed=2), boot_prefix="b", epoch=EPOCH)
    assert effects(other, 2000) != one


def test_time_may_pass_in_any_steps() -> None:
    faults = fault("silence", 20, 60) + fault("late", 10, 50) + fault("malformed", 5, 80)
    whole = list(stage(faults, kits=4).advance(100))
    stepped_stage = stage(faults, kits=4)
    stepped = [item for step in range(1001) for item in stepped_stage.advance(step / 10)]
    assert stepped == whole


def test_faults_strike_different_kits_and_move_on() -> None:
    faults = fault("silence", 10, 20, every_s=30) + fault("drift", 10, 20, every_s=30)
    struck = [next(events) for events in [occurrences(parse(FLEET.format(kits=10) + faults))] for _ in range(6)]
    assert [round(o.at_s) for o in struck] == [10, 10, 40, 40, 70, 70]
    assert len({o.kits for o in struck}) == 6


def test_named_kits_are_struck_every_time_and_left_alone_by_the_draw() -> None:
    text = FLEET.format(kits=2) + '\n[[faults]]\nkind = "restart"\nat_s = 1\nevery_s = 5\nkits = ["K-000002"]'
    events = occurrences(parse(text + fault("restart", 2, every_s=5)))
    assert [next(events).kits for _ in range(4)] == [(1,), (0,), (1,), (0,)]


def test_a_fault_of_an_operator_strikes_its_kits_only() -> None:
    text = FLEET.format(kits=30) + '[[faults]]\nkind = "silence"\nat_s = 2\noperator = "3"\n'
    of = Stage(parse(text), boot_prefix="b", epoch=0.0)
    operators = [tablet.vitals.operator for tablet in of.tablets]
    (struck,) = occurrences(parse(text), operators)
    assert struck.kits == tuple(index for index, operator in enumerate(operators) if operator == "3")
    assert 0 < len(struck.kits) < 30

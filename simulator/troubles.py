"""How each fault begins and ends on a tablet."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

from fleet.protocol.messages import UpdateState
from simulator.faults import (
    ClockSkew,
    Command,
    Drift,
    Duplicate,
    FaultBase,
    Late,
    Malformed,
    MassDisconnect,
    NetworkLoss,
    OutOfOrder,
    PairingLost,
    ReconnectStorm,
    Restart,
    Silence,
    Updating,
)
from simulator.tablet import Tablet

WORKING = (UpdateState.OFFERED, UpdateState.ACCEPTED, UpdateState.DOWNLOADING, UpdateState.INSTALLING)


def inflict(tablet: Tablet, fault: FaultBase, at_s: float, until_s: float | None) -> None:
    """Begin `fault` at `at_s`, and have it end at `until_s` where it lasts."""
    tablet.later(at_s, lambda now_s: _begin(fault, tablet, now_s, until_s))


@singledispatch
def _begin(fault: FaultBase, _tablet: Tablet, _at_s: float, _until_s: float | None) -> None:
    raise TypeError(f"no way to inflict {type(fault).__name__}")


def _until(tablet: Tablet, until_s: float | None, end: Callable[[float], None]) -> None:
    if until_s is not None:
        tablet.later(until_s, end)


@_begin.register
def _silence(_fault: Silence, tablet: Tablet, at_s: float, until_s: float | None) -> None:
    tablet.switch_off(at_s)
    _until(tablet, until_s, tablet.switch_on)


@_begin.register
def _restart(fault: Restart, tablet: Tablet, at_s: float, _until_s: float | None) -> None:
    tablet.restart(at_s, fault.down_s)


@_begin.register
def _network_loss(_fault: NetworkLoss, tablet: Tablet, at_s: float, until_s: float | None) -> None:
    tablet.lose_network(at_s)
    _until(tablet, until_s, tablet.find_network)


@_begin.register
def _mass_disconnect(_fault: MassDisconnect, tablet: Tablet, at_s: float, until_s: float | None) -> None:
    tablet.cut(at_s)
    _until(tablet, until_s, tablet.mend)


@_begin.register
def _reconnect_storm(fault: ReconnectStorm, tablet: Tablet, at_s: float, until_s: float | None) -> None:
    tablet.drop_link(at_s)
    if until_s is not None and at_s + fault.period_s < until_s:
        tablet.later(at_s + fault.period_s, lambda now_s: _reconnect_storm(fault, tablet, now_s, until_s))


@_begin.register
def _late(_fault: Late, tablet: Tablet, at_s: float, until_s: float | None) -> None:
    tablet.hold(at_s)
    _until(tablet, until_s, tablet.release)


@_begin.register
def _out_of_order(fault: OutOfOrder, tablet: Tablet, _at_s: float, until_s: float | None) -> None:
    def end(_: float) -> None:
        tablet.group_size = 0
        tablet.release_group()

    tablet.group_size = fault.window
    _until(tablet, until_s, end)


@_begin.register
def _duplicate(fault: Duplicate, tablet: Tablet, _at_s: float, until_s: float | None) -> None:
    before = tablet.duplicate_share

    def end(_: float) -> None:
        tablet.duplicate_share = before

    tablet.duplicate_share = fault.message_share
    _until(tablet, until_s, end)


@_begin.register
def _clock_skew(fault: ClockSkew, tablet: Tablet, _at_s: float, until_s: float | None) -> None:
    def end(_: float) -> None:
        tablet.skew_s -= fault.offset_s

    tablet.skew_s += fault.offset_s
    _until(tablet, until_s, end)


@_begin.register
def _drift(fault: Drift, tablet: Tablet, at_s: float, until_s: float | None) -> None:
    before = tablet.versions.get(fault.component)

    def end(now_s: float) -> None:
        if before is None:
            tablet.versions.pop(fault.component, None)
        else:
            tablet.versions[fault.component] = before
        _tell_software(tablet, now_s)

    tablet.versions[fault.component] = fault.version
    _tell_software(tablet, at_s)
    _until(tablet, until_s, end)


def _tell_software(tablet: Tablet, at_s: float) -> None:
    if tablet.powered:
        tablet.report_software(at_s)


@_begin.register
def _pairing_lost(fault: PairingLost, tablet: Tablet, at_s: float, until_s: float | None) -> None:
    def turn(now_s: float, *, paired: bool) -> None:
        for device in tablet.devices:
            if device.kind == fault.peripheral:
                device.paired = paired
        if tablet.powered:
            tablet.report_pairing(now_s)

    turn(at_s, paired=False)
    _until(tablet, until_s, lambda now_s: turn(now_s, paired=True))


@_begin.register
def _malformed(fault: Malformed, tablet: Tablet, at_s: float, until_s: float | None) -> None:
    def send(now_s: float, number: int) -> None:
        if tablet.powered:
            tablet.malform(now_s, fault.sorts[number % len(fault.sorts)])
        soon = now_s + fault.period_s
        more = number + 1 < len(fault.sorts) if until_s is None else soon < until_s
        if more:
            tablet.later(soon, lambda then_s: send(then_s, number + 1))

    send(at_s, 0)


@_begin.register
def _updating(fault: Updating, tablet: Tablet, at_s: float, _until_s: float | None) -> None:
    last = UpdateState.FAILED if fault.fails else UpdateState.SUCCEEDED
    version = fault.version or tablet.versions.get(fault.component, "1.0.0")
    run_update(
        tablet,
        at_s,
        campaign=fault.campaign,
        wanted={fault.component: version},
        last=last,
        step_s=fault.step_s,
    )


def run_update(
    tablet: Tablet,
    at_s: float,
    *,
    campaign: str,
    wanted: dict[str, str],
    last: UpdateState,
    step_s: float = 1.0,
) -> None:
    """Tell each state in turn, a step apart; success installs the wanted versions. A restart ends it."""
    boot = tablet.boot
    states = (*WORKING, last)

    def step(now_s: float, number: int) -> None:
        if tablet.boot != boot or not tablet.powered:
            return
        tablet.report_update(now_s, campaign, states[number])
        if number + 1 < len(states):
            tablet.later(now_s + step_s, lambda then_s: step(then_s, number + 1))
        elif last is UpdateState.SUCCEEDED:
            tablet.versions.update(wanted)
            tablet.report_software(now_s)

    step(at_s, 0)


@_begin.register
def _command(fault: Command, tablet: Tablet, at_s: float, _until_s: float | None) -> None:
    if tablet.powered:
        tablet.ask(at_s, f"{tablet.boot}-{fault.name}-{tablet.seq}", fault.name)

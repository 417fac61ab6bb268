"""What can go wrong with kits on a schedule: one strict struct per kind of `[[faults]]`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=10**9)]
Share: TypeAlias = Annotated[float, Meta(gt=0, le=1)]

MalformedSort: TypeAlias = Literal[
    "invalid_json",
    "invalid_utf8",
    "nul_byte",
    "too_deep",
    "oversized",
    "wrong_type",
    "missing_field",
    "wrong_topic",
    "unknown_kit",
]
ALL_SORTS: tuple[MalformedSort, ...] = (
    "invalid_json",
    "invalid_utf8",
    "nul_byte",
    "too_deep",
    "oversized",
    "wrong_type",
    "missing_field",
    "wrong_topic",
    "unknown_kit",
)


class FaultBase(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """When (seconds from the start) and whom: one of `kits` (ids), `count`, `share` or `operator`.

    Without `until_s` it lasts to the end. `every_s` repeats it, each time with the next kits unless they
    are named.
    """

    at_s: Seconds
    until_s: Seconds | None = None
    every_s: Annotated[float, Meta(gt=0)] | None = None
    kits: tuple[str, ...] | None = None
    count: Annotated[int, Meta(ge=1)] | None = None
    share: Share | None = None
    operator: str | None = None
    """Every kit whose SIM is of this mobile operator."""

    must_end: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if (self.kits, self.count, self.share, self.operator).count(None) != 3:
            raise ValueError("give exactly one of kits, count, share and operator")
        if self.until_s is not None and self.until_s <= self.at_s:
            raise ValueError("until_s must be later than at_s")
        if self.until_s is None and self.must_end:
            raise ValueError("until_s is missing")
        if self.every_s is not None and (self.until_s or self.at_s) - self.at_s >= self.every_s:
            raise ValueError("it must end before it repeats (every_s)")


class Silence(FaultBase, frozen=True, tag="silence"):
    """Switched off: nothing is made or sent; comes back with a new boot."""


class Drift(FaultBase, frozen=True, tag="drift"):
    """Another version of one component is reported."""

    component: str = "app"
    version: str = "0.0.1-drift"


class Duplicate(FaultBase, frozen=True, tag="duplicate"):
    """This share of the messages is sent twice."""

    message_share: Share = 1.0


class Late(FaultBase, frozen=True, tag="late"):
    """Messages are held on the tablet and sent in order at the end, at their own times."""

    must_end: ClassVar[bool] = True


class OutOfOrder(FaultBase, frozen=True, tag="out_of_order"):
    """Messages leave shuffled within groups of `window`."""

    window: Annotated[int, Meta(ge=2, le=1000)] = 5
    must_end: ClassVar[bool] = True


class Malformed(FaultBase, frozen=True, tag="malformed"):
    """Messages that must be quarantined: each of `sorts` in turn, every `period_s`, at least once."""

    sorts: tuple[MalformedSort, ...] = ALL_SORTS
    period_s: Annotated[float, Meta(gt=0)] = 1.0


class ClockSkew(FaultBase, frozen=True, tag="clock_skew"):
    """The tablet's clock is ahead (positive) or behind (negative) by `offset_s`."""

    offset_s: Annotated[float, Meta(ge=-(10**9), le=10**9)]


class MassDisconnect(FaultBase, frozen=True, tag="mass_disconnect"):
    """The way to the broker is cut at once, unknown to the tablets, which go on and keep their messages."""

    must_end: ClassVar[bool] = True


class NetworkLoss(FaultBase, frozen=True, tag="network_loss"):
    """No network: messages say `none`, are kept, and are sent in order afterwards."""


class Restart(FaultBase, frozen=True, tag="restart"):
    """Off and on again: a new boot after `down_s`."""

    down_s: Seconds = 2.0


class PairingLost(FaultBase, frozen=True, tag="pairing_lost"):
    """A peripheral is no longer paired."""

    peripheral: str = "oximeter"


class ReconnectStorm(FaultBase, frozen=True, tag="reconnect_storm"):
    """Connections drop every `period_s` and come back without any jitter."""

    period_s: Annotated[float, Meta(gt=0)] = 3.0
    must_end: ClassVar[bool] = True


class Updating(FaultBase, frozen=True, tag="update"):
    """Tablets work through an update campaign, a state every `step_s`."""

    campaign: str = "campaign-1"
    component: str = "app"
    version: str | None = None
    step_s: Annotated[float, Meta(gt=0)] = 1.0
    fails: bool = False


class Command(FaultBase, frozen=True, tag="command"):
    """The simulator plays the server's part and gives a command through the broker."""

    name: Literal["ping", "diagnostics", "locate", "reboot", "repair_pairing"] = "ping"


Fault: TypeAlias = (
    Silence
    | Drift
    | Duplicate
    | Late
    | OutOfOrder
    | Malformed
    | ClockSkew
    | MassDisconnect
    | NetworkLoss
    | Restart
    | PairingLost
    | ReconnectStorm
    | Updating
    | Command
)

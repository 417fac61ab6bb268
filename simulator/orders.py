"""What the server tells a tablet: `desired` and `commands/{command}`, read leniently, answered always."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from fleet.protocol.messages import Reply, ReplyStatus, UpdateState
from fleet.protocol.topics import Kind
from simulator.effects import Publish
from simulator.tablet import Tablet
from simulator.troubles import run_update

REMEMBERED = 64


class Order(Struct, frozen=True):
    """A command's payload."""

    name: str
    arguments: dict[str, Any] | None = None
    expires_at: datetime | None = None


class Desired(Struct, frozen=True):
    """The wanted state; `version` rises."""

    version: int = 0
    heartbeat_interval_s: float | None = None
    components: dict[str, str] | None = None
    campaign: str | None = None


class Orders:
    """Carries out orders on a tablet; the same command is answered once, an older `desired` passed over."""

    __slots__ = ("_answered", "_tablet", "_version")

    def __init__(self, tablet: Tablet) -> None:
        self._tablet = tablet
        self._answered: dict[str, None] = {}
        self._version = -1

    def command(self, at_s: float, command: str, payload: bytes) -> None:
        """Do what is asked, and reply."""
        if command in self._answered or not self._tablet.powered:
            return
        self._answered[command] = None
        if len(self._answered) > REMEMBERED:
            del self._answered[next(iter(self._answered))]
        try:
            order = msgspec.json.decode(payload, type=Order)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._reply(at_s, command, ReplyStatus.ERROR, {"error": str(error)[:200]})
            return
        if order.expires_at is not None and order.expires_at < self._tablet.clock(at_s):
            self._reply(at_s, command, ReplyStatus.ERROR, {"error": "expired"})
            return
        self._carry_out(at_s, command, order.name)

    def _carry_out(self, at_s: float, command: str, name: str) -> None:
        tablet = self._tablet
        if name == "ping":
            tablet.report_all(at_s)
            self._reply(at_s, command, ReplyStatus.OK, None)
        elif name == "diagnostics":
            self._reply(at_s, command, ReplyStatus.OK, self._diagnostics(at_s))
        elif name == "repair_pairing":
            for device in tablet.devices:
                device.paired = True
            tablet.report_pairing(at_s)
            self._reply(at_s, command, ReplyStatus.OK, {"paired": [device.serial for device in tablet.devices]})
        elif name == "reboot":
            self._reply(at_s, command, ReplyStatus.OK, None)
            tablet.restart(at_s)
        else:
            self._reply(at_s, command, ReplyStatus.ERROR, {"error": "not supported"})

    def _diagnostics(self, at_s: float) -> dict[str, Any]:
        tablet = self._tablet
        return {"uptime_s": round(at_s - tablet.booted_s), "components": tablet.versions, "boot": tablet.boot}

    def _reply(self, at_s: float, command: str, status: ReplyStatus, result: Any) -> None:
        reply = Reply(ts=self._tablet.clock(at_s), status=status, result=result)
        self._tablet.publish(Publish(at_s, Kind.REPLY, reply, command=command))

    def desired(self, at_s: float, payload: bytes) -> None:
        """Take over the interval, and install wanted components when a campaign says so."""
        try:
            wanted = msgspec.json.decode(payload, type=Desired)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if wanted.version <= self._version or not self._tablet.powered:
            return
        self._version = wanted.version
        if wanted.heartbeat_interval_s is not None and wanted.heartbeat_interval_s >= 1:
            self._tablet.interval_s = wanted.heartbeat_interval_s
        components = wanted.components or {}
        if wanted.campaign and components.items() - self._tablet.versions.items():
            run_update(self._tablet, at_s, campaign=wanted.campaign, wanted=components, last=UpdateState.SUCCEEDED)

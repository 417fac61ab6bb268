"""Topics under the root (`fleet/v1` by default). Source: docs/reference/asyncapi.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

KIT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""A kit's id, for example `K-004711`."""

COMMAND_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)


class Kind(StrEnum):
    """What a device message is about: the topic level after the kit's id."""

    HEARTBEAT = "heartbeat"
    SOFTWARE = "software"
    PAIRING = "pairing"
    CONNECTION = "connection"
    UPDATE = "update"
    REPLY = "reply"


class Downlink(StrEnum):
    """What the server sends to tablets; seen again on our own subscription and passed over."""

    DESIRED = "desired"
    COMMANDS = "commands"


@dataclass(frozen=True, slots=True)
class DeviceTopic:
    """A well-formed topic of a device message; `command` is set for replies only."""

    kit: str
    kind: Kind
    command: str | None = None


_PLAIN = {kind.value: kind for kind in Kind if kind is not Kind.REPLY}


class Topics:
    """Builds and reads the topics under one root."""

    def __init__(self, root: str = "fleet/v1") -> None:
        self.root = root
        self._kits = f"{root}/kits/"

    @property
    def everything(self) -> str:
        """The one plain subscription of ingest: also wrong topics must reach the quarantine."""
        return f"{self.root}/#"

    def device(self, kit: str, kind: Kind, command: str | None = None) -> str:
        """The topic on which `kit` publishes `kind`."""
        if kind is Kind.REPLY:
            return f"{self._kits}{kit}/replies/{command}"
        return f"{self._kits}{kit}/{kind.value}"

    def desired(self, kit: str) -> str:
        """Retained wanted state of a kit, server → tablet."""
        return f"{self._kits}{kit}/{Downlink.DESIRED}"

    def command(self, kit: str, command: str) -> str:
        """One command, server → tablet."""
        return f"{self._kits}{kit}/{Downlink.COMMANDS}/{command}"

    def marker(self, client_id: str) -> str:
        """Where ingest publishes to itself to learn that it is past its backlog."""
        return f"{self.root}/ingest/{client_id}/marker"

    def parse(self, topic: str) -> DeviceTopic | Downlink | None:
        """Read a topic; None means that it is not one of ours (to be quarantined)."""
        if not topic.startswith(self._kits):
            return None
        levels = topic[len(self._kits) :].split("/")
        if len(levels) < 2 or KIT_ID.fullmatch(levels[0]) is None:
            return None
        return _parse_levels(levels)


def _parse_levels(levels: list[str]) -> DeviceTopic | Downlink | None:
    if len(levels) == 2:
        kind = _PLAIN.get(levels[1])
        if kind is not None:
            return DeviceTopic(levels[0], kind)
        return Downlink.DESIRED if levels[1] == Downlink.DESIRED else None
    if len(levels) != 3 or COMMAND_ID.fullmatch(levels[2]) is None:
        return None
    if levels[1] == "replies":
        return DeviceTopic(levels[0], Kind.REPLY, levels[2])
    return Downlink.COMMANDS if levels[1] == Downlink.COMMANDS else None

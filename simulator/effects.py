"""What a virtual tablet wants done; carrying it out is the engine's part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from fleet.protocol.messages import Payload
from fleet.protocol.topics import Kind
from simulator.faults import MalformedSort


@dataclass(frozen=True, slots=True)
class Publish:
    """A device message; `boot` and `seq` are set for sequenced kinds, `command` for replies."""

    at_s: float
    kind: Kind
    payload: Payload
    boot: str | None = None
    seq: int = 0
    command: str | None = None
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Malform:
    """A message of `sort` that the server must quarantine."""

    at_s: float
    sort: MalformedSort
    boot: str


@dataclass(frozen=True, slots=True)
class Link:
    """The way to the broker is there or gone; `at_once` comes back without jitter."""

    at_s: float
    up: bool
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """The server's part: give the kit this command through the broker."""

    at_s: float
    command: str
    name: str


Effect: TypeAlias = Publish | Malform | Link | Ask

"""Virtual tablets of a timeline: what they say and when, with the counters and the spool that a real one has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fleet.ingest.connection import Incoming
from fleet.protocol.topics import Kind, Topics
from tests.timeline.language import LanguageError, seconds

TOPICS = Topics()
HEARTBEAT = {"battery": 80, "charging": False, "signal_dbm": -75, "network": "4g", "storage_free_mb": 9000}
NUMBERS = ("battery", "signal_dbm", "storage_free_mb", "uptime_s", "progress", "rssi")
IDENTITY = ("tablet_serial", "imei", "iccid")
TRUE = ("yes", "true")
FALSE = ("no", "false")


@dataclass(slots=True)
class Tablet:
    """One kit's tablet. Times are seconds from the beginning; `skew_s` is how far its clock is ahead."""

    kit: str
    interval_s: float
    phase_s: float
    defaults: dict[str, Any]
    begin: datetime
    boots: int = 1
    seq: int = 0
    skew_s: float = 0.0
    offline: bool = False
    beating: bool = False
    next_beat_s: float = 0.0
    peripherals: dict[str, dict[str, Any]] = field(default_factory=dict)
    components: dict[str, str] = field(default_factory=dict)
    identity: dict[str, str] = field(default_factory=dict)
    spool: list[tuple[str, bytes]] = field(default_factory=list)
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    twin_seq: int | None = None

    def begin_beating(self, at_s: float, values: Mapping[str, str]) -> None:
        """Send heartbeats from here on, each kit of a group at a moment of its own within the interval."""
        self.beating = True
        self.next_beat_s = at_s + self.phase_s
        self.defaults |= {name: typed(name, value) for name, value in values.items()}

    def beats_until(self, end_s: float) -> None:
        """Heartbeats due up to a moment."""
        while self.beating and self.next_beat_s <= end_s:
            self.say(Kind.HEARTBEAT, self.next_beat_s, self.defaults)
            if self.twin_seq is not None:
                self._twin_says(self.next_beat_s + 1.0)
            self.next_beat_s += self.interval_s

    def reboot(self) -> None:
        """Begin a new boot."""
        self.boots += 1
        self.seq = 0

    def say(self, kind: Kind, at_s: float, body: Mapping[str, Any]) -> None:
        """Put a message into the spool."""
        self.seq += 1
        at = self.begin + timedelta(seconds=at_s + self.skew_s)
        message = {"ts": rfc3339(at), "boot": f"boot-{self.boots}", "seq": self.seq, **body}
        self.spool.append((TOPICS.device(self.kit, kind), json.dumps(message).encode()))

    def _twin_says(self, at_s: float) -> None:
        """A heartbeat of another tablet that has this kit's credentials."""
        assert self.twin_seq is not None
        self.twin_seq += 1
        at = self.begin + timedelta(seconds=at_s)
        message = {"ts": rfc3339(at), "boot": "twin", "seq": self.twin_seq, **self.defaults}
        self.spool.append((TOPICS.device(self.kit, Kind.HEARTBEAT), json.dumps(message).encode()))

    def pair(self, at_s: float, kind: str, values: Mapping[str, str]) -> None:
        """Report every peripheral, this one changed; `contact=-2d` counts from now."""
        known = self.peripherals.setdefault(kind, {"serial": f"{self.kit}-{kind}", "kind": kind, "paired": True})
        for name, value in values.items():
            if name == "contact":
                ago_s = -seconds(value.removeprefix("-")) if value.startswith("-") else seconds(value)
                known["last_contact"] = rfc3339(self.begin + timedelta(seconds=at_s + self.skew_s + ago_s))
            else:
                known[name] = typed(name, value)
        self.say(Kind.PAIRING, at_s, {"peripherals": list(self.peripherals.values())})

    def report(self, at_s: float, values: Mapping[str, str]) -> None:
        """Report every version, and which tablet and SIM it is where that was told; these changed."""
        self.identity |= {name: value for name, value in values.items() if name in IDENTITY}
        self.components |= {name: value for name, value in values.items() if name not in IDENTITY}
        self.say(Kind.SOFTWARE, at_s, {**self.identity, "components": self.components})

    def deliver(self, received_at: datetime) -> Iterator[Incoming]:
        """What the spool holds, handed over now."""
        for topic, payload in self.spool:
            yield Incoming(topic, payload, retained=False, received_at=received_at, packet_id=1)
        self.sent += self.spool
        self.spool = []

    def repeat(self) -> None:
        """Everything it ever sent, once more."""
        self.spool += self.sent


def rfc3339(at: datetime) -> str:
    """A time as messages carry it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def typed(name: str, value: str) -> Any:
    """A field of a message from its word."""
    if value in TRUE or value in FALSE:
        return value in TRUE
    if name in NUMBERS:
        return float(value) if "." in value else int(value)
    return value


def tablets_of(ids: Iterable[str], options: Mapping[str, str], begin: datetime) -> Iterator[Tablet]:
    """The tablets of one line, spread over the interval; options that are heartbeat fields are what they say."""
    ids = list(ids)
    interval_s = seconds(options.get("beats", options.get("every", "5m")))
    said = {name: typed(name, options[name]) for name in (*HEARTBEAT, "operator") if name in options}
    for number, kit in enumerate(ids):
        yield Tablet(kit, interval_s, interval_s * number / len(ids), {**HEARTBEAT, **said}, begin)


def do(tablet: Tablet, verb: str, at_s: float, words: tuple[str, ...], values: Mapping[str, str]) -> None:
    """One thing that a tablet does at a moment; raises LanguageError for what it cannot do."""
    match verb:
        case "reports":
            tablet.report(at_s, values)
        case "pairs":
            tablet.pair(at_s, words[0], values)
        case "updates":
            body = {name: typed(name, value) for name, value in values.items()}
            tablet.say(Kind.UPDATE, at_s, {"campaign": "campaign", "state": words[0], **body})
        case "reboots":
            tablet.reboot()
        case "repeats":
            tablet.repeat()
        case "skewed":
            tablet.skew_s = -seconds(words[0][1:]) if words[0].startswith("-") else seconds(words[0])
        case "beat":
            said = {name: typed(name, value) for name, value in values.items()}
            tablet.say(Kind.HEARTBEAT, at_s, {**tablet.defaults, **said})
        case _:
            raise LanguageError(f"a kit cannot {verb!r}")

"""Scenarios: TOML read strictly into frozen structs; every unknown key and bad value is named."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from fleet.protocol.messages import Reason
from simulator.errors import ScenarioError
from simulator.faults import Fault, Seconds

SHIPPED = Path(__file__).parent / "scenarios"
MAX_RECORDED_S = 4 * 86_400
"""The ledger counts time in tenths of milliseconds in 32 bits."""
VERSIONS = {"os": "14.0.3", "mdm": "7.2.0", "app": "3.4.1", "bluetooth": "5.2.11", "firmware": "1.9.0"}
MODELS = {"scale": "WS-310", "oximeter": "PX-20"}

Positive: TypeAlias = Annotated[float, Meta(gt=0, le=10**9)]
PerDay: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]
Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class Fleet(Section, frozen=True):
    """How many kits, what they are called, and how often they report."""

    kits: Annotated[int, Meta(ge=1, le=1_000_000)]
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,40}$")] = "K-"
    first: Annotated[int, Meta(ge=0)] = 1
    digits: Annotated[int, Meta(ge=1, le=12)] = 6
    organisation: str = ""
    state: str = "installed"
    seed: int = 1
    duration_s: Positive = 60.0
    endless: bool = False
    ramp_s: Seconds = 5.0
    heartbeat_interval_s: Positive = 60.0
    expected_interval_s: Annotated[int, Meta(ge=1, le=90 * 86_400)] = 300
    operators: tuple[str, ...] = ("TDC NET", "Telenor", "3")


class Software(Section, frozen=True):
    """What runs on the tablets, and what the server is told to want (`wanted`, in the kits' CSV).

    `identity` is what each tablet says of itself; `{kit}` stands for its kit.
    """

    versions: dict[str, str] = msgspec.field(default_factory=lambda: dict(VERSIONS))
    wanted: dict[str, str] = {}
    identity: dict[Literal["tablet_serial", "imei", "iccid"], str] = {}


class Peripherals(Section, frozen=True):
    """The Bluetooth devices of each kit: kind → model."""

    models: dict[str, str] = msgspec.field(default_factory=lambda: dict(MODELS))
    contacts_per_day: PerDay = 2.0


class Rates(Section, frozen=True):
    """Noise: what happens by itself, per kit, spread at random (of the seed)."""

    restarts_per_day: PerDay = 0.0
    switch_offs_per_day: PerDay = 0.0
    switch_off_s: Seconds = 20.0
    dead_zones_per_day: PerDay = 0.0
    dead_zone_s: Seconds = 10.0
    duplicate_share: Probability = 0.0
    late_share: Probability = 0.0
    late_s: Seconds = 5.0


class Connections(Section, frozen=True):
    """How tablets hold their connections and what they keep."""

    keep_alive_s: Annotated[int, Meta(ge=2, le=65_535)] = 60
    session_expiry_s: Annotated[int, Meta(ge=1, le=2**32 - 2)] = 3600
    max_inflight: Annotated[int, Meta(ge=1, le=65_000)] = 100
    spool_messages: Annotated[int, Meta(ge=1)] = 10_000
    keep_after_ack_s: Seconds = 10.0
    backoff_s: Positive = 1.0
    max_backoff_s: Positive = 30.0
    dials_at_once: Annotated[int, Meta(ge=1, le=1000)] = 100


class Expect(Section, frozen=True):
    """What must hold at the end; alerts and requests follow from the faults unless `derive` is false."""

    exactly_once: bool = True
    quarantined: bool | dict[str, int] = True
    derive: bool = True
    alerts: dict[str, int] = {}
    suppressed: dict[str, int] = {}
    requests: dict[str, int] = {}
    incidents: Annotated[int, Meta(ge=0)] = 0
    cohorts: tuple[str, ...] = ()
    resolved: bool = False
    detect_s: Seconds = 20.0
    drift_after_s: Seconds = 30.0
    p99_received_s: Positive | None = None
    p99_commit_s: Positive | None = None
    settle_s: Seconds = 30.0
    drain_s: Seconds = 15.0


class Scenario(Section, frozen=True):
    """A whole run; the same scenario and seed make the same messages at the same relative times."""

    fleet: Fleet
    name: str = "scenario"
    software: Software = Software()
    peripherals: Peripherals = Peripherals()
    rates: Rates = Rates()
    connections: Connections = Connections()
    faults: tuple[Fault, ...] = ()
    expect: Expect = Expect()

    def kit_ids(self) -> list[str]:
        """Every kit's id, in order."""
        fleet = self.fleet
        return [f"{fleet.prefix}{number:0{fleet.digits}}" for number in range(fleet.first, fleet.first + fleet.kits)]

    def silent_after_s(self) -> float:
        """Listening time after which the server calls an installed kit silent."""
        expected = self.fleet.expected_interval_s
        return max(30.0, expected * (3 if expected <= 3600 else 1.5))

    def with_changes(
        self,
        *,
        kits: int | None = None,
        seed: int | None = None,
        duration_s: float | None = None,
        endless: bool | None = None,
    ) -> Scenario:
        """The same scenario with what the command line says instead."""
        changes: dict[str, Any] = {"kits": kits, "seed": seed, "duration_s": duration_s, "endless": endless}
        given = {name: value for name, value in changes.items() if value is not None}
        return validated(msgspec.structs.replace(self, fleet=msgspec.structs.replace(self.fleet, **given)))


def load(path: Path | str) -> Scenario:
    """Read a scenario file, or a shipped one by its name (`smoke`); raises ScenarioError naming the fault."""
    file = _find(path)
    try:
        return parse(file.read_text(encoding="utf-8"), name=file.stem)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from None


def _find(path: Path | str) -> Path:
    file = Path(path)
    shipped = SHIPPED / file.with_suffix(".toml").name
    if not file.exists() and len(file.parts) == 1 and shipped.exists():
        return shipped
    return file


def parse(text: str, *, name: str = "scenario") -> Scenario:
    """Read a scenario from TOML text."""
    try:
        content = tomllib.loads(text)
        scenario = msgspec.convert({"name": name, **content}, Scenario)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(str(error)) from None
    except msgspec.ValidationError as error:
        raise ScenarioError(_named(str(error))) from None
    return validated(scenario)


def _named(message: str) -> str:
    """`faults[2].at_s: Expected …` instead of `Expected … - at `$.faults[2].at_s``."""
    match = re.fullmatch(r"(.*) - at `\$\.?(.*)`", message, re.DOTALL)
    return f"{match[2]}: {match[1]}" if match else message


def validated(scenario: Scenario) -> Scenario:
    """Check what spans several tables; returns the scenario itself."""
    for problem in _problems(scenario):
        raise ScenarioError(problem)
    return scenario


def _problems(scenario: Scenario) -> Iterable[str]:
    fleet = scenario.fleet
    if not 1 <= fleet.kits <= 1_000_000:
        yield f"fleet.kits: {fleet.kits} is not between 1 and 1,000,000"
    if fleet.duration_s <= 0 or (fleet.duration_s > MAX_RECORDED_S and not fleet.endless):
        yield f"fleet.duration_s: {fleet.duration_s:g} is not between 0 and {MAX_RECORDED_S} (or set endless)"
    if isinstance(scenario.expect.quarantined, dict):
        for reason in scenario.expect.quarantined.keys() - set(Reason):
            yield f"expect.quarantined.{reason}: not a reason; known are {', '.join(Reason)}"
    yield from _fault_problems(scenario)


def _fault_problems(scenario: Scenario) -> Iterable[str]:
    fleet = scenario.fleet
    known = set(scenario.kit_ids()) if any(fault.kits for fault in scenario.faults) else set()
    for number, fault in enumerate(scenario.faults):
        if fault.operator is not None and fault.operator not in fleet.operators:
            yield f"faults[{number}].operator: {fault.operator} is not in fleet.operators"
        for kit in fault.kits or []:
            if kit not in known:
                yield f"faults[{number}].kits: {kit} is not in the fleet"
        peripheral = getattr(fault, "peripheral", None)
        if peripheral is not None and peripheral not in scenario.peripherals.models:
            yield f"faults[{number}].peripheral: {peripheral} is not in peripherals.models"

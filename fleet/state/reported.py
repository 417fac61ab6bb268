"""What changed between two reports of a kit: pure, one record per version, peripheral or pairing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class What(StrEnum):
    """Kinds of change."""

    VERSION = "version"
    PERIPHERAL = "peripheral"
    PAIRING = "pairing"
    PERIPHERAL_FIRMWARE = "peripheral_firmware"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class Change:
    """`subject` (a component's name or a peripheral's serial number) went from `before` to `after`; None is absent."""

    what: What
    subject: str
    before: str | None
    after: str | None


def software_changes(before: Mapping[str, str] | None, after: Mapping[str, str]) -> Iterator[Change]:
    """Versions that differ; a first report changes nothing, there was no state before it."""
    if before is None:
        return
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Change(What.VERSION, name, before.get(name), after.get(name))


def identity_changes(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> Iterator[Change]:
    """Another tablet or another SIM than before; a tablet that says nothing of itself changes nothing."""
    if before is None or after is None:
        return
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield Change(What.IDENTITY, name, before[name], after[name])


def pairing_changes(before: Sequence[Mapping[str, Any]] | None, after: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    """Peripherals that came or went, were paired or lost their pairing, or run another firmware."""
    if before is None:
        return
    old = {peripheral["serial"]: peripheral for peripheral in before}
    new = {peripheral["serial"]: peripheral for peripheral in after}
    for serial in sorted(old.keys() | new.keys()):
        was, now = old.get(serial), new.get(serial)
        if was is None or now is None:
            yield Change(What.PERIPHERAL, serial, was["kind"] if was else None, now["kind"] if now else None)
            continue
        if was["paired"] != now["paired"]:
            yield Change(What.PAIRING, serial, _paired(was), _paired(now))
        if was.get("firmware") != now.get("firmware"):
            yield Change(What.PERIPHERAL_FIRMWARE, serial, was.get("firmware"), now.get("firmware"))


def _paired(peripheral: Mapping[str, Any]) -> str:
    return "paired" if peripheral["paired"] else "lost"

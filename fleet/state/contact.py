"""When a tablet last reached a device, told by the tablet's clock: as a moment of ours, or none where it cannot be.

`ts` and `last_contact` of a report are of one clock. What that clock was off when the report came is taken off both.
A contact after its own report never was: a clock that was set back tells such things for some hours, one that is broken
for ever. Some hours are kept as told, because taking a device for lost needs days; what proves something must
ask `proven_contact`, for which only a contact before its report is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import json, structs

from fleet.protocol.messages import Peripheral
from fleet.protocol.times import MAX_AHEAD, Stamp

MOST_AHEAD = timedelta(days=1)
"""A contact so long after its report is nobody's clock set right: it is dropped on arrival."""


def kept(peripherals: Sequence[Peripheral], stamp: Stamp) -> Any:
    """The devices of a report as they are kept, in JSON's types: their contacts by our clock."""
    return json.decode(json.encode([_by_our_clock(each, stamp) for each in peripherals]))


def proven_contact(told: str | datetime | None, reported_at: datetime) -> datetime | None:
    """The last contact that a report of `reported_at` proves; None when it tells none, or one after itself."""
    if told is None:
        return None
    at = told if isinstance(told, datetime) else datetime.fromisoformat(told)
    return None if at > reported_at + MAX_AHEAD else at


def _by_our_clock(peripheral: Peripheral, stamp: Stamp) -> Peripheral:
    told = peripheral.last_contact
    if told is None:
        return peripheral
    try:
        at = told - timedelta(seconds=stamp.offset_s or 0.0)
        ahead = at > stamp.time + MOST_AHEAD
    except OverflowError:  # the first and the last days of the calendar
        ahead = True
    return structs.replace(peripheral, last_contact=None if ahead else at)

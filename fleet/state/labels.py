"""What stands on the labels of kits and components: nothing of a citizen, and no free text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all
from fleet.errors import InvalidError

MAX_LABELS = 500
_SQL = load_queries("fleet.state", "labels.sql")


@dataclass(frozen=True, slots=True)
class Label:
    """One label; `code` is what its QR code holds, `tail` the last four characters that people ask for on the phone."""

    code: str
    title: str
    line: str
    detail: str
    tail: str


@dataclass(frozen=True, slots=True)
class _Found:
    key: str
    code: str
    title: str
    line: str
    detail: str
    tail: str


async def kit_labels(connection: Connection, kits: Sequence[str]) -> list[Label]:
    """Labels of these kits, in the order given; raises InvalidError naming those that are not in sight."""
    found = await fetch_all(connection, _SQL["kits"], {"kits": list(kits)}, _Found)
    return _in_order("kits", kits, found)


async def component_labels(connection: Connection, numbers: Sequence[int]) -> list[Label]:
    """Labels of these components by number; as `kit_labels`."""
    found = await fetch_all(connection, _SQL["components"], {"numbers": list(numbers)}, _Found)
    return _in_order("components", [str(number) for number in numbers], found)


async def location_labels(connection: Connection, location: str) -> list[Label]:
    """Labels of the kits, and of the components in no kit, at a location, by its slug; not of what is scrapped.

    Raises InvalidError past the limit, and when nothing is there, which a blank sheet would not say.
    """
    found = await fetch_all(connection, _SQL["at_location"], {"location": location, "limit": MAX_LABELS + 1}, _Found)
    if len(found) > MAX_LABELS:
        raise InvalidError("location", f"more than {MAX_LABELS} are there: name the kits or components")
    if not found:
        raise InvalidError("location", f"nothing is at {location}, or there is no such location")
    return [_label(each) for each in found]


def _in_order(field: str, keys: Sequence[str], found: Sequence[_Found]) -> list[Label]:
    if len(keys) > MAX_LABELS:
        raise InvalidError(field, f"at most {MAX_LABELS} labels at once")
    by_key = {each.key: each for each in found}
    missing = [key for key in keys if key not in by_key]
    if missing:
        raise InvalidError(field, f"there is no {', '.join(missing[:10])}")
    return [_label(by_key[key]) for key in keys]


def _label(found: _Found) -> Label:
    return Label(found.code, found.title, found.line, found.detail, found.tail)

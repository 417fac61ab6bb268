"""The console's menu: its pages by the work they belong to, only those that the caller may read."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.access.principal import Principal
from fleet.access.roles import Permission

P = Permission


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the menu: the key of its name, its address, what is needed to read it, what else lies below it."""

    key: str
    path: str
    needs: Permission
    below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry as it is shown; `current` is `page` on the page itself, `true` below it, else empty."""

    key: str
    path: str
    current: str


@dataclass(frozen=True, slots=True)
class Group:
    """Entries of one kind of work; `here` tells that the present page is among them."""

    key: str
    entries: tuple[Shown, ...]
    here: bool


GROUPS: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    ("nav_kits", (Entry("kits", "/", P.KITS_READ, ("/kits/",)),)),
    (
        "nav_desk",
        (
            Entry("requests", "/service-requests", P.REQUESTS_READ),
            Entry("incidents", "/incidents", P.ALERTS_READ),
            Entry("visits", "/visits", P.VISITS_READ),
        ),
    ),
    (
        "nav_logistics",
        (
            Entry("scan", "/scan", P.KITS_MOVE),
            Entry("stock", "/stock", P.STOCK_READ),
            Entry("orders", "/orders", P.ORDERS_READ),
            Entry("stocktakes", "/stocktakes", P.STOCK_READ),
        ),
    ),
    (
        "nav_setup",
        (
            Entry("rules", "/rules", P.ALERTS_READ),
            Entry("maintenance_windows", "/maintenance", P.ALERTS_READ),
            Entry("contracts", "/contracts", P.CONTRACTS_READ, ("/calendars/",)),
            Entry("trees", "/problem-trees", P.CALLS_READ, ("/new-problem-tree",)),
            Entry("lists", "/lists", P.REQUESTS_READ),
            Entry("lessons", "/lessons", P.REQUESTS_READ),
            Entry("outlets", "/outlets", P.WEBHOOKS_READ),
        ),
    ),
)
"""Key of the group's name, and its pages in the order they are shown."""


def menu(principal: Principal, path: str) -> tuple[Group, ...]:
    """The groups for a caller on the page at `path`; a group without a readable page is left out."""
    groups = []
    for key, entries in GROUPS:
        shown = tuple(Shown(each.key, each.path, _current(each, path)) for each in entries if principal.may(each.needs))
        if shown:
            groups.append(Group(key, shown, any(each.current for each in shown)))
    return tuple(groups)


def _current(entry: Entry, path: str) -> str:
    if path == entry.path:
        return "page"
    below = entry.below if entry.path == "/" else (f"{entry.path}/", *entry.below)
    return "true" if path.startswith(below) else ""

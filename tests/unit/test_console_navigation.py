"""The console's menu: by the work it belongs to, only what the caller may read, the present page marked."""

from __future__ import annotations

import pytest

from fleet.access.principal import Grant, Principal
from fleet.access.roles import PERMISSIONS, Permission, Role
from fleet.api.console.navigation import GROUPS, menu


def of(*roles: Role) -> Principal:
    """A token with these roles over the whole installation."""
    return Principal("token", 1, "tests", tuple(Grant(role, None) for role in roles))


def shown(role: Role) -> dict[str, list[str]]:
    """The menu's groups and their addresses for a role."""
    return {group.key: [each.path for each in group.entries] for group in menu(of(role), "/")}


def test_an_administrator_sees_every_page() -> None:
    assert shown(Role.ADMIN) == {key: [each.path for each in entries] for key, entries in GROUPS}


def test_support_sees_no_stock_and_no_contracts() -> None:
    seen = shown(Role.SUPPORT)
    assert seen["nav_logistics"] == ["/scan"]
    assert seen["nav_setup"] == ["/rules", "/maintenance", "/problem-trees", "/lists", "/lessons"]


def test_a_program_that_shows_counts_has_no_menu() -> None:
    assert shown(Role.GRAFANA) == {}


@pytest.mark.parametrize("role", list(Role))
def test_nothing_is_shown_that_may_not_be_read(role: Role) -> None:
    needed: dict[str, Permission] = {each.path: each.needs for _, entries in GROUPS for each in entries}
    for paths in shown(role).values():
        assert {needed[path] for path in paths} <= PERMISSIONS[role]


@pytest.mark.parametrize(
    ("path", "entry", "current"),
    [
        ("/", "/", "page"),
        ("/kits/K-1/call", "/", "true"),
        ("/visits", "/visits", "page"),
        ("/visits/V-1", "/visits", "true"),
        ("/calendars/office", "/contracts", "true"),
        ("/new-problem-tree", "/problem-trees", "true"),
    ],
)
def test_the_present_page_is_marked_and_no_other(path: str, entry: str, current: str) -> None:
    groups = menu(of(Role.ADMIN), path)
    assert {each.path: each.current for group in groups for each in group.entries if each.current} == {entry: current}
    assert [group.here for group in groups].count(True) == 1


def test_a_page_outside_of_the_menu_marks_nothing() -> None:
    assert not any(group.here for group in menu(of(Role.ADMIN), "/stocktakes-of-others"))

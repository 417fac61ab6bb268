"""docs/data-protection.md against catalogue, policies and roles: nothing is stored that it does not name."""

from __future__ import annotations

import re
from pathlib import Path

from fleet.access.roles import Permission, Role, allowed
from tests.support import rows

PAGE = Path(__file__).parents[2] / "docs/data-protection.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text(encoding="utf-8").split("## Retention")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| what ")
]
HELD = re.compile(r"`([a-z_]+\.[a-z_]+)`: ([a-z_]+(?:, [a-z_]+)*)")


def test_every_table_has_an_entry_and_every_entry_a_table(database: str) -> None:
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[1])}
    stored = rows(
        database,
        "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace",
    )
    assert named == {name for (name,) in stored}, "tables without an entry, or entries without a table"


def test_every_policy_is_told_with_its_default_and_bounds(database: str) -> None:
    told = [
        (kind, *map(int, numbers))
        for row in ROWS
        for kind, *numbers in re.findall(r"`(\w+)` (\d+) \((\d+)–(\d+)\)", row[3])  # noqa: RUF001 - as printed
    ]
    policies = rows(database, "SELECT kind, default_days, min_days, max_days FROM retention_policies")
    assert sorted(told) == sorted(policies)


def test_who_sees_it_is_what_the_roles_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = HELD.findall(page)
    assert len(found) >= len(ROWS) - 3
    for permission, named in found:
        holders = [role.value for role in Role if allowed(role, Permission(permission))]
        assert named.split(", ") == holders, permission
    for row in ROWS:
        assert len(row) == 5, row
        assert HELD.search(row[4]) or row[4].startswith("nobody"), row

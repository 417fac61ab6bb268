"""docs/service-requests.md against the code: its tables are those that decide."""

from __future__ import annotations

import re
from pathlib import Path

from fleet.access.roles import Role
from fleet.alerts.requests.priority import Impact, priority_of
from fleet.alerts.requests.steps import STEPS

PAGE = (Path(__file__).parents[2] / "docs/service-requests.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the table that begins with this cell."""
    found = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert found, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def test_the_steps_are_those_of_the_table() -> None:
    told = [
        [step.source, step.target, ", ".join(role for role in Role if role in step.roles), ", ".join(step.asks)]
        for step in STEPS
    ]
    assert table("from") == told


def test_the_priorities_are_those_of_the_table() -> None:
    for severity, *priorities in table("severity"):
        assert priorities == [priority_of(severity, impact) for impact in Impact], severity

"""Every event is shown to those who may read what it is about."""

from __future__ import annotations

import re
from pathlib import Path

import fleet
from fleet.access.principal import Principal
from fleet.alerts.outbound.mailtexts import TYPES
from fleet.api.sight import PERMISSION_OF, Sight

CODE = Path(fleet.__file__).parent
WRITTEN = re.compile(r"INSERT INTO events.*?'([a-z_]+)\.", re.DOTALL)
ANNOUNCED = re.compile(r"(?:Marks|announce)\((?:connection, )?\s*\"([a-z_]+)\.")


def things() -> set[str]:
    """What the types of all events begin with, as the code writes them."""
    statements = "\n-- name:".join(path.read_text(encoding="utf-8") for path in CODE.rglob("*.sql"))
    found = {thing for each in statements.split("-- name:") for thing in WRITTEN.findall(each)}
    for path in CODE.rglob("*.py"):
        found |= set(ANNOUNCED.findall(path.read_text(encoding="utf-8")))
    return found


def test_every_event_that_is_written_has_its_permission() -> None:
    assert {"kit", "component", "call", "credentials", "alert"} <= things()
    assert things() - PERMISSION_OF.keys() == set()
    # `ping` is sent when an outlet is tried, and is no event.
    assert {each.partition(".")[0] for each in TYPES} - {"ping"} <= PERMISSION_OF.keys()


def test_what_is_not_known_is_shown_to_nobody() -> None:
    nobody = Sight.of(Principal("token", 1, "nobody", ()))
    assert not any(nobody.sees(f"{thing}.changed", 1) for thing in PERMISSION_OF)
    assert not Sight({}).sees("kit.changed", None)

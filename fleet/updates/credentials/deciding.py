"""What to tell the broker: pure, from what the books want and what the broker has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fleet.protocol.topics import Topics
from fleet.updates.credentials.dynsec import Client, Json, is_right, role_acls, role_name, text_name
from fleet.updates.credentials.store import Expected, State

LOST = (
    "the broker does not have this password and it is not known here any more: issue a new one,"
    " or give the broker its file (fleet broker config)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a kit shall stand at the broker; `password` is None when it is not known (any more)."""

    kit: str
    generation: int
    state: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Steps:
    """Commands in order; with a `problem` the broker is not as wanted even after them."""

    commands: tuple[Json, ...] = ()
    problem: str | None = None


def steps(topics: Topics, wanted: Wanted, client: Client | None, role: Mapping[str, Any] | None) -> Steps:
    """How to bring the broker from what it has to what is wanted. Doing it twice does no harm."""
    name = {"username": wanted.kit}
    if client is not None and not client.is_a_kits:
        return Steps(problem="the broker has an account by this name that is no kit's: rename that account")
    if wanted.state == State.REVOKED:
        return Steps(() if client is None or client.disabled else ({"command": "disableClient", **name},))
    if wanted.password is None:
        return _without_password(topics, wanted, client, role)
    who = {**name, "password": wanted.password, **_described(wanted)}
    if client is None:
        return Steps((*_role(topics, wanted.kit, role), {"command": "createClient", **who}))
    # A change throws out whoever is connected. Each command has the broker write its whole file: no more than needed.
    return Steps((*_role(topics, wanted.kit, role), {"command": "modifyClient", **who}, *_enabling(client)))


def _enabling(client: Client) -> tuple[Json, ...]:
    return ({"command": "enableClient", "username": client.username},) if client.disabled else ()


def _without_password(topics: Topics, wanted: Wanted, client: Client | None, role: Mapping[str, Any] | None) -> Steps:
    if client is None:
        return Steps(problem=LOST)
    name = {"username": wanted.kit}
    if client.generation != wanted.generation:
        return Steps(() if client.disabled else ({"command": "disableClient", **name},), LOST)
    mending = () if client.is_bound else ({"command": "modifyClient", **name, **_described(wanted)},)
    return Steps((*_role(topics, wanted.kit, role), *mending, *_enabling(client)))


def _described(wanted: Wanted) -> Json:
    return {
        "clientid": wanted.kit,
        "textname": text_name(wanted.generation),
        "roles": [{"rolename": role_name(wanted.kit)}],
        "groups": [],
    }


def _role(topics: Topics, kit: str, role: Mapping[str, Any] | None) -> tuple[Json, ...]:
    acls = role_acls(topics, kit)
    if role is not None and is_right(role, acls):
        return ()
    command = "createRole" if role is None else "modifyRole"
    return ({"command": command, "rolename": role_name(kit), "acls": acls},)


class Verdict(StrEnum):
    """What a client at the broker is in the light of the books."""

    RIGHT = "right"
    REPAIR = "repair"
    """Otherwise than wanted: it is told anew."""
    ARRIVED = "arrived"
    """Waited for, and there: it came with the broker's file."""
    STRANGER = "stranger"
    """A kit's client that the books do not know: nobody is let in by it."""


def judge(client: Client, expected: Expected | None) -> Verdict:
    """Compare a kit's client with the books."""
    if expected is None:
        return Verdict.RIGHT if client.disabled else Verdict.STRANGER
    if expected.state == State.REVOKED:
        return Verdict.RIGHT if client.disabled or not expected.applied else Verdict.REPAIR
    if expected.applied:
        return Verdict.RIGHT if client.enters_as(expected.generation) else Verdict.REPAIR
    if expected.has_password:
        return Verdict.RIGHT
    if client.enters_as(expected.generation):
        return Verdict.ARRIVED
    # The password before, or the right one with other rights: the first is shut out, the second put right.
    return Verdict.REPAIR if not client.disabled or client.generation == expected.generation else Verdict.RIGHT

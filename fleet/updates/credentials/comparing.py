"""All of the broker against the books, and what differs put right: after a restore, or after somebody's own hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from psycopg import AsyncConnection

from fleet.log import get_logger
from fleet.protocol.topics import Topics
from fleet.updates.credentials import store
from fleet.updates.credentials.control import Control
from fleet.updates.credentials.deciding import Verdict, judge
from fleet.updates.credentials.dynsec import DENIED, ROLE_PREFIX, Client, Json, is_right, role_acls
from fleet.updates.credentials.store import Expected

log = get_logger(__name__)
Connection = AsyncConnection[Any]


@dataclass(slots=True)
class Compared:
    """What a look at everything found, and put right."""

    clients: int = 0
    repaired: int = 0
    arrived: int = 0
    strangers: int = 0
    missing: int = 0
    roles: int = 0
    defaults: int = 0
    took_s: float = 0.0

    def counts(self) -> Iterator[tuple[str, int]]:
        """What differed, by kind."""
        for name in ("repaired", "arrived", "strangers", "missing", "roles", "defaults"):
            yield name, getattr(self, name)


async def compare(connection: Connection, topics: Topics, control: Control) -> Compared:
    """Look at every client, role and default of the broker; what is to be told anew is due afterwards."""
    began_s = perf_counter()
    done = Compared()
    await _defaults(control, done)
    names: set[str] = set()
    async for page in control.clients():
        kits = [client for client in page if client.is_a_kits]
        names.update(client.username for client in kits)
        done.clients += len(kits)
        await _clients(connection, control, kits, done)
    await _missing(connection, names, done)
    async for roles in control.roles():
        await _roles(control, topics, roles, done)
    done.took_s = perf_counter() - began_s
    return done


async def _defaults(control: Control, done: Compared) -> None:
    """Who has no right to something must not have it by default: nothing else keeps kits apart."""
    access = await control.default_access()
    loose = [{"acltype": kind, "allow": False} for kind in DENIED if access.get(kind)]
    if loose:
        await control.order(({"command": "setDefaultACLAccess", "acls": loose},))
        done.defaults += len(loose)
        log.warning("the broker allowed by default", what=[each["acltype"] for each in loose])


async def _clients(connection: Connection, control: Control, clients: list[Client], done: Compared) -> None:
    expected = await store.expected(connection, [client.username for client in clients])
    again: list[Expected] = []
    for client in clients:
        known = expected.get(client.username)
        verdict = judge(client, known)
        if verdict is Verdict.STRANGER:
            await control.order(({"command": "disableClient", "username": client.username},))
            done.strangers += 1
            log.warning("shut out a kit that the books gave no password", kit=client.username)
        elif verdict is Verdict.ARRIVED and known is not None:
            await store.note_applied(connection, known)
            done.arrived += 1
        elif verdict is Verdict.REPAIR and known is not None:
            again.append(known)
    if again:
        await store.want_again(connection, [(each.kit_id, each.change) for each in again])
        done.repaired += len(again)


async def _missing(connection: Connection, names: set[str], done: Compared) -> None:
    async for page in store.applied_and_issued(connection):
        again = [(kit_id, change) for kit_id, kit, change in page if kit not in names]
        if again:
            await store.want_again(connection, again)
            done.missing += len(again)


async def _roles(control: Control, topics: Topics, roles: list[Json], done: Compared) -> None:
    for role in roles:
        name = str(role["rolename"])
        if not name.startswith(ROLE_PREFIX):
            continue
        acls = role_acls(topics, name.removeprefix(ROLE_PREFIX))
        if not is_right(role, acls):
            await control.order(({"command": "modifyRole", "rolename": name, "acls": acls},))
            done.roles += 1

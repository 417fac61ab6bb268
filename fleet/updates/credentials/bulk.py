"""Credentials for many kits at once, and the broker's own file: one by one over `$CONTROL` grows with the square."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Sequence
from typing import IO

from fleet.access import audit
from fleet.config import Settings
from fleet.db.rows import Connection
from fleet.errors import ConfigError
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.topics import Topics
from fleet.updates.credentials import store
from fleet.updates.credentials.dynsec import ADMIN_ROLE, SERVER_ROLE, Account, Json, document
from fleet.updates.credentials.passwords import Envelope, hash_password

COLUMNS = ("kit", "client_id", "username", "password")
AT_ONCE = 500
MOST_TOLD = 1000
"""Passwords that the worker enters one by one; more come with the broker's file."""


async def issue_many(
    connection: Connection, kits: AsyncIterator[Sequence[str]], out: IO[str], *, by: str, envelope: Envelope | None
) -> int:
    """Give every kit a new password and write them to `out` as CSV; returns how many.

    A batch is on `out` before it is committed, so that no password counts that nobody has.
    """
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    count = 0
    async for batch in kits:
        async with connection.transaction():
            for kit in batch:
                issued = await store.issue(connection, kit, by=by, envelope=envelope)
                writer.writerow((kit, kit, kit, issued.password))
            out.flush()
        count += len(batch)
    return count


async def missing(connection: Connection, organisation: str | None) -> AsyncIterator[list[str]]:
    """Batches of the kits that have no password that counts."""
    after = ""
    while found := await store.without(connection, organisation, after=after):
        for at in range(0, len(found), AT_ONCE):
            yield found[at : at + AT_ONCE]
        after = found[-1]


async def named(kits: Sequence[str]) -> AsyncIterator[Sequence[str]]:
    """Batches of these kits."""
    for at in range(0, len(kits), AT_ONCE):
        yield kits[at : at + AT_ONCE]


async def broker_file(connection: Connection, settings: Settings) -> Json:
    """What the plugin's file shall hold: our own accounts as the settings have them, and every kit.

    The audit tells of it. Raises ConfigError where a setting has no user and password to make an account of, or has the
    name of a kit.
    """
    accounts = _accounts(settings)
    kits = [each async for each in store.entries(connection)]
    taken = {account.username for account in accounts} & {each.kit for each in kits}
    if taken:
        raise ConfigError(
            f"{', '.join(sorted(taken))}: an account of the server's own has the name of a kit: rename it"
        )
    await audit.note(connection, "kit_credentials.exported", "kit_credentials", None, after={"rows": len(kits)})
    return document(Topics(settings.topic_root), accounts, kits)


def _accounts(settings: Settings) -> list[Account]:
    endpoints = (
        ("FLEET_MQTT_ADMIN_URL", settings.admin_endpoint(), ADMIN_ROLE),
        ("FLEET_MQTT_URL", settings.endpoint(), SERVER_ROLE),
    )
    made: dict[str, Account] = {}
    for name, endpoint, role in endpoints:
        username, password = _login(name, endpoint)
        held = made[username].roles if username in made else ()
        made[username] = Account(username, hash_password(password), (*held, role))
    return list(made.values())


def _login(name: str, endpoint: Endpoint) -> tuple[str, str]:
    if not endpoint.username or not endpoint.password:
        raise ConfigError(f"{name} has no user and password to make an account of")
    return endpoint.username, endpoint.password

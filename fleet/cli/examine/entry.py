"""Who may enter the broker: that it keeps kits apart, and was told what the books say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import psycopg

from fleet.cli.examine.broker import DEADLINE_S, Refused, probing
from fleet.cli.examine.finding import Finding, fail, ok, warn
from fleet.db.connect import connect, first_line
from fleet.db.migrate import is_current
from fleet.errors import FleetError
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.framing import MalformedStreamError
from fleet.protocol.topics import Topics
from fleet.updates.credentials import store
from fleet.updates.credentials.control import Control, ControlLostError, RefusedError, open_control
from fleet.updates.credentials.dynsec import DENIED, ROLE_PREFIX, Client, Json, is_right, role_acls
from fleet.updates.credentials.store import Standing

LONG_S = 60.0
WHAT = "broker entry"
OPEN = (
    "FLEET_MQTT_ADMIN_URL is not set: nobody is shut out at the broker, which lets scrapped tablets in as long as they"
    " know a password; set it for the worker, with Mosquitto's dynamic security (docs/operations.md)"
)


async def examine(admin: Endpoint | None, topics: Topics, dsn: str | None) -> list[Finding]:
    """Every check of who may enter; without an `admin` nobody looks after it."""
    if admin is None:
        return [warn(WHAT, OPEN)]
    found = [await _strangers(admin)]
    try:
        async with open_control(admin) as control:
            found += await _rights(control, topics)
    except (ControlLostError, RefusedError) as error:
        found.append(fail("broker rights", f"{error}: mend FLEET_MQTT_ADMIN_URL or the plugin"))
    return found + ([] if dsn is None else await _standing(dsn))


async def _strangers(endpoint: Endpoint) -> Finding:
    """Whether somebody gets in without a name."""
    nobody = Endpoint(endpoint.host, endpoint.port, endpoint.tls, ca_file=endpoint.ca_file)
    try:
        async with asyncio.timeout(DEADLINE_S), probing(nobody) as probe:
            await probe.connect(nobody)
            probe.leave()
    except Refused:
        return ok(WHAT, "nobody gets in without a password")
    except (OSError, TimeoutError, ValueError, MalformedStreamError) as error:
        return warn(WHAT, f"{endpoint} could not be tried without a password: {error or 'no answer'}")
    return fail(WHAT, f"{endpoint} lets anybody in: set allow_anonymous false")


async def _rights(control: Control, topics: Topics) -> list[Finding]:
    found = [of_defaults(await control.default_access())]
    wrong: list[str] = []
    async for roles in control.roles():
        wrong += wrong_roles(topics, roles)
    loose: list[str] = []
    async for clients in control.clients():
        loose += loose_clients(clients)
    found.append(_of("broker roles", wrong, "rights other than on its own topics, without shared subscriptions"))
    found.append(_of("broker accounts", loose, "another client id, role or group than its own"))
    return found


def of_defaults(access: dict[str, bool]) -> Finding:
    """Whether what nobody was given is denied."""
    loose = [kind for kind in DENIED if access.get(kind, True)]
    if loose:
        return fail("broker rights", f"{' and '.join(loose)} allowed by default: any kit reaches every topic; deny it")
    return ok("broker rights", "what a kit was not given is denied")


def wrong_roles(topics: Topics, roles: Iterable[Json]) -> list[str]:
    """Kits whose role has other rights than it should."""
    kits = [(str(role["rolename"]), role) for role in roles if str(role["rolename"]).startswith(ROLE_PREFIX)]
    return [
        name.removeprefix(ROLE_PREFIX)
        for name, role in kits
        if not is_right(role, role_acls(topics, name.removeprefix(ROLE_PREFIX)))
    ]


def loose_clients(clients: Iterable[Client]) -> list[str]:
    """Kits that could enter as another, or with more rights."""
    return [each.username for each in clients if each.is_a_kits and not each.disabled and not each.is_bound]


def _of(what: str, kits: list[str], wrong: str) -> Finding:
    if kits:
        some = ", ".join(kits[:3]) + (" …" if len(kits) > 3 else "")
        return fail(what, f"{len(kits)} kits have {wrong}: {some}; the worker puts it right within ten minutes")
    return ok(what, "every kit enters as itself and reaches its own topics only")


async def _standing(dsn: str) -> list[Finding]:
    try:
        connection = await connect(dsn, role="doctor")
    except FleetError:
        return []  # told by the checks of the database
    try:
        if await is_current(connection):
            return list(of_standing(await store.standing(connection)))
        return []
    except psycopg.Error as error:
        return [warn("broker told", f"the books could not be read: {first_line(error)}")]
    finally:
        await connection.close()


def of_standing(standing: Standing) -> Iterable[Finding]:
    """Whether the broker was told what the books say."""
    waiting = standing.entering + standing.leaving
    said = f"; it says: {standing.problem}" if standing.problem else ""
    if standing.leaving and standing.oldest_s > LONG_S:
        detail = f"{standing.leaving} kits are to be shut out and may still get in, for {standing.oldest_s:.0f} s"
        yield fail("broker told", f"{detail}{said}: start fleet worker, and see its log")
    elif waiting and standing.oldest_s > LONG_S:
        yield warn("broker told", f"{waiting} kits wait for {standing.oldest_s:.0f} s{said}: see the worker's log")
    else:
        yield ok("broker told", "as the books say")
    if standing.for_file:
        yield warn(
            "broker file",
            f"{standing.for_file} kits have a password that only its file brings to the broker:"
            " fleet broker config, or issue new ones",
        )

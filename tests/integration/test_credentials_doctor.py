"""`fleet doctor` says whether the broker keeps kits apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.cli.examine import entry
from fleet.cli.examine.finding import Level
from fleet.embedded.broker import BrokerUrls
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.topics import Topics
from fleet.updates.credentials.control import open_control
from fleet.updates.credentials.dynsec import KitEntry, role_name
from fleet.updates.credentials.passwords import hash_password
from tests.api import api
from tests.guarded_broker import endpoint, guarded_broker
from tests.support import add_kits, execute

TOPICS = Topics()


async def test_doctor_looks_whether_kits_are_kept_apart(tmp_path: Path, database: str) -> None:
    add_kits(database, "K-1")
    kits = [KitEntry("K-1", 1, hash_password("one"))]
    with guarded_broker(tmp_path / "broker", kits) as broker:
        admin = endpoint(broker, "admin")
        found = {each.what: each for each in await entry.examine(admin, TOPICS, database)}
        assert {each.level for each in found.values()} == {Level.OK}, found
        async with open_control(admin) as control:
            shared = {"acltype": "subscribePattern", "topic": "$share/#", "priority": 0, "allow": True}
            await control.order(
                (
                    {"command": "setDefaultACLAccess", "acls": [{"acltype": "publishClientSend", "allow": True}]},
                    {"command": "addRoleACL", "rolename": role_name("K-1"), **shared, "topic": "$share/x/#"},
                    {"command": "setClientId", "username": "K-1", "clientid": "other"},
                )
            )
        async with api(database) as client:
            await client.post("/api/v1/kits/K-1/credentials")
            await client.delete("/api/v1/kits/K-1/credentials")
        execute(database, "UPDATE kit_credentials SET wanted_at = now() - interval '10 minutes'")
        found = {each.what: each for each in await entry.examine(admin, TOPICS, database)}
        for what in ("broker rights", "broker roles", "broker accounts", "broker told"):
            assert found[what].level is Level.FAIL, what
        (other,) = [
            each for each in await entry.examine(endpoint(broker, "server"), TOPICS, None) if each.level != "ok"
        ]
        assert "FLEET_MQTT_ADMIN_URL" in other.detail


@pytest.mark.parametrize("given", [None, "open"])
async def test_doctor_says_that_nobody_is_shut_out(broker: BrokerUrls, given: str | None) -> None:
    admin = None if given is None else Endpoint.parse(broker.mqtt5_url)
    found = {each.what: each for each in await entry.examine(admin, TOPICS, None)}
    told = found["broker entry"]
    assert told.level is (Level.WARN if given is None else Level.FAIL)
    assert ("scrapped tablets in" if given is None else "anybody in") in told.detail

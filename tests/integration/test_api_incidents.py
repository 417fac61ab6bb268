"""When many are a mass event, over HTTP: read by all, changed by who is bound to no organisation."""

from __future__ import annotations

import pytest

from fleet.access.roles import Role
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.support import execute, value

PATH = "/api/v1/incident-settings"


async def test_every_rule_has_settings_and_they_are_edited(database: str) -> None:
    async with api(database) as client:
        listed = await pages(client, PATH, limit=2)
        assert [each["rule"] for each in listed] == sorted(
            each["rule"] for each in await pages(client, "/api/v1/rules")
        )
        seen = await client.get(f"{PATH}/silent")
        assert seen.json() == {"rule": "silent", "enabled": True, "least": 20, "share": 0.05, "window_s": 300}
        headers = {"If-Match": seen.headers["etag"]}
        edited = await client.patch(f"{PATH}/silent", json={"least": 40, "share": 0.1}, headers=headers)
        assert edited.json() == {"rule": "silent", "enabled": True, "least": 40, "share": 0.1, "window_s": 300}
        problem(await client.patch(f"{PATH}/silent", json={"least": 50}, headers=headers), 412)
        problem(await client.get(f"{PATH}/nothing"), 404)
        problem(await client.patch(f"{PATH}/nothing", json={"least": 50}), 404)
    assert value(database, "SELECT count(*) FROM audit WHERE subject_kind = 'incident_settings'") >= 1


@pytest.mark.parametrize(
    ("body", "field"),
    [({"least": 1}, "least"), ({"share": 0}, "share"), ({"share": 1.1}, "share"), ({"window_s": 30}, "window_s"),
     ({"least": True}, "least"), ({"other": 1}, "other")],
)  # fmt: skip
async def test_bounds(database: str, body: dict[str, object], field: str) -> None:
    async with api(database) as client:
        problem(await client.patch(f"{PATH}/silent", json=body), 422, field)


async def test_one_organisation_does_not_change_it_for_all(database: str) -> None:
    execute(database, "INSERT INTO organisations (slug, name) VALUES ('aalborg', 'Aalborg')")
    token = await make_token(database, Role.ADMIN, organisation="aalborg")
    async with running_app(database) as app, caller(app, token) as client:
        assert len(await pages(client, PATH)) > 1
        problem(await client.patch(f"{PATH}/silent", json={"least": 2}), 403)
    assert value(database, "SELECT least FROM incident_settings WHERE rule = 'silent'") == 20

"""The catalogue is shared: everybody adds to it, and only who is bound to no organisation changes what others go by."""

from __future__ import annotations

import psycopg
from psycopg import sql

from fleet.access.roles import Role
from tests.api import caller, make_token, problem, running_app
from tests.people import add_organisations
from tests.support import value

MODEL = {"kind": "scale", "manufacturer": "Acme", "name": "S1", "calibration_interval_days": 365}


async def test_one_organisation_does_not_change_what_all_go_by(database: str) -> None:
    add_organisations(database, "nord")
    bound = await make_token(database, Role.ADMIN, organisation="nord")
    async with running_app(database) as app, caller(app, bound) as client:
        model = await client.post("/api/v1/models", json=MODEL)
        assert model.status_code == 201
        kit_type = await client.post("/api/v1/kit-types", json={"kit_type": "copd", "contents": {"scale": 1}})
        assert kit_type.status_code == 201
        number = model.json()["id"]
        problem(await client.patch(f"/api/v1/models/{number}", json={"calibration_interval_days": 3650}), 403)
        problem(await client.patch("/api/v1/kit-types/copd", json={"contents": {}}), 403)
        csv = "manufacturer,name,kind,calibration_interval_days\nAcme,S1,scale,3650\n"
        headers = {"content-type": "text/csv"}
        report = problem(await client.post("/api/v1/imports/models?update=true", content=csv, headers=headers), 422)[
            "report"
        ]
        assert "shared by all" in report["bad"][0]["reason"]
        async with caller(app, await make_token(database, Role.ADMIN)) as unbound:
            changed = await unbound.patch(f"/api/v1/models/{number}", json={"price": "100.00"})
            assert changed.status_code == 200
    assert value(database, "SELECT calibration_interval_days FROM models") == 365
    assert value(database, "SELECT count(*) FROM kit_type_contents") == 1


def test_the_database_holds_it_too(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO models (kind, manufacturer, name) VALUES ('scale', 'Acme', 'S1')")
        connection.execute("SET LOCAL ROLE fleet_api")
        connection.execute("SELECT set_config('fleet.scope', '{1}', true)")
        for statement in ("UPDATE {} SET name = 'S2'", "DELETE FROM {}"):
            assert connection.execute(sql.SQL(statement).format(sql.Identifier("models"))).rowcount == 0
        assert connection.execute("SELECT count(*) FROM models").fetchone() == (1,)

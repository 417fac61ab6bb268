"""Rules over HTTP: read, set for all and otherwise for some, every change with its version, by whom it may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fleet.access.roles import Role
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.support import execute, rows, value

RULES = "/api/v1/rules"
STORAGE = f"{RULES}/storage_low"


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator."""
    async with api(database) as made:
        yield made


async def test_every_rule_says_what_it_means_and_what_can_be_set(client: httpx.AsyncClient) -> None:
    found = await pages(client, RULES, limit=7)
    assert len(found) == 19
    (storage,) = [each for each in found if each["rule"] == "storage_low"]
    assert storage["parameters"] == {"below_mb": 500.0}
    (about,) = storage["parameter_info"]
    assert (about["unit"], about["least"], about["default"]) == ("MB", 1, 500)
    assert storage["source"] == "heartbeat"
    assert storage["advice"]["da"]
    assert storage["meaning"]["en"]


async def test_a_rule_is_edited_with_its_version(client: httpx.AsyncClient, database: str) -> None:
    before = await client.get(STORAGE)
    assert before.headers["etag"] == '"0"'
    edit = {"severity": "major", "parameters": {"below_mb": 800}, "for_s": 60}
    after = await client.patch(STORAGE, json=edit, headers={"If-Match": '"0"'})
    assert after.status_code == 200
    body = after.json()
    assert (body["severity"], body["priority"], body["for_s"]) == ("major", "high", 60)
    assert body["parameters"] == {"below_mb": 800.0}
    assert after.headers["etag"] == f'"{body["version"]}"' != '"0"'
    problem(await client.patch(STORAGE, json=edit, headers={"If-Match": '"0"'}), 412)
    (version,) = await pages(client, f"{STORAGE}/versions")
    assert (version["id"], version["what"], version["variant"]) == (body["version"], "changed", None)
    assert version["before"]["parameters"] == {"below_mb": 500.0}
    assert version["after"]["parameters"] == {"below_mb": 800.0}
    assert "token" in version["actor"]
    assert value(database, "SELECT laps FROM rule_sweep") == 2
    again = await client.patch(STORAGE, json=edit)
    assert again.json()["version"] == body["version"], "what changes nothing is no version"


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({"parameters": {"below_mb": 0}}, "parameters.below_mb"),
        ({"parameters": {"above": 3}}, "parameters.above"),
        ({"severity": "dire"}, "severity"),
        ({"for_s": -1}, "for_s"),
        ({"text": "x"}, "text"),
    ],
)
async def test_what_cannot_be_set(client: httpx.AsyncClient, edit: dict[str, Any], field: str) -> None:
    problem(await client.patch(STORAGE, json=edit), 422, field)


async def test_a_rule_nobody_knows(client: httpx.AsyncClient) -> None:
    for path in ("", "/variants", "/versions"):
        problem(await client.get(f"{RULES}/boredom{path}"), 404)
    problem(await client.post(f"{RULES}/boredom/variants", json={"programme": "KOL", "for_s": 1}), 404)


async def test_variants_are_made_edited_and_removed(client: httpx.AsyncClient) -> None:
    made = await client.post(f"{STORAGE}/variants", json={"programme": "KOL", "parameters": {"below_mb": 900}})
    assert made.status_code == 201
    body = made.json()
    path = f"{STORAGE}/variants/{body['id']}"
    assert (body["programme"], body["for_s"], body["parameters"]) == ("KOL", None, {"below_mb": 900})
    problem(await client.post(f"{STORAGE}/variants", json={"programme": "KOL", "for_s": 3}), 409)
    edited = await client.patch(path, json={"for_s": 5}, headers={"If-Match": f'"{body["version"]}"'})
    assert edited.status_code == 200
    assert (edited.json()["for_s"], edited.json()["parameters"]) == (5, {"below_mb": 900})
    problem(await client.patch(path, json={"for_s": 6}, headers={"If-Match": f'"{body["version"]}"'}), 412)
    problem(await client.patch(path, json={"for_s": None, "parameters": None}), 422, "parameters")
    assert (await client.get(path)).json() == edited.json()
    assert (await client.get(STORAGE)).json()["variants"] == 1
    assert (await client.delete(path)).status_code == 204
    problem(await client.get(path), 404)
    versions = await pages(client, f"{STORAGE}/versions", limit=2)
    assert [(each["what"], each["variant"]) for each in versions] == [
        ("removed", body["id"]),
        ("changed", body["id"]),
        ("created", body["id"]),
    ]


@pytest.mark.parametrize(
    ("new", "field"),
    [
        ({"for_s": 1}, "organisation"),
        ({"programme": "KOL"}, "parameters"),
        ({"programme": "KOL", "kit_type": "x", "for_s": 1}, "kit_type"),
        ({"kit_type": "nothing-like-it", "for_s": 1}, "kit_type"),
        ({"model_id": 99, "for_s": 1}, "model_id"),
        ({"organisation": "nowhere", "for_s": 1}, "organisation"),
        ({"programme": "KOL", "parameters": {"below_mb": 1e12}}, "parameters.below_mb"),
    ],
)
async def test_variants_that_make_no_sense(client: httpx.AsyncClient, new: dict[str, Any], field: str) -> None:
    problem(await client.post(f"{STORAGE}/variants", json=new), 422, field)


async def test_silence_is_set_otherwise_for_some_as_every_rule_is(client: httpx.AsyncClient) -> None:
    made = await client.post(f"{RULES}/silent/variants", json={"programme": "KOL", "line": "service", "for_s": 60})
    assert made.status_code == 201
    assert (made.json()["line"], made.json()["severity"]) == ("service", None)
    problem(await client.post(f"{RULES}/silent/variants", json={"programme": "X", "parameters": {"s": 1}}), 422)
    path = f"{RULES}/silent/variants/{made.json()['id']}"
    assert (await client.patch(path, json={"line": None, "enabled": False})).json()["line"] is None


async def test_who_is_bound_to_an_organisation_edits_its_own_variants_only(database: str) -> None:
    execute(
        database,
        "INSERT INTO organisations (slug, name, kind) VALUES ('north', 'N', 'region'), ('south', 'S', 'region')",
    )
    north = value(database, "SELECT organisation_id FROM organisations WHERE slug = 'north'")
    token = await make_token(database, Role.SERVICE, organisation="north")
    everybody = await make_token(database, Role.ADMIN)
    async with running_app(database) as app, caller(app, token) as bound, caller(app, everybody) as admin:
        own = {"organisation": "north", "for_s": 1}
        mine = (await bound.post(f"{STORAGE}/variants", json=own)).json()
        problem(await bound.post(f"{STORAGE}/variants", json={"programme": "KOL", "for_s": 1}), 403)
        problem(await bound.post(f"{STORAGE}/variants", json={"organisation": "south", "for_s": 1}), 422)
        problem(await bound.patch(STORAGE, json={"for_s": 1}), 403)
        wide = (await admin.post(f"{STORAGE}/variants", json={"programme": "KOL", "for_s": 1})).json()
        theirs = (await admin.post(f"{STORAGE}/variants", json={"organisation": "south", "for_s": 1})).json()
        seen = await pages(bound, f"{STORAGE}/variants")
        assert [each["id"] for each in seen] == [mine["id"], wide["id"]], "what applies to them, and nobody else's"
        problem(await bound.patch(f"{STORAGE}/variants/{wide['id']}", json={"for_s": 2}), 403)
        problem(await bound.delete(f"{STORAGE}/variants/{wide['id']}"), 403)
        problem(await bound.delete(f"{STORAGE}/variants/{theirs['id']}"), 404)
        assert (await bound.patch(f"{STORAGE}/variants/{mine['id']}", json={"for_s": 2})).status_code == 200
        told = await pages(bound, f"{STORAGE}/versions")
        assert {each["variant"] for each in told} == {mine["id"], wide["id"]}
    assert rows(database, "SELECT DISTINCT organisation_id FROM rule_versions WHERE variant_id = %s", mine["id"]) == [
        (north,)
    ]


async def test_whose_role_does_not_allow_it(database: str) -> None:
    async with api(database, Role.SUPPORT) as client:
        assert (await client.get(STORAGE)).status_code == 200
        problem(await client.patch(STORAGE, json={"for_s": 1}), 403)


async def history(database: str, kit: str, hours: int, low_from: int) -> None:
    """A kit with a heartbeat every ten minutes until now, with little storage from some hour on."""
    entered = "INSERT INTO kits (kit, state, state_since) VALUES (%s, 'installed', now() - interval '40 d')"
    execute(database, entered, kit)
    execute(
        database,
        "INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, heard_clock_s)"
        " SELECT kit_id, 1800, 600, 1 FROM kits WHERE kit = %s",
        kit,
    )
    execute(
        database,
        "INSERT INTO heartbeats (kit_id, boot, seq, time, received_at, storage_free_mb)"
        " SELECT kit_id, 'b', g, at, at, CASE WHEN g >= %s * 6 THEN 700 ELSE 9000 END"
        " FROM kits, generate_series(1, %s * 6) g, LATERAL (SELECT now() - interval '10 min' * (%s * 6 - g) AS at) t"
        " WHERE kit = %s",
        low_from, hours, hours, kit,
    )  # fmt: skip


async def test_a_dry_run_tells_what_would_have_been_and_changes_nothing(
    client: httpx.AsyncClient, database: str
) -> None:
    await history(database, "K-1", 12, 6)
    await history(database, "K-2", 12, 99)
    plain = (await client.post(f"{STORAGE}/dry-run", json={"days": 1})).json()
    assert (plain["kits"], plain["looked_at"], plain["complete"], plain["would_open"]) == (2, 2, True, 0)
    tried = await client.post(f"{STORAGE}/dry-run", json={"days": 1, "parameters": {"below_mb": 800}})
    assert tried.status_code == 200, tried.text
    body = tried.json()
    assert (body["would_open"], body["would_clear"], body["did_open"]) == (1, 0, 0)
    (kit,) = body["items"]
    assert kit["kit"] == "K-1"
    assert kit["would"][0]["evidence"] == {"storage_free_mb": 700.0, "below_mb": 800.0}
    assert sum(day["would"] for day in body["days"]) == 1
    assert (await client.get(STORAGE)).json()["version"] == 0
    assert value(database, "SELECT count(*) FROM alerts") == 0


@pytest.mark.parametrize(
    "rule", ["silent", "never_heard", "version_drift", "pairing_lost", "lease_ending", "no_network"]
)
async def test_every_kind_of_rule_can_be_tried(client: httpx.AsyncClient, database: str, rule: str) -> None:
    await history(database, "K-1", 12, 6)
    body = {"days": 30, "kits": ["K-1"], "for_s": 0}
    answer = await client.post(f"{RULES}/{rule}/dry-run", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["looked_at"] == 1


async def test_a_dry_run_is_of_what_the_caller_sees(database: str) -> None:
    execute(database, "INSERT INTO organisations (slug, name, kind) VALUES ('north', 'N', 'region')")
    await history(database, "K-1", 12, 6)
    token = await make_token(database, Role.SERVICE, organisation="north")
    async with running_app(database) as app, caller(app, token) as bound:
        assert (await bound.post(f"{STORAGE}/dry-run", json={"days": 1})).json()["kits"] == 0
        problem(await bound.post(f"{STORAGE}/dry-run", json={"kits": ["K-1"]}), 422, "kits")
        problem(await bound.post(f"{STORAGE}/dry-run", json={"days": 31}), 422, "days")


async def test_a_rule_that_could_never_speak_is_refused(database: str) -> None:
    never = {"parameters": {"below_percent": 10, "from_percent": 90}}
    async with api(database, Role.MDM_ADMIN) as client:
        for method, path, body in (
            ("PATCH", "/rules/not_charging", never),
            ("POST", "/rules/not_charging/dry-run", {**never, "days": 7}),
        ):
            answer = await client.request(method, f"/api/v1{path}", json=body)
            assert answer.status_code == 422, answer.text
            assert answer.json()["errors"][0]["field"] == "parameters.from_percent"
            assert "10" in answer.json()["errors"][0]["detail"]

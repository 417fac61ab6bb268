"""Users over the API: who makes them, who sees them, and that nobody gives what they do not hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fleet.access.roles import Role
from fleet.access.users import RoleAt
from tests.api import pages, problem
from tests.people import PASSWORD, Browser, admin_of, browser, code, make_user
from tests.support import add_kits, execute, rows, value
from tests.users_world import NEW, USERS, admins, body, users_app


@pytest.fixture
async def app(database: str) -> AsyncIterator[FastAPI]:
    async with users_app(database) as running:
        yield running


@pytest.fixture
async def clients(app: FastAPI, database: str) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with admins(app, database) as made:
        yield made


async def test_a_user_is_made_and_logs_in_with_what_was_shown_once(
    app: FastAPI, clients: dict[str, httpx.AsyncClient], database: str
) -> None:
    headers = {"Idempotency-Key": "k"}
    first, again = [await clients["a-by"].post(USERS, json=body("support-07"), headers=headers) for _ in range(2)]
    made = first.json()
    password = made.pop("password")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == {**made, "password": None}
    assert (made["username"], made["organisation"], made["must_change_password"]) == ("support-07", "a-by", True)
    assert made["roles"] == [{"role": "support", "organisation": "a-by"}]
    assert password not in value(database, "SELECT string_agg(to_jsonb(k)::text, '') FROM idempotency_keys k")
    async with browser(app) as person:
        await person.log_in("support-07", password)
        changed = await person.json("POST", "/me/password", {"current": password, "new": NEW})
        assert changed.json() == {"need": None}
        assert [kit["kit"] for kit in (await person.get("/api/v1/kits")).json()["items"]] == []
    shown = await clients["a-by"].get(f"{USERS}/{made['id']}")
    assert shown.json()["last_login_at"]
    assert not shown.json()["must_change_password"]
    everything = str(rows(database, "SELECT to_jsonb(a) FROM audit a"))
    assert "argon2" not in everything
    assert "users.created" in everything


async def test_names_are_unique_however_written_and_no_civil_names_of_numbers(
    clients: dict[str, httpx.AsyncClient],
) -> None:
    assert (await clients["a-by"].post(USERS, json=body("Support-07"))).status_code == 201
    problem(await clients["a-by"].post(USERS, json=body("support-07")), 409)
    # Also where the other cannot be seen.
    problem(await clients["b-by"].post(USERS, json=body("SUPPORT-07", "b-by")), 409)
    for bad in ("", "x", "7up", "with space", "æble", "a" * 64, "u0101801234", "u-010180-1234", "a\x00"):
        problem(await clients["a-by"].post(USERS, json=body(bad)), 422, "username")


async def test_lists_show_those_in_scope(clients: dict[str, httpx.AsyncClient]) -> None:
    for slug, client in clients.items():
        home = None if slug == "all" else slug
        assert (await client.post(USERS, json=body(f"user-{slug}", home))).status_code == 201
    await clients["a-by"].post(USERS, json=body("user-school", "a-skole", "service"))

    async def seen(slug: str, **query: Any) -> set[str]:
        return {user["username"].removeprefix("user-") for user in await pages(clients[slug], USERS, limit=1, **query)}

    assert await seen("all") == {"all", "nord", "a-by", "b-by", "drift", "school"}
    assert await seen("nord") == {"nord", "a-by", "b-by", "school"}
    assert await seen("a-by") == {"a-by", "school"}
    assert await seen("b-by") == {"b-by"}
    # An agreement is about kits: whose accounts there are is none of the operator's business.
    assert await seen("drift") == {"drift"}
    assert await seen("all", role="service") == {"school"}
    assert await seen("all", organisation="a-by") == {"a-by"}
    assert await seen("all", username="USER-nord") == {"nord"}
    assert await seen("all", disabled="true") == set()


@pytest.mark.parametrize(
    ("caller_slug", "organisation", "role", "role_at"),
    [
        ("a-by", "b-by", "support", "b-by"),
        ("a-by", "nord", "support", "a-by"),
        ("a-by", None, "support", "a-by"),
        ("a-by", "a-by", "support", "b-by"),
        ("a-by", "a-by", "support", "nord"),
        ("a-by", "a-by", "admin", None),
        ("a-by", "a-by", "support", None),
        ("a-by", "a-by", "admin", "drift"),
        ("b-by", "a-skole", "support", "a-skole"),
        ("drift", "drift", "support", "a-by"),
        ("drift", "a-by", "support", "a-by"),
        ("drift", "drift", "admin", "a-skole"),
    ],
)
async def test_nobody_gives_what_they_do_not_hold(
    clients: dict[str, httpx.AsyncClient],
    database: str,
    caller_slug: str,
    organisation: str | None,
    role: str,
    role_at: str | None,
) -> None:
    new = {"username": "too-mighty", "organisation": organisation, "roles": [{"role": role, "organisation": role_at}]}
    refused = await clients[caller_slug].post(USERS, json=new)
    assert refused.status_code in (403, 422), refused.text
    assert value(database, "SELECT count(*) FROM users") == 0
    # The same for somebody who is there already.
    home = caller_slug
    made = (await clients[caller_slug].post(USERS, json=body("plain-01", home))).json()
    edit = {"organisation": organisation, "roles": new["roles"]}
    refused = await clients[caller_slug].patch(f"{USERS}/{made['id']}", json=edit)
    assert refused.status_code in (403, 422), refused.text
    assert rows(database, "SELECT role FROM user_roles") == [("support",)]
    assert (await clients["all"].post(USERS, json=new)).status_code == 201


async def test_what_is_held_by_agreement_makes_no_token(clients: dict[str, httpx.AsyncClient]) -> None:
    new = {"name": "outlasting", "role": "support", "organisation": "a-by"}
    problem(await clients["drift"].post("/api/v1/tokens", json=new), 422, "organisation")
    made = await clients["nord"].post("/api/v1/tokens", json=new)
    assert made.status_code == 201
    assert {token["organisation"] for token in await pages(clients["drift"], "/api/v1/tokens")} == {"drift"}
    problem(await clients["drift"].delete(f"/api/v1/tokens/{made.json()['id']}"), 404)
    problem(await clients["b-by"].delete(f"/api/v1/tokens/{made.json()['id']}"), 404)
    of_all = (await clients["all"].post("/api/v1/tokens", json={"name": "of all", "role": "support"})).json()["id"]
    problem(await clients["nord"].delete(f"/api/v1/tokens/{of_all}"), 404)
    assert (await clients["a-by"].delete(f"/api/v1/tokens/{made.json()['id']}")).status_code == 204


async def test_an_agreement_is_not_extended_by_whom_it_serves(
    clients: dict[str, httpx.AsyncClient], database: str
) -> None:
    a_by = "/api/v1/organisations/a-by"
    assert (await clients["drift"].get(a_by)).status_code == 200
    problem(await clients["drift"].patch(a_by, json={"parent": "drift"}), 404)
    assert (await clients["drift"].post(f"{a_by}/agreements", json={"operator": "drift"})).status_code in (404, 422)
    problem(await clients["drift"].delete(f"{a_by}/agreements/1"), 404)
    assert value(database, "SELECT count(*) FROM agreements") == 1
    assert (await clients["a-by"].post(f"{a_by}/agreements", json={"operator": "drift"})).status_code == 201
    assert (await clients["a-by"].delete(f"{a_by}/agreements/1")).status_code == 204


@pytest.mark.parametrize(
    ("caller_slug", "moved", "to", "status"),
    [
        ("a-by", "a-by", "drift", 403),
        ("a-by", "a-by", None, 403),
        ("nord", "a-by", "drift", 403),
        ("nord", "a-by", None, 403),
        ("a-by", "a-skole", "drift", 403),
        ("nord", "a-skole", "b-by", 200),
        ("nord", "a-by", "b-by", 200),
        ("all", "a-by", None, 200),
    ],
)
async def test_an_organisation_moves_only_where_the_caller_has_both_ends(
    clients: dict[str, httpx.AsyncClient], caller_slug: str, moved: str, to: str | None, status: int
) -> None:
    address = f"/api/v1/organisations/{moved}"
    answer = await clients[caller_slug].patch(address, json={"parent": to, "name": "renamed"})
    assert answer.status_code == status, answer.text
    if status == 403:
        assert (await clients[caller_slug].patch(address, json={"name": "renamed"})).status_code == 200


async def test_nobody_changes_the_account_of_somebody_who_may_do_more(
    app: FastAPI, clients: dict[str, httpx.AsyncClient], database: str
) -> None:
    """Else a reset password would be the way up."""
    mighty = await make_user(database, "boss-1", admin_of(None), organisation="a-by")
    regional = await make_user(database, "boss-2", admin_of("nord"), organisation="a-by")
    of_b = await make_user(database, "boss-3", admin_of("b-by"), organisation="b-by")
    before = rows(database, "SELECT * FROM users ORDER BY user_id")
    for user_id, status in ((mighty, 403), (regional, 403), (of_b, 404)):
        address = f"{USERS}/{user_id}"
        problem(await clients["a-by"].post(f"{address}/reset-password"), status)
        problem(await clients["a-by"].post(f"{address}/reset-totp"), status)
        problem(await clients["a-by"].patch(address, json={"disabled": True}), status)
        problem(await clients["a-by"].patch(address, json={"roles": []}), status)
    agent = await make_user(database, "support-07", RoleAt(Role.SUPPORT, "a-by"), organisation="a-by")
    problem(await clients["drift"].post(f"{USERS}/{agent}/reset-password"), 404)
    assert rows(database, "SELECT * FROM users WHERE user_id <> %s ORDER BY user_id", agent) == before
    # Roles beyond the caller's sight stay, and are not shown.
    assert [user["roles"] for user in await pages(clients["a-by"], USERS, username="boss-1")] == [[]]
    assert (await clients["nord"].post(f"{USERS}/{regional}/reset-password")).status_code == 200


async def test_nobody_changes_their_own_account_as_an_administrator(app: FastAPI, database: str) -> None:
    user_id = await make_user(database, "admin-a", admin_of("a-by"), organisation="a-by", second_factor=True)
    async with browser(app) as person:
        await person.log_in("admin-a")
        await person.give_code(code())
        for path, sent in ((f"/users/{user_id}", {"disabled": True}), (f"/users/{user_id}", {"roles": []})):
            problem(await person.json("PATCH", path, sent), 403)
        problem(await person.json("POST", f"/users/{user_id}/reset-totp"), 403)
        made = await person.json("POST", "/users", body("support-07"))
        assert made.status_code == 201
        assert made.json()["created_by"] == f"user {user_id} admin-a"


async def test_an_edit_is_made_once_seen_and_tells_the_audit(
    clients: dict[str, httpx.AsyncClient], database: str
) -> None:
    made = await clients["a-by"].post(USERS, json=body("support-07"))
    address = f"{USERS}/{made.json()['id']}"
    tag = (await clients["a-by"].get(address)).headers["etag"]
    edit = {"roles": [{"role": "service", "organisation": "a-skole"}], "organisation": "a-skole"}
    edited = await clients["a-by"].patch(address, json=edit, headers={"If-Match": tag})
    assert edited.json()["roles"] == edit["roles"]
    assert edited.json()["organisation"] == "a-skole"
    problem(await clients["a-by"].patch(address, json=edit, headers={"If-Match": tag}), 412)
    problem(await clients["a-by"].patch(address, json={"username": "x"}), 422, "username")
    assert (await clients["a-by"].patch(address, json={})).json()["roles"] == edit["roles"]
    told = rows(
        database,
        "SELECT action, after ->> 'role', before ->> 'role' FROM audit"
        " WHERE subject_kind = 'user_roles' ORDER BY audit_id",
    )
    assert told == [
        ("user_roles.created", "support", None),
        ("user_roles.created", "service", None),
        ("user_roles.deleted", None, "support"),
    ]


async def test_disabling_and_resetting_end_every_session(
    app: FastAPI, clients: dict[str, httpx.AsyncClient], database: str
) -> None:
    user_id = await make_user(database, "support-07", RoleAt(Role.SUPPORT, "a-by"), organisation="a-by")
    address = f"{USERS}/{user_id}"
    for end in ("disable", "password", "totp"):
        async with browser(app) as person:
            await person.enter("support-07")
            match end:
                case "disable":
                    done = await clients["a-by"].patch(address, json={"disabled": True})
                    assert done.json()["disabled"]
                    assert (await person.get("/")).status_code == 303
                    assert (await person.log_in("support-07")).status_code == 403
                    assert not (await clients["a-by"].patch(address, json={"disabled": False})).json()["disabled"]
                case "password":
                    shown = (await clients["a-by"].post(f"{address}/reset-password")).json()["password"]
                    assert (await person.get("/")).status_code == 303
                    await person.log_in("support-07", shown)
                    assert (await person.get("/")).headers["location"] == "/account"
                    assert (await person.json("POST", "/me/password", {"current": shown, "new": PASSWORD})).is_success
                case "totp":
                    assert not (await clients["a-by"].post(f"{address}/reset-totp")).json()["second_factor"]
            assert (await person.get("/")).status_code == (200 if end == "password" else 303)


async def test_roles_and_scope_are_those_of_the_moment(app: FastAPI, database: str) -> None:
    add_kits(database, *(f"K-{slug}" for slug in ("nord", "a-by", "b-by", "a-skole", "drift")))
    execute(
        database,
        "UPDATE kits SET organisation_id = (SELECT organisation_id FROM organisations WHERE 'K-' || slug = kit)",
    )
    operator = RoleAt(Role.SUPPORT, "drift")
    user_id = await make_user(database, "both-01", RoleAt(Role.SECRETARIAT, "b-by"), operator, organisation="drift")

    async def kits(person: Browser) -> set[str]:
        return {item["kit"] for item in (await person.get("/api/v1/kits")).json()["items"]}

    async with browser(app) as person:
        await person.enter("both-01")
        assert await kits(person) == {"K-b-by", "K-drift", "K-a-by", "K-a-skole"}
        me = (await person.get("/api/v1/me")).json()
        assert me["roles"] == [
            {"role": "secretariat", "organisation": "b-by", "reaches": 1},
            {"role": "support", "organisation": "drift", "reaches": 3},
        ]
        # Each permission reaches as far as the role that brings it.
        assert (await person.get("/api/v1/kits/K-a-by/heartbeats")).status_code == 200
        problem(await person.get("/api/v1/kits/K-b-by/heartbeats"), 404)
        execute(database, "UPDATE agreements SET valid_until = now()")
        assert await kits(person) == {"K-b-by", "K-drift"}
        execute(database, "DELETE FROM user_roles WHERE user_id = %s AND role = 'support'", user_id)
        assert await kits(person) == {"K-b-by"}
        execute(database, "DELETE FROM user_roles WHERE user_id = %s", user_id)
        problem(await person.get("/api/v1/kits"), 403)
        assert (await person.get("/api/v1/me")).json()["permissions"] == []

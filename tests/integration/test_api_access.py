"""Who gets in: tokens, roles, and problems that say what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from fleet.access.roles import Role
from fleet.access.tokens import hash_secret
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.support import execute, rows, value

TOKENS = "/api/v1/tokens"


async def test_without_a_good_token_nobody_gets_in(database: str) -> None:
    expired = await make_token(database, Role.ADMIN, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = await make_token(database, Role.ADMIN)
    execute(database, "UPDATE tokens SET revoked_at = now() WHERE secret_hash = %s", hash_secret(revoked))
    async with running_app(database) as app:
        for token, reason in ((None, "no_token"), ("flt_x", "unknown_token"), ("\u00e6" * 9, "unknown_token"),
                              (expired, "expired_token"), (revoked, "revoked_token")):  # fmt: skip
            async with caller(app) as client:
                headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
                refused = await client.get("/api/v1/kits", headers=headers)
            assert problem(refused, 401)["reason"] == reason
            assert refused.headers["www-authenticate"].startswith("Bearer")
        async with caller(app) as client:
            basic = await client.get("/api/v1/kits", headers={"Authorization": "Basic eDp5"})
            assert problem(basic, 401)["reason"] == "unknown_token"


async def test_a_token_is_made_shown_once_used_and_revoked(database: str) -> None:
    async with api(database) as client:
        made = await client.post(TOKENS, json={"name": "Grafana", "role": "grafana", "expires_days": 7})
        assert made.status_code == 201
        token, token_id = made.json()["token"], made.json()["id"]
        assert token.startswith("flt_")
        assert made.json()["hint"] == token[-4:]
        listed = await pages(client, TOKENS, limit=1)
        assert token not in str(listed)
        mine = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/api/v1/statistics", headers=mine)).status_code == 200
        problem(await client.get("/api/v1/kits", headers=mine), 403)
        for _ in range(2):
            assert (await client.delete(f"{TOKENS}/{token_id}")).status_code == 204
        problem(await client.get("/api/v1/statistics", headers=mine), 401)
        problem(await client.delete(f"{TOKENS}/999"), 404)
        assert [each["name"] for each in await pages(client, TOKENS, role="grafana")] == ["Grafana"]
    assert value(database, "SELECT last_used_at IS NOT NULL FROM tokens WHERE name = 'Grafana'")
    assert all(token.encode() not in bytes(row[0]) for row in rows(database, "SELECT secret_hash FROM tokens"))


async def test_a_repeated_creation_does_not_show_the_secret_again(database: str) -> None:
    async with api(database) as client:
        body, headers = {"name": "x", "role": "support"}, {"Idempotency-Key": "k"}
        first, again = [(await client.post(TOKENS, json=body, headers=headers)).json() for _ in range(2)]
    assert first.pop("token")
    assert again.pop("token") is None
    assert first == again
    assert "flt_" not in value(database, "SELECT body::text FROM idempotency_keys")


async def test_reading_does_not_write_each_time(database: str) -> None:
    async with api(database) as client:
        await client.get("/api/v1/kits")
        before = value(database, "SELECT xmin::text FROM tokens")
        await client.get("/api/v1/kits")
    assert value(database, "SELECT xmin::text FROM tokens") == before


async def test_every_refusal_is_a_problem(database: str) -> None:
    async with api(database) as client:
        problem(await client.get("/nowhere"), 404)
        problem(await client.get("/api/v1/nowhere"), 404)
        not_allowed = await client.put("/api/v1/kits")
        problem(not_allowed, 405)
        assert not_allowed.headers["allow"] == "GET, POST"
        problem(await client.post("/api/v1/kits", content=b"x" * 300_000), 413)
        problem(await client.post("/api/v1/kits", content=_unending()), 413)
        problem(await client.post("/api/v1/kits", content=b"kit=1", headers={"content-type": "text/plain"}), 422)
        problem(await client.get("/api/v1/alerts/9999999999999999999999"), 422, "id")
        problem(await client.get("/api/v1/events", headers={"Last-Event-ID": "x"}), 422, "Last-Event-ID")


async def test_what_nobody_foresaw_is_answered_without_detail(database: str) -> None:
    async with api(database) as client:
        execute(database, "ALTER TABLE kits RENAME COLUMN label TO other")
        with capture_logs() as lines:
            failed = problem(await client.post("/api/v1/kits", json={"kit": "K-1"}), 500)
    assert "label" not in str(failed)
    assert any(line["event"] == "request failed" and line["exc_info"] for line in lines)


async def test_one_line_per_request_and_never_a_token(database: str) -> None:
    token = await make_token(database, Role.ADMIN)
    async with running_app(database) as app, caller(app, token) as client:
        with capture_logs() as lines:
            answer = await client.get("/api/v1/kits/K-1", params={"token": token})
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["route"], line["status"], line["roles"]) == ("/api/v1/kits/{kit}", 422, None)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert token not in str(lines)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/api/v1/kits", "/nowhere"])
async def test_security_headers_everywhere(database: str, path: str) -> None:
    async with api(database) as client:
        headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "unsafe" not in headers["content-security-policy"]


async def test_readiness_follows_schema_and_ingest(database: str) -> None:
    async with api(database) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        execute(database, "UPDATE listening SET state = 'listening', updated_at = now() - interval '1 minute'")
        assert problem(await client.get("/readyz"), 503)["reasons"] == ["ingest does not run"]
        execute(database, "UPDATE listening SET state = 'catching_up', updated_at = now()")
        assert problem(await client.get("/readyz"), 503)["reasons"] == ["ingest is catching up"]
        execute(database, "UPDATE listening SET state = 'listening', updated_at = now()")
        assert (await client.get("/readyz")).status_code == 200
        execute(database, "UPDATE alembic_version SET version_num = '0000'")
        assert "fleet migrate" in problem(await client.get("/readyz"), 503)["reasons"][0]


async def test_latency_is_counted_by_route_template(database: str) -> None:
    async with api(database) as client:
        await client.get("/api/v1/kits/K-1")
        await client.get("/etc/passwd")
        shown = (await client.get("/metrics")).text
    assert 'fleet_http_request_seconds_count{method="GET",route="/api/v1/kits/{kit}",status="404"}' in shown
    assert 'route="unmatched"' in shown
    assert "passwd" not in shown


async def _unending() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536

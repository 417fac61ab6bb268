"""The pages of the rules: read, changed, set otherwise for some, tried on the history."""

from __future__ import annotations

import httpx
import pytest

from fleet.access.roles import Role
from tests.api import api, caller, make_token, running_app
from tests.integration.test_api_console import csrf_of, log_in
from tests.integration.test_api_rules import history
from tests.support import execute, value

FORM = {
    "severity": "minor",
    "line": "service",
    "priority": "normal",
    "for_s": "0",
    "keep_firing_for_s": "900",
    "enabled": "yes",
    "parameters": "800",
}


async def logged_in(client: httpx.AsyncClient, token: str) -> str:
    """Log in by token; gives what forms must bring."""
    await log_in(client, token, "/rules/storage_low")
    return csrf_of(await client.get("/rules/storage_low"))


async def test_every_rule_is_listed_with_its_meaning_in_both_languages(database: str) -> None:
    async with api(database) as client:
        page = await client.get("/rules", headers={"Accept-Language": "da"})
        assert page.status_code == 200
        for title in ("Telekit er tavst", "Lidt lagerplads", "Lavt lager", "Adgangsoplysninger misbruges"):
            assert title in page.text
        rule = await client.get("/rules/pairing_lost", headers={"Accept-Language": "en"})
        assert "stays paired and was not reached" in rule.text
        assert (await client.get("/rules/boredom")).status_code == 404


@pytest.mark.parametrize("rule", ["silent", "restarts", "stock_low", "clock_skew"])
async def test_the_page_of_every_kind_of_rule(database: str, rule: str) -> None:
    async with api(database) as client:
        assert (await client.get(f"/rules/{rule}")).status_code == 200


async def test_a_rule_is_changed_tried_and_set_otherwise_on_its_page(database: str) -> None:
    await history(database, "K-1", 12, 6)
    execute(database, "INSERT INTO kit_types (kit_type) VALUES ('copd')")
    token = await make_token(database, Role.ADMIN)
    async with running_app(database) as app, caller(app) as client:
        csrf = await logged_in(client, token)
        sent = {**FORM, "csrf": csrf, "version": "0"}
        tried = await client.post("/rules/storage_low/try", data={**sent, "days": "1"})
        assert tried.status_code == 200, tried.text
        assert "1 of 1 kits looked at" in tried.text
        assert '<a href="/kits/K-1">' in tried.text
        assert value(database, "SELECT version FROM rules WHERE rule = 'storage_low'") == 0
        saved = await client.post("/rules/storage_low", data=sent)
        assert saved.status_code == 303
        assert value(database, "SELECT parameters FROM rules WHERE rule = 'storage_low'") == {"below_mb": 800}
        again = await client.post("/rules/storage_low", data={**sent, "for_s": "5"})
        assert again.status_code == 409
        assert "meanwhile" in again.text
        bad = await client.post("/rules/storage_low/try", data={**sent, "parameters": "much"})
        assert bad.status_code == 422
        assert "below_mb" in bad.text
        variant = {"csrf": csrf, "kit_type": "copd", "parameters": "1500", "note": "small tablets"}
        assert (await client.post("/rules/storage_low/variants", data=variant)).status_code == 303
        page = await client.get("/rules/storage_low")
        assert "small tablets" in page.text
        assert "1500 MB" in page.text
        twice = await client.post("/rules/storage_low/variants", data=variant)
        assert twice.status_code == 422
        number = value(database, "SELECT variant_id FROM rule_variants")
        removed = await client.post(f"/rules/storage_low/variants/{number}/remove", data={"csrf": csrf})
        assert removed.status_code == 303
        assert value(database, "SELECT count(*) FROM rule_variants") == 0


async def test_who_may_only_look_sees_no_way_to_change(database: str) -> None:
    async with api(database, Role.AUDITOR) as client:
        page = await client.get("/rules/storage_low")
        assert "Save" not in page.text
        assert "Try on the history" in page.text

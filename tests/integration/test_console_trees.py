"""Problem trees on their pages without a browser: edited, tried on a kit, published, and gone back to."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import httpx

from fleet.access.roles import Role
from fleet.alerts.trees.store import shipped
from tests.api import api, caller, make_token, running_app
from tests.people import add_organisations
from tests.support import add_kits, rows, value
from tests.unit.test_tree_lines import FINE

EDIT = "/problem-trees/does-it-work/edit"


def draft(body: str = FINE, **more: Any) -> dict[str, Any]:
    """The editor's form, with the line ends of a browser."""
    return {"body": body.replace("\n", "\r\n"), **more}


def carried(page: httpx.Response, name: str) -> list[str]:
    """Values of fields or buttons of that name."""
    return [html.unescape(each) for each in re.findall(rf'name="{name}" value="([^"]*)"', page.text)]


async def test_a_tree_is_checked_published_and_gone_back_to(database: str) -> None:
    async with api(database) as client:
        page = await client.get("/new-problem-tree")
        (blank,) = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", page.text, re.DOTALL)
        sound = await client.post("/new-problem-tree", data=draft(html.unescape(blank)))
        assert "The tree is sound" in sound.text
        assert rows(database, "SELECT 1 FROM problem_trees") == []
        done = await client.post("/new-problem-tree", data=draft(act="publish"))
        assert done.headers["location"] == "/problem-trees/does-it-work"
        assert value(database, "SELECT body FROM problem_trees") == FINE
        page = await client.get("/problem-trees/does-it-work", headers={"Accept-Language": "da"})
        assert "Er den tændt" in page.text
        assert "heard_lately = true → on" in page.text
        editor = await client.get(EDIT)
        assert "version: 4" in editor.text
        stale = await client.post(EDIT, data=draft(act="publish"))
        assert stale.status_code == 422
        assert "give this one version 4" in stale.text
        assert 'data-line="3"' in stale.text
        changed = FINE.replace("version: 3", "version: 4").replace("It works.", "It does.")
        assert (await client.post(EDIT, data=draft(changed, act="publish"))).status_code == 303
        assert "It does." in (await client.get("/problem-trees/does-it-work")).text
        old = await client.get("/problem-trees/does-it-work", params={"version": 3})
        assert "It works." in old.text
        assert "Let version 3 count again" in old.text
        assert (await client.post("/problem-trees/does-it-work/restore", data={"version": "3"})).status_code == 303
        assert "It works." in (await client.get("/problem-trees/does-it-work")).text
        assert value(database, "SELECT max(version) FROM problem_trees") == 5
        assert (await client.post("/problem-trees/does-it-work/retire")).status_code == 303
        assert "does-it-work" not in (await client.get("/problem-trees")).text
        assert "is offered no more" in (await client.get("/problem-trees/does-it-work")).text


async def test_faults_are_told_by_line_with_the_text_as_it_was_sent(database: str) -> None:
    async with api(database) as client:
        broken = FINE.replace("da: Det virker.}", "da: ''}").replace("line: service", "line: nobody")
        for act in ("check", "publish", "begin"):
            page = await client.post(EDIT, data=draft(broken, act=act), headers={"Accept-Language": "da"})
            assert page.status_code == 422
            assert re.findall(r'data-line="(\d+)"', page.text) == ["16", "18"]
            assert "skal være 1 til 600 tegn" in page.text
            assert "line: nobody" in html.unescape(page.text)
        other = await client.post("/problem-trees/kit-is-silent/edit", data=draft(act="publish"))
        assert other.status_code == 422
        assert "and is entered as" in other.text
        assert rows(database, "SELECT 1 FROM problem_trees") == []
        for name in shipped():
            assert (await client.get(f"/problem-trees/{name}")).status_code == 200
            assert (await client.get(f"/problem-trees/{name}/edit")).status_code == 200
        assert (await client.get("/problem-trees/none")).status_code == 404
        assert (await client.get("/problem-trees/kit-is-silent", params={"version": 77})).status_code == 404


async def test_a_draft_is_tried_on_a_kit(database: str) -> None:
    add_kits(database, "K-1")
    async with api(database) as client:
        begun = await client.post(EDIT, data=draft(act="begin", kit="K-1"))
        assert "Is it on" in begun.text
        answers = carried(begun, "say")
        assert [json.loads(each) for each in answers] == [["first", "on"], ["first", "off"]]
        ended = await client.post(EDIT, data=draft(kit="K-1", say=answers[1]))
        assert "Look at it." in ended.text
        assert carried(ended, "given") == [answers[1]]
        again = await client.post(EDIT, data=draft(kit="K-1", given=carried(ended, "given"), act="begin"))
        assert carried(again, "given") == []
        renamed = FINE.replace('"off"', '"dark"')
        changed = await client.post(EDIT, data=draft(renamed, kit="K-1", say=answers[1]))
        assert changed.status_code == 200
        assert carried(changed, "given") == []
        for kit in ("K-9", "no kit!"):
            none = await client.post(EDIT, data=draft(act="begin", kit=kit))
            assert none.status_code == 422
            assert 'id="wrong-kit"' in none.text
        assert "Is it on" in (await client.post(EDIT, data=draft(act="begin"))).text
        assert rows(database, "SELECT 1 FROM calls") == []


async def test_who_is_bound_tries_and_does_not_publish(database: str) -> None:
    add_organisations(database, "aalborg", "hjorring")
    add_kits(database, "K-1")
    token = await make_token(database, Role.SERVICE, organisation="aalborg")
    desk = await make_token(database, Role.SUPPORT, organisation="aalborg")
    async with running_app(database) as app, caller(app, token) as bound, caller(app, desk) as support:
        page = await bound.post(EDIT, data=draft(act="publish"))
        assert page.status_code == 422
        assert 'id="wrong-publish"' in page.text
        assert (await bound.post(EDIT, data=draft(act="begin", kit="K-1"))).status_code == 422
        for path, data in (("restore", {"version": "1"}), ("retire", {})):
            refused = await bound.post(f"/problem-trees/kit-is-silent/{path}", data=data)
            assert refused.status_code == 409
        assert rows(database, "SELECT 1 FROM problem_trees") == []
        assert (await support.get("/problem-trees/kit-is-silent")).status_code == 200
        assert (await support.get("/problem-trees/kit-is-silent/edit")).status_code == 403
        assert (await support.post(EDIT, data=draft())).status_code == 403

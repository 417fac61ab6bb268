"""The console's pages of kits, requests, visits and credentials, tried by strangers with somebody else's things."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.routing import APIRoute

from fleet.access.roles import Permission, allowed
from fleet.api.app import create_app
from fleet.api.shapes import PREFIX
from tests.api import settings_for
from tests.isolation.asking import NOBODY, blurred
from tests.isolation.operations import gates, routes
from tests.isolation.test_routes import as_, digests
from tests.isolation.world import OF_A, OF_B, STRANGERS, A, B, Caller

Form = Mapping[str, Any]

FORMS: Mapping[str, tuple[Form, ...]] = {
    "/kits/{kit}/visit": (
        {"kind": "repair", "planned_on": "2027-01-04", "look": "yes"},
        {"kind": "repair", "planned_on": "2027-01-04"},
    ),
    "/kits/{kit}/request": (
        {"into": "new", "cause": "damaged", "text": "dropped"},
        {"into": "SR-{side}-1", "text": "dropped"},
    ),
    "/kits/{kit}/credentials": (
        {"act": "issue", "generation": "1", "reason": "lost"},
        {"act": "withdraw", "generation": "2", "reason": "lost"},
    ),
    "/kits/{kit}/step": ({"to": "paused", "reason": "in hospital"},),
    "/kits/{kit}/call": (
        {"channel": "phone", "caller": "nurse", "reason": "question", "outcome": "advised", "minutes": "3"},
    ),
    "/visits/{number}": (
        {"act": "plan", "planned_on": "2027-01-05"},
        {"act": "bring", "piece": "{side}-scale-30"},
        {"act": "fail", "failure": "refused"},
        {"act": "cancel", "reason": "not needed"},
    ),
    "/service-requests/{number}": ({"act": "comment", "text": "seen"}, {"act": "start"}),
}
"""What the forms of these pages send; each may be sent after the one before it."""
PAGES = (*FORMS, "/visits/{number}/print")


@dataclass(frozen=True, slots=True)
class Page:
    """A route of the console, with the permission that its gate asks for."""

    method: str
    path: str
    permission: Permission
    forms: tuple[Form, ...] = field(default=(), hash=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _pages() -> Iterator[Page]:
    app = create_app(settings_for("postgresql://nobody@127.0.0.1:1/none"))
    for path, route in routes(app):
        if not isinstance(route, APIRoute) or path.startswith(PREFIX) or "{" not in path:
            continue
        known = path in PAGES or path == "/kits/{kit}"
        for method in sorted((route.methods or set()) & {"GET", "POST"}):
            permission = next(iter(gates(route.dependant)), None)
            if known and permission is not None and permission.permission is not None:
                yield Page(method, path, permission.permission, FORMS.get(path, ()) if method == "POST" else ())


ALL = tuple(_pages())
LOOKS = tuple(each for each in ALL if each.method == "GET")
CHANGES = tuple(each for each in ALL if each.method == "POST")


def address(database: str, path: str, side: str) -> str:
    """The address of a page about a thing of a municipality."""
    number = f"SR-{side}-1"
    if path.startswith("/visits"):
        with psycopg.connect(database) as connection:
            query = (
                "SELECT v.number FROM visits v JOIN organisations o USING (organisation_id) WHERE o.slug = %s LIMIT 1"
            )
            found = connection.execute(query, (side,)).fetchone()
        number = "V-2026-987654" if found is None else str(found[0])
    return path.format(kit=f"{side}-installed", number=number)


async def send(client: httpx.AsyncClient, page: Page, where: str, form: Form | None, side: str) -> httpx.Response:
    if page.method == "GET":
        return await client.get(where)
    return await client.post(where, data={name: value.format(side=side) for name, value in (form or {}).items()})


def said(answer: httpx.Response, names: list[str]) -> tuple[int, str]:
    """An answer without the names that were asked for and without how long ago things were."""
    status, text = blurred(answer, names)
    return status, re.sub(r"\d+ (s|min) ago", "\u2026 ago", text)


def test_every_page_of_these_is_tried() -> None:
    assert {each.path for each in LOOKS} >= set(PAGES) - {"/kits/{kit}/step"}
    assert {each.path for each in CHANGES} == set(FORMS)
    assert all(each.forms for each in CHANGES)


@pytest.mark.parametrize("who", STRANGERS, ids=str)
async def test_others_things_are_as_if_there_were_none(own_world: str, who: Caller) -> None:
    wrong = []
    before = digests(own_world, B)
    async with as_(own_world, who) as (stranger,):
        for page in (*LOOKS, *CHANGES):
            theirs, nothing = address(own_world, page.path, B), address(own_world, page.path, NOBODY)
            for form in page.forms or (None,):
                answer = await send(stranger, page, theirs, form, B)
                compared = await send(stranger, page, nothing, form, NOBODY)
                expected = 404 if allowed(who.role, page.permission) else 403
                names = [*theirs.split("/"), *nothing.split("/"), B, NOBODY]
                same = said(answer, names) == said(compared, names)
                if answer.status_code != expected or not same:
                    wrong.append(f"{page} {form}: {answer.status_code} {answer.text[-600:]}")
    assert wrong == [], "\n".join(wrong)
    after = digests(own_world, B)
    assert [name for name in before if before[name] != after[name]] == []


async def test_ones_own_are_there_and_change(own_world: str) -> None:
    """That the questions of the test above are good ones."""
    wrong = []
    async with as_(own_world, OF_B) as (own,):
        for page in (*LOOKS, *CHANGES):
            for form in page.forms or (None,):
                answer = await send(own, page, address(own_world, page.path, B), form, B)
                shown = answer.status_code == 200 and (page.path.endswith("print") or B in answer.text)
                if not (shown or answer.status_code == 303):
                    wrong.append(f"{page} {form}: {answer.status_code} {answer.text[-900:]}")
    assert wrong == [], "\n".join(wrong)


async def test_ones_own_pages_tell_nothing_of_others(world: str) -> None:
    async with as_(world, OF_A) as (own,):
        for page in LOOKS:
            answer = await own.get(address(world, page.path, A))
            assert answer.status_code == 200, page
            assert B not in answer.text.lower(), page
        for path in ("/", "/visits?day_from=2020-01-01&day_to=2030-01-01", "/service-requests"):
            assert B not in (await own.get(path)).text.lower(), path


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/kits/{kit}/visit", {"service_request": "SR-{side}-1"}),
        ("/kits/{kit}/visit", {"bring": "3:{side}-depot:{side}", "quantity": "1", "wanted": "scale"}),
        ("/kits/{kit}/visit", {"bring": "3:{side}-depot:", "quantity": "1", "wanted": "scale"}),
        ("/kits/{kit}/visit", {"piece": "{side}-scale-30"}),
        ("/kits/{kit}/visit", {"whole_kit": "{side}-stock"}),
        ("/kits/{kit}/request", {"into": "SR-{side}-1", "text": "seen"}),
        ("/visits/{number}", {"act": "bring", "piece": "{side}-scale-30"}),
        ("/service-requests/{number}", {"act": "merge", "into": "SR-{side}-1"}),
    ],
)
async def test_others_things_are_not_named_in_ones_own_forms(own_world: str, path: str, form: Form) -> None:
    plan = {"kind": "repair", "planned_on": "2027-01-04"} if path.endswith("/visit") else {}
    before = digests(own_world, B)
    async with as_(own_world, OF_A) as (own,):
        where = address(own_world, path, A)
        answers = []
        for side in (B, NOBODY):
            sent = {**plan, **{name: value.format(side=side) for name, value in form.items()}}
            answers.append(await own.post(where, data=sent))
    assert answers[0].status_code == 409, answers[0].text
    assert said(answers[0], [B, NOBODY]) == said(answers[1], [B, NOBODY])
    after = digests(own_world, B)
    assert [name for name in before if before[name] != after[name]] == []

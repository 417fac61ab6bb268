"""Whatever is sent to the forms of login and account, and to one's own account over the API, nothing breaks."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from fleet.access.roles import Role
from fleet.access.users import RoleAt
from tests.api import running_app
from tests.contract.test_openapi_fuzz import ODD, RAW, as_told
from tests.isolation.operations import OWN_ACCOUNT, document
from tests.people import PASSWORD, browser, csrf_of, make_user
from tests.support import execute

FORMS = {
    "/login": ("username", "password", "token", "next", "else"),
    "/login/code": ("code", "next"),
    "/account/password": ("current", "new", "again"),
    "/account/second-factor": ("password",),
    "/account/second-factor/confirm": ("code",),
    "/account/second-factor/remove": ("password",),
}
PAGES = ("/login", "/login/code", "/login/provider", "/login/provider/return", "/account")
FORGIVE = "DELETE FROM login_attempts"
FORM_TYPE = {"content-type": "application/x-www-form-urlencoded"}


def quoted(odd: Any) -> str:
    """A value as it stands in an address or a form."""
    return quote(str(odd).encode(errors="surrogatepass")[:500], safe="")


async def test_odd_forms_and_addresses(database: str) -> None:
    await make_user(database, "support-07", RoleAt(Role.SUPPORT))
    async with running_app(database) as app, browser(app) as person:
        await person.enter("support-07")
        csrf = csrf_of(await person.get("/account"))
        for to, names in FORMS.items():
            for name in names:
                for odd in (each for each in ODD if isinstance(each, str)):
                    execute(database, FORGIVE)
                    body = f"csrf={csrf}&{name}={quoted(odd)}"
                    answer = await person.client.post(to, content=body.encode(), headers=FORM_TYPE)
                    assert answer.status_code < 500, (to, name, odd, answer.text)
        for path in PAGES:
            for odd in ODD:
                answer = await person.client.get(f"{path}?next={quoted(odd)}&code={quoted(odd)}&state={quoted(odd)}")
                assert answer.status_code < 500, (path, odd, answer.text)


async def test_odd_bodies_of_a_person(database: str) -> None:
    """The same over the API as a person: tokens get no further than the first check."""
    await make_user(database, "support-07", RoleAt(Role.SUPPORT))
    good = {"current": PASSWORD, "new": "te og solskin på vej", "password": PASSWORD, "code": "123456"}
    async with running_app(database) as app, browser(app) as person:
        await person.enter("support-07")
        person.client.headers["X-CSRF-Token"] = csrf_of(await person.get("/account"))
        person.client.headers["content-type"] = "application/json"
        for path, methods in document()["paths"].items():
            if not path.startswith(OWN_ACCOUNT) or "post" not in methods:
                continue
            reference = methods["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            fields = document()["components"]["schemas"][reference.rsplit("/", 1)[1]]["properties"]
            for raw in RAW:
                as_told(await person.client.post(path, content=raw))
            for name in fields:
                for odd in ODD:
                    execute(database, FORGIVE)
                    content = json.dumps({**{field: good[field] for field in fields}, name: odd}).encode()
                    as_told(await person.client.post(path, content=content))

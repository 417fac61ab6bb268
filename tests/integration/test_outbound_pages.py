"""The console's pages of what goes out, and the page that a mail's link leads to."""

from __future__ import annotations

from fleet.access.principal import SYSTEM
from fleet.access.roles import Role
from fleet.alerts.outbound import mail, outlets
from fleet.alerts.outbound.outlets import NewOutlet
from tests.api import caller, make_token, running_app
from tests.outbound_world import outbound
from tests.people import browser, csrf_of
from tests.receiver import receiving, statuses
from tests.support import execute, value


async def test_who_looks_after_receivers_sees_how_they_fare_and_sends_again(database: str) -> None:
    token = await make_token(database, Role.ADMIN)
    async with (
        receiving(answer=statuses(then=500)) as there,
        outbound(database) as here,
        running_app(database) as app,
        browser(app) as person,
    ):
        hook = await here.webhook(there.url, description="the desk")
        await here.fact()
        await here.send(hook)
        execute(database, "UPDATE deliveries SET state = 'dead', ended_at = now()")
        form = {"token": token, "csrf": csrf_of(await person.get("/login"))}
        assert (await person.client.post("/login", data=form)).status_code == 303
        listed = (await person.get("/outlets")).text
        assert there.url in listed
        assert "the desk" in listed
        path = f"/outlets/webhook/{hook.outlet_id}"
        page = await person.get(path)
        assert "answered 500" in page.text
        form = {"csrf": csrf_of(page), "act": "again_all"}
        assert (await person.client.post(path, data=form)).status_code == 303
        assert await here.states(hook) == ["pending"]
        assert (await person.client.post(path, data={**form, "act": "ping"})).status_code == 303
        assert await here.states(hook) == ["pending", "pending"]
        assert (await person.client.post(path, data={**form, "act": "pause"})).status_code == 303
        assert (await person.client.post(path, data={**form, "act": "ping"})).status_code == 409
        assert (await person.client.post(path, data={"act": "resume"})).status_code == 403
        assert value(database, "SELECT state FROM outlets") == "paused"


async def test_who_may_not_sees_nothing_of_it(database: str) -> None:
    async with running_app(database) as app, caller(app, await make_token(database, Role.SUPPORT)) as client:
        assert (await client.get("/outlets")).status_code == 403


async def test_the_link_in_a_mail_asks_and_ends(database: str) -> None:
    async with outbound(database) as here, running_app(database) as app, caller(app) as anybody:
        new = NewOutlet("mail", ["*"], address="vagt@example.dk")
        outlet = await outlets.create(here.books, new, SYSTEM)
        settings = app.state.settings.model_copy(update={"http_public_url": "https://fleet.example.dk"})
        link = mail.unsubscribe_link(settings, outlet.outlet_id)
        assert link is not None
        path = link.removeprefix("https://fleet.example.dk")
        asked = await anybody.get(path)
        assert asked.status_code == 200
        assert value(database, "SELECT count(*) FROM outlets") == 1
        assert (await anybody.get(path + "x")).status_code == 404
        assert (await anybody.post(path + "x")).status_code == 404
        assert (await anybody.post(path, data={"List-Unsubscribe": "One-Click"})).status_code == 200
        assert value(database, "SELECT count(*) FROM outlets") == 0
        assert (await anybody.post(path)).status_code == 200

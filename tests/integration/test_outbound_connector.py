"""Requests here and tickets there, kept in step both ways, against a server process that behaves as Zammad does."""

from __future__ import annotations

import hmac
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleet.access.principal import Grant, Principal
from fleet.access.roles import Role
from fleet.alerts.outbound import outlets
from fleet.alerts.outbound.connector import WITHHELD, changes_for, kept_text
from fleet.alerts.outbound.outlets import NewOutlet, OutletView
from fleet.alerts.outbound.tickets import Ticket
from fleet.alerts.outbound.work import purpose_of
from fleet.alerts.requests import desk
from fleet.alerts.requests.desk import NewRequest
from fleet.embedded.ports import free_port
from tests.api import api, problem
from tests.outbound_world import Outbound, outbound
from tests.support import execute, rows, value

ROOT = Path(__file__).parents[2]
TOKEN = "a token of an agent"
SOLVED = {"state": "resolved", "found_cause": "tablet_fault", "remedy": "repaired"}
AGENT = Principal("system", 0, "an agent", (Grant(Role.ADMIN),))


class Other:
    """The other side: its people, and what is there."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url)

    def do(self, what: str, **given: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.client.post(f"/test/{what}", json=given).json()
        return found

    @property
    def tickets(self) -> list[dict[str, Any]]:
        return list(self.do("look")["tickets"])

    def bodies(self, ticket: int) -> list[str]:
        return [each["body"] for each in self.do("look")["articles"] if each["ticket_id"] == ticket]

    def changes(self) -> list[str]:
        return [each for each in self.do("look")["calls"] if not each.startswith("GET")]


@pytest.fixture
def other() -> Iterator[Other]:
    """A server process of this test's own."""
    port = free_port()
    arguments = [sys.executable, "-m", "tests.zammad", str(port), TOKEN]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=ROOT) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        there = Other(f"http://127.0.0.1:{port}")
        yield there
        there.client.close()
        running.terminate()
        running.wait(10)


async def connect(here: Outbound, other: Other, token: str = TOKEN, **options: Any) -> OutletView:
    sealed = here.sealer.seal(token.encode(), purpose_of("connector"))
    organisation = options.pop("organisation", None)
    given = {"system": "zammad", "group": "Suppliers", "customer": "fleet@example.dk", **options}
    new = NewOutlet("connector", ["request.*"], organisation, url=other.url, secret=sealed, options=given)
    return await outlets.create(here.books, new, AGENT)


async def opened(here: Outbound, cause: str = "tablet_fault", **more: Any) -> str:
    await here.books.execute("INSERT INTO kits (kit, state) VALUES ('K-1', 'in_stock') ON CONFLICT DO NOTHING")
    number = await desk.open_request(here.books, NewRequest("K-1", cause, **more), by=AGENT)
    assert isinstance(number, str)
    return number


async def poll(here: Outbound, outlet: OutletView) -> float | None:
    """Look at the other side again, whenever that was last done."""
    await here.books.execute("UPDATE outlet_queues SET polled_at = NULL")
    return await here.deliver(outlet)


def state(database: str, number: str) -> str:
    found: str = value(database, "SELECT state FROM service_requests WHERE number = %s", number)
    return found


def said(database: str, number: str) -> list[tuple[str, str]]:
    return rows(
        database,
        "SELECT e.actor, e.body ->> 'text' FROM request_events e JOIN service_requests r USING (request_id)"
        " WHERE r.number = %s AND e.what = 'comment' ORDER BY e.event_id",
        number,
    )


async def test_a_request_becomes_a_ticket_once(database: str, other: Other) -> None:
    async with outbound(database, http_public_url="https://fleet.example.dk") as here:
        outlet = await connect(here, other)
        number = await opened(here, description="the screen stays black")
        assert await here.send(outlet) is None
        assert await here.send(outlet) is None
        (ticket,) = other.tickets
        assert ticket["title"] == f"[{number}] tablet_fault · K-1"
        assert (ticket["group"], ticket["tags"], ticket["state"]) == ("Suppliers", "fleet", "new")
        assert "https://fleet.example.dk/kits/K-1" in other.bodies(1)[0]
        assert "black" not in other.bodies(1)[0]
        # Should the note of it be lost, the ticket is found again.
        execute(database, "DELETE FROM connector_tickets")
        await desk.change_request(here.books, number, {"priority": "urgent"}, by=AGENT)
        await here.send(outlet)
        assert len(other.tickets) == 1
        assert value(database, "SELECT ticket FROM connector_tickets") == "1"


async def test_one_ticket_that_cannot_be_read_holds_no_other_up(database: str, other: Other) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other)
        one, two = await opened(here), await opened(here, "app_fault")
        await here.send(outlet)
        other.do("article", ticket=1, body="x" * 1_200_000)
        other.do("state", ticket=1, state="pending reminder")
        other.do("state", ticket=2, state="closed")
        assert await poll(here, outlet) is None
        assert (state(database, one), state(database, two)) == ("waiting", "resolved")
        assert value(database, "SELECT failures FROM outlet_queues") == 0
        assert said(database, one) == []


async def test_comments_and_states_go_out_and_nothing_comes_back(database: str, other: Other) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other)
        number = await opened(here)
        await here.send(outlet)
        await desk.comment(here.books, number, "please look at the charger", "reporter", by=AGENT)
        await desk.comment(here.books, number, "between ourselves", "internal", by=AGENT)
        await desk.change_request(here.books, number, SOLVED, by=AGENT)
        await here.send(outlet)
        assert other.bodies(1)[1:] == ["please look at the charger"]
        assert other.tickets[0]["state"] == "closed"
        before, changed = said(database, number), other.changes()
        for _ in range(3):
            await here.relay()
            assert await poll(here, outlet) is None
        assert said(database, number) == before
        assert other.changes() == changed
        assert state(database, number) == "resolved"
        await desk.reopen(here.books, number, "it came back", by=AGENT)
        await here.send(outlet)
        assert other.tickets[0]["state"] == "open"


async def test_what_is_done_there_is_done_here_once(database: str, other: Other) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other)
        number = await opened(here)
        await here.send(outlet)
        other.do("article", ticket=1, body="<p>We send &amp; swap it</p>")
        other.do("article", ticket=1, body="among themselves", internal=True)
        other.do("state", ticket=1, state="pending reminder")
        await poll(here, outlet)
        assert said(database, number) == [(f"connector:{outlet.outlet_id}", "We send & swap it")]
        assert state(database, number) == "waiting"
        changed = other.changes()
        for _ in range(3):
            await here.relay()
            await poll(here, outlet)
        assert len(said(database, number)) == 1
        assert other.changes() == changed  # what came from there is not sent back
        other.do("state", ticket=1, state="closed")
        await poll(here, outlet)
        assert state(database, number) == "resolved"
        other.do("state", ticket=1, state="open")
        await poll(here, outlet)
        assert state(database, number) == "open"
        assert await here.send(outlet) is None
        assert other.tickets[0]["state"] == "open"


async def test_only_lines_that_are_theirs(database: str, other: Other) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other, lines=["supplier"])
        number = await opened(here)
        await here.send(outlet)
        assert other.tickets == []
        await desk.forward(here.books, number, "supplier", "beyond us", by=AGENT)
        await here.send(outlet)
        assert len(other.tickets) == 1
        await desk.forward(here.books, number, "service", "solved by them", by=AGENT)
        await desk.change_request(here.books, number, SOLVED, by=AGENT)
        await here.send(outlet)
        assert other.tickets[0]["state"] == "closed"


@pytest.mark.parametrize(
    ("trouble", "waits"),
    [
        ({"status": 429, "headers": {"retry-after": "90"}}, 90),
        ({"status": 500}, 0),
        ({"status": 503, "headers": {"retry-after": "30"}}, 30),
    ],
)
async def test_a_passing_trouble_is_waited_for(
    database: str, other: Other, trouble: dict[str, Any], waits: float
) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other)
        await opened(here)
        other.do("trouble", **trouble)
        delay = await here.send(outlet)
        assert delay is not None
        assert delay >= waits
        assert await here.states(outlet) == ["pending"]
        assert await here.deliver(outlet) is None
        assert len(other.tickets) == 1


async def test_a_wrong_token_holds_up_and_is_told_without_it(database: str, other: Other) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other, token="guessed")
        await opened(here)
        assert await here.send(outlet) is not None
        assert (await here.view(outlet)).last_error == "answered 401"
        assert await here.states(outlet) == ["pending"]


async def test_what_is_never_taken_is_given_up_alone(database: str, other: Other) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other, group="Nowhere")
        await opened(here)
        assert await here.send(outlet) is None
        assert await here.states(outlet) == ["dead"]
        execute(database, 'UPDATE outlets SET options = options || \'{"group": "Suppliers"}\'')
        await opened(here, "app_fault")
        assert await here.send(outlet) is None
        assert len(other.tickets) == 1


async def test_a_ticket_that_is_gone_stops_nothing(database: str, other: Other) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other)
        number = await opened(here)
        await here.send(outlet)
        other.do("delete", ticket=1)
        await desk.change_request(here.books, number, SOLVED, by=AGENT)
        assert await here.send(outlet) is None
        assert (await here.states(outlet))[-1] == "dead"


async def test_many_changes_are_read_page_by_page(database: str, other: Other) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other)
        other.do("many", count=120)
        number = await opened(here)
        await here.send(outlet)
        other.do("article", ticket=121, body="seen at last")
        await poll(here, outlet)
        assert [text for _, text in said(database, number)] == ["seen at last"]


async def test_a_kit_that_moves_away_takes_its_requests_out_of_their_reach(database: str, other: Other) -> None:
    execute(database, "INSERT INTO organisations (slug, name) VALUES ('north', 'North'), ('south', 'South')")
    execute(
        database,
        "INSERT INTO kits (kit, state, organisation_id) SELECT 'K-1', 'in_stock', organisation_id FROM organisations"
        " WHERE slug = 'north'",
    )
    async with outbound(database) as here:
        outlet = await connect(here, other, organisation="north")
        number = await opened(here)
        await here.send(outlet)
        assert len(other.tickets) == 1
        execute(
            database,
            "UPDATE kits SET organisation_id = (SELECT organisation_id FROM organisations WHERE slug = 'south')",
        )
        other.do("article", ticket=1, body="of no concern")
        other.do("state", ticket=1, state="closed")
        await poll(here, outlet)
        assert said(database, number) == []
        assert state(database, number) == "open"
        await desk.change_request(here.books, number, {"priority": "low"}, by=AGENT)
        await here.send(outlet)
        assert other.tickets[0]["priority"] != "1 low"


async def test_what_may_name_a_citizen_is_not_kept(database: str, other: Other) -> None:
    async with outbound(database) as here:
        outlet = await connect(here, other)
        number = await opened(here)
        await here.send(outlet)
        other.do("article", ticket=1, body="about 010190-1234")
        await poll(here, outlet)
        assert [text for _, text in said(database, number)] == [WITHHELD]


def test_texts_of_theirs_fit() -> None:
    assert kept_text("short\tand\nsweet") == "short and sweet"
    assert len(kept_text("long " * 200)) <= 200
    assert kept_text("x " * 300 + "010190-1234") == WITHHELD


def ticket(state_: str) -> Ticket:
    from datetime import UTC, datetime

    return Ticket("1", "1", "", state_, state_ == "closed", state_.startswith("pending"), datetime.now(UTC))


@pytest.mark.parametrize("ours", ["open", "in_progress", "waiting", "resolved", "closed"])
@pytest.mark.parametrize("theirs", ["new", "open", "pending reminder", "closed"])
def test_a_state_that_was_taken_over_is_not_taken_over_again(ours: str, theirs: str) -> None:
    changes = changes_for(ours, ticket(theirs))
    if changes is not None:
        assert changes["state"] != ours
        assert changes_for(changes["state"], ticket(theirs)) is None


async def test_a_connector_over_http_and_its_webhook(database: str, other: Other) -> None:
    body = {
        "url": "https://tickets.example.dk",
        "token": TOKEN,
        "group": "Suppliers",
        "customer": "fleet@example.dk",
        "signature_token": "signing",
        "lines": ["supplier"],
    }
    async with api(database) as client, outbound(database) as here:
        made = await client.post("/api/v1/connectors", json=body, headers={"Idempotency-Key": "k"})
        assert made.status_code == 201, made.text
        found = made.json()
        assert (found["group"], found["lines"], found["state"]) == ("Suppliers", ["supplier"], "active")
        assert TOKEN not in made.text
        path = f"/api/v1/connectors/{found['id']}"
        assert (await client.patch(path, json={"lines": []})).json()["lines"] == []
        problem(await client.patch(path, json={"url": "https://127.0.0.1"}), 422, "url")
        problem(await client.post("/api/v1/connectors", json={**body, "token": ""}), 422, "token")
        execute(database, "UPDATE outlets SET url = %s", other.url)
        number = await opened(here)
        await here.send(await here.view_of("connector", found["id"]))
        assert len(other.tickets) == 1
        # Their webhook says that something changed; what it says is not believed, only looked after.
        other.do("article", ticket=1, body="from them")
        sent = b'{"ticket": {"id": 1}, "article": {"body": "from somebody else"}}'
        notify = f"/notify/connectors/{found['id']}"
        for signature in ("", "sha1=00", "sha1=" + hmac.new(b"guessed", sent, "sha1").hexdigest()):
            problem(await client.post(notify, content=sent, headers={"X-Hub-Signature": signature}), 401)
        signed = {"X-Hub-Signature": "sha1=" + hmac.new(b"signing", sent, "sha1").hexdigest()}
        assert (await client.post(notify, content=sent, headers=signed)).status_code == 202
        problem(await client.post("/notify/connectors/987654321", content=sent, headers=signed), 401)
        await here.relay()
        assert value(database, "SELECT count(*) FROM jobs.procrastinate_jobs") == 1
        await here.deliver(await here.view_of("connector", found["id"]))
        assert [text for _, text in said(database, number)] == ["from them"]
        replaced = await client.post(f"{path}/tokens", json={"token": "another"})
        assert replaced.status_code == 200, replaced.text
        await desk.change_request(here.books, number, {"priority": "urgent"}, by=AGENT)
        assert await here.send(await here.view_of("connector", found["id"])) is not None
        assert (await client.get(path)).json()["last_error"] == "answered 401"
        assert (await client.delete(path)).status_code == 204
        assert "signing" not in str(rows(database, "SELECT before, after FROM audit"))

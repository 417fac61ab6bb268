"""Mail from fact to mail server: told once, put off, bounded, refused; against a real server in this process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from fleet.access.principal import SYSTEM
from fleet.alerts.outbound import mail, outlets
from fleet.alerts.outbound.outlets import NewOutlet, OutletView
from tests.outbound_world import Outbound, outbound
from tests.support import execute, value

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

USER, PASSWORD = "fleet", "p@ss/word"


class Mailbox:
    """What the server took; `refuse` is answered instead of taking."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse_recipient: str | None = None
        self.refuse_data: str | None = None

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuse_recipient:
            return self.refuse_recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuse_data:
            return self.refuse_data
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=default))  # type: ignore[arg-type]
        return "250 OK"

    def texts(self) -> list[str]:
        """The plain texts."""
        return [str(each.get_body(("plain",)).get_content()) for each in self.mails]  # type: ignore[union-attr]


def known(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Whether somebody is us."""
    right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """A mail server that wants our password, and its address."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(
        box, "127.0.0.1", port, authenticator=known, auth_required=True, auth_require_tls=False, decode_data=False
    )
    server.start()
    yield box, f"smtp://{USER}:p%40ss%2Fword@127.0.0.1:{port}"
    server.stop()


@asynccontextmanager
async def mailing(database: str, url: str) -> AsyncIterator[Outbound]:
    async with outbound(
        database, smtp_url=url, mail_from="fleet@example.dk", http_public_url="https://fleet.example.dk"
    ) as here:
        yield here


async def subscribe(here: Outbound, *events: str, **options: Any) -> OutletView:
    new = NewOutlet("mail", list(events or ("*",)), address="vagt@example.dk", options={"language": "en", **options})
    return await outlets.create(here.books, new, SYSTEM)


async def test_what_waits_is_told_in_one_mail_and_once(database: str, mailbox: tuple[Mailbox, str]) -> None:
    box, url = mailbox
    execute(database, "INSERT INTO kits (kit, state) VALUES ('K-1', 'in_stock')")
    async with mailing(database, url) as here:
        outlet = await subscribe(here, "alert.*", severities=["critical"])
        await here.fact("alert.opened", "K-1", rule="silent", severity="critical")
        await here.fact("alert.opened", "K-1", rule="battery_low", severity="critical")
        await here.fact("alert.opened", "K-1", rule="drift", severity="minor")
        assert await here.send(outlet) is None
        assert await here.send(outlet) is None
        (text,) = box.texts()
        assert "K-1 · silent" in text
        assert "battery_low" in text
        assert "drift" not in text
        assert box.mails[0]["To"] == "vagt@example.dk"
        link = str(box.mails[0]["List-Unsubscribe"]).strip(" <>")
        signed = link.removeprefix("https://fleet.example.dk/unsubscribe/")
        assert mail.subscription_of(here.work.settings, signed) == outlet.outlet_id
        assert mail.subscription_of(here.work.settings, signed + "x") is None
        assert await here.states(outlet) == ["delivered", "delivered"]


async def test_quiet_hours_put_off_and_what_is_urgent_is_told(database: str, mailbox: tuple[Mailbox, str]) -> None:
    box, url = mailbox
    now = datetime.now(UTC)
    quiet = {
        "quiet_from": f"{now - timedelta(minutes=5):%H:%M}",
        "quiet_until": f"{now + timedelta(hours=2):%H:%M}",
        "time_zone": "UTC",
    }
    async with mailing(database, url) as here:
        outlet = await subscribe(here, urgent_passes=True, **quiet)
        await here.fact("request.opened", number="SR-1", priority="normal")
        assert await here.send(outlet) is None
        assert box.mails == []
        due = value(database, "SELECT next_at FROM outlet_queues")
        assert timedelta(hours=1) < due - now < timedelta(hours=3)
        assert value(database, "SELECT count(*) FROM jobs.procrastinate_jobs") == 1
        execute(database, "DELETE FROM jobs.procrastinate_jobs")
        await here.relay()
        assert value(database, "SELECT count(*) FROM jobs.procrastinate_jobs") == 0  # it sleeps
        await here.fact("request.opened", number="SR-2", priority="urgent")
        await here.relay()
        assert value(database, "SELECT count(*) FROM jobs.procrastinate_jobs") == 1  # something came in
        await here.deliver(outlet)
        (text,) = box.texts()
        assert "SR-2" in text
        assert "SR-1" not in text


async def test_a_flood_becomes_one_mail(database: str, mailbox: tuple[Mailbox, str]) -> None:
    box, url = mailbox
    async with mailing(database, url) as here:
        outlet = await subscribe(here)
        execute(database, "UPDATE outlet_queues SET hour_began = now() - interval '59 minutes', sent_in_hour = 10")
        for number in range(200):
            await here.fact("request.opened", number=f"SR-{number}")
        await here.send(outlet)
        assert box.mails == []
        execute(database, "UPDATE outlet_queues SET hour_began = now() - interval '61 minutes'")
        await here.deliver(outlet)
        (text,) = box.texts()
        assert "… and 150 more." in text
        assert set(await here.states(outlet)) == {"delivered"}
        assert value(database, "SELECT sent_in_hour FROM outlet_queues") == 1


async def test_a_server_that_is_away_is_tried_again(database: str) -> None:
    async with mailing(database, "smtp://127.0.0.1:9") as here:
        outlet = await subscribe(here)
        await here.fact()
        assert await here.send(outlet) is not None
        assert (await here.view(outlet)).last_error == "the mail server cannot be reached"
        assert await here.states(outlet) == ["pending"]


@pytest.mark.parametrize("answer", ["450 later", "550 no such mailbox"])
async def test_what_a_server_refuses(database: str, mailbox: tuple[Mailbox, str], answer: str) -> None:
    box, url = mailbox
    box.refuse_recipient = answer
    async with mailing(database, url) as here:
        outlet = await subscribe(here)
        await here.fact()
        assert await here.send(outlet) is not None
        assert await here.states(outlet) == ["pending" if answer.startswith("4") else "dead"]
        assert answer[:3] in str((await here.view(outlet)).last_error)


async def test_a_wrong_password_is_told_without_it(database: str, mailbox: tuple[Mailbox, str]) -> None:
    _, url = mailbox
    async with mailing(database, url.replace("p%40ss%2Fword", "guessed")) as here:
        outlet = await subscribe(here)
        await here.fact()
        assert await here.send(outlet) is not None
        error = str((await here.view(outlet)).last_error)
        assert "535" in error
        assert "guessed" not in error


async def test_an_account_that_is_disabled_gets_nothing(database: str, mailbox: tuple[Mailbox, str]) -> None:
    box, url = mailbox
    execute(database, "INSERT INTO users (username, password_hash) VALUES ('vagt-1', 'x')")
    async with mailing(database, url) as here:
        new = NewOutlet("mail", ["*"], address="vagt@example.dk", username="vagt-1")
        outlet = await outlets.create(here.books, new, SYSTEM)
        execute(database, "UPDATE users SET disabled_at = now()")
        await here.fact()
        await here.send(outlet)
        assert box.mails == []
        assert await here.states(outlet) == []


async def test_without_a_mail_server_it_says_so(database: str) -> None:
    async with outbound(database) as here:
        outlet = await subscribe(here)
        await here.fact()
        assert await here.send(outlet) is not None
        assert "FLEET_SMTP_URL" in str((await here.view(outlet)).last_error)

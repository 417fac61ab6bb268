"""Sending mail to a subscription: what waits is told in one mail, when the subscription wants it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib
from itsdangerous import BadData, URLSafeSerializer

from fleet import metrics
from fleet.alerts.outbound import queue
from fleet.alerts.outbound.letters import Links, compose
from fleet.alerts.outbound.queue import SQL, Outlet, Refusal, Waiting
from fleet.alerts.outbound.wishes import Pending, Wishes, counted, is_urgent, plan
from fleet.alerts.outbound.work import Work
from fleet.config import Settings

MOST_FACTS = 1_000
"""Facts that one mail tells of, most of them by their number only."""
TIMEOUT_S = 15.0
SALT = "unsubscribe"
UNSUBSCRIBE = "/unsubscribe"


async def deliver(work: Work, outlet: Outlet) -> None:
    """Tell what is to be told now and put the rest off; raises TryLaterError when the mail server does not take it."""
    now = datetime.now(UTC)
    async with work.pool.connection() as connection:
        facts = await queue.waiting(connection, outlet.outlet_id, MOST_FACTS)
    wishes = Wishes.read(outlet.options)
    pending = [Pending(each.delivery_id, _urgent(each), each.queued_at) for each in facts]
    chosen = plan(wishes, pending, now, outlet.hour_began, outlet.sent_in_hour)
    told = [each for each in facts if each.delivery_id in set(chosen.send)]
    if told:
        await _tell(work, outlet, told, wishes, now)
    async with work.pool.connection() as connection:
        await queue.put_off(connection, outlet, chosen.next_at)


async def _tell(work: Work, outlet: Outlet, facts: list[Waiting], wishes: Wishes, now: datetime) -> None:
    settings = work.settings
    if settings.smtp_url is None or settings.mail_from is None:
        raise await work.failed(outlet, facts, Refusal("no mail server is set: FLEET_SMTP_URL"))
    links = Links(settings.http_public_url, unsubscribe_link(settings, outlet.outlet_id))
    message = compose(facts, wishes, links, sender=settings.mail_from, to=outlet.address or "", now=now)
    with metrics.DELIVERY_SECONDS.labels(outlet.kind).time():
        refusal = await send(settings, message)
    async with work.pool.connection() as connection:
        if refusal is None:
            async with connection.transaction():
                await queue.taken(connection, outlet, facts, now)
                began, count = counted(now, outlet.hour_began, outlet.sent_in_hour)
                values = {"outlet_id": outlet.outlet_id, "hour_began": began, "sent_in_hour": count}
                await connection.execute(SQL["mailed"], values)
            return
        if refusal.gone:
            await queue.give_up(connection, outlet, facts, refusal, now)
            facts, refusal = [], Refusal(refusal.reason, refusal.status)
    raise await work.failed(outlet, facts, refusal)


async def send(settings: Settings, message: EmailMessage) -> Refusal | None:
    """Hand a mail to the server; None when it took it. `gone` says that it will never take this one."""
    assert settings.smtp_url is not None
    parts = urlsplit(settings.smtp_url.get_secret_value())
    encrypted = parts.scheme == "smtps"
    try:
        await aiosmtplib.send(
            message,
            hostname=parts.hostname,
            port=parts.port or (465 if encrypted else 587),
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            use_tls=encrypted,
            timeout=TIMEOUT_S,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        code = error.recipients[0].code if error.recipients else 550
        return Refusal(f"the address was refused with {code}", code, gone=code >= 500)
    except aiosmtplib.SMTPDataError as error:
        return Refusal(f"the mail was refused with {error.code}", error.code, gone=error.code >= 500)
    except aiosmtplib.SMTPResponseException as error:
        return Refusal(f"the mail server answered {error.code}", error.code)
    except (aiosmtplib.SMTPException, OSError):
        return Refusal("the mail server cannot be reached")
    return None


def unsubscribe_link(settings: Settings, outlet_id: int) -> str | None:
    """The address that ends a subscription, signed; None where no public address is set."""
    if settings.http_public_url is None or settings.secret_key is None:
        return None
    signed = URLSafeSerializer(settings.secret_key.get_secret_value(), salt=SALT).dumps(outlet_id)
    return f"{settings.http_public_url}{UNSUBSCRIBE}/{signed!s}"


def subscription_of(settings: Settings, signed: str) -> int | None:
    """The outlet that a signed part of such an address names; None when it is none of ours."""
    if settings.secret_key is None:
        return None
    try:
        found = URLSafeSerializer(settings.secret_key.get_secret_value(), salt=SALT).loads(signed)
    except BadData:
        return None
    return found if isinstance(found, int) else None


def _urgent(fact: Waiting) -> bool:
    return fact.type == "ping" or is_urgent(fact.payload.get("data", {}))

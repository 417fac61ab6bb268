"""What our mail looks like: plain text, simple HTML beside it, nothing of a kit but its id and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

from fleet.alerts.outbound.mailtexts import text, type_name
from fleet.alerts.outbound.queue import Waiting
from fleet.alerts.outbound.wishes import Wishes

MOST_LINES = 50
"""Facts told one by one in a mail; of the rest their number is told."""
SHOWN = ("number", "rule", "cause", "kind", "severity", "priority", "state")
"""What of a fact is told; everything else is looked up by whoever may see it."""


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses in a mail; None where no public address of the console is set."""

    console: str | None
    unsubscribe: str | None


def line(fact: Waiting, wishes: Wishes) -> str:
    """One fact in one line: when, what, which kit."""
    at = datetime.fromisoformat(str(fact.payload["at"])).astimezone(wishes.zone)
    data = fact.payload.get("data", {})
    told = [str(data[name]) for name in SHOWN if isinstance(data.get(name), str | int)]
    return " · ".join([f"{at:%d-%m %H:%M}", type_name(wishes.language, fact.type), *filter(None, [fact.kit]), *told])


def link(fact: Waiting, links: Links) -> str | None:
    """Where the console shows what a fact is about."""
    if links.console is None:
        return None
    return f"{links.console}/kits/{fact.kit}" if fact.kit else links.console


def compose(
    facts: Sequence[Waiting], wishes: Wishes, links: Links, *, sender: str, to: str, now: datetime
) -> EmailMessage:
    """A mail that tells of `facts`, of which there is one at least."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = _subject(facts, wishes)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{facts[0].message_id}.{facts[0].delivery_id}.{len(facts)}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["Content-Language"] = wishes.language
    if links.unsubscribe is not None:
        message["List-Unsubscribe"] = f"<{links.unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(_plain(facts, wishes, links))
    message.add_alternative(_html(facts, wishes, links), subtype="html")
    return message


def _subject(facts: Sequence[Waiting], wishes: Wishes) -> str:
    if len(facts) > 1:
        return text(wishes.language, "subject_many", len(facts))
    told = [type_name(wishes.language, facts[0].type), facts[0].kit or ""]
    return text(wishes.language, "subject_one", " ".join(filter(None, told)))


def _plain(facts: Sequence[Waiting], wishes: Wishes, links: Links) -> str:
    parts = []
    for fact in facts[:MOST_LINES]:
        address = link(fact, links)
        parts.append(line(fact, wishes) + (f"\n  {address}" if address else ""))
    return "\n".join([*parts, "", *_end(facts, wishes, links)]) + "\n"


def _html(facts: Sequence[Waiting], wishes: Wishes, links: Links) -> str:
    items = []
    for fact in facts[:MOST_LINES]:
        address, told = link(fact, links), escape(line(fact, wishes))
        items.append(f'<li><a href="{escape(address)}">{told}</a></li>' if address else f"<li>{told}</li>")
    end = "".join(f"<p>{escape(each)}</p>" for each in _end(facts, wishes, links))
    return (
        f'<!doctype html><html lang="{wishes.language}"><head><meta charset="utf-8">'
        f"<title>{escape(_subject(facts, wishes))}</title></head><body><ul>{''.join(items)}</ul>{end}</body></html>"
    )


def _end(facts: Sequence[Waiting], wishes: Wishes, links: Links) -> list[str]:
    lines = []
    if len(facts) > MOST_LINES:
        lines.append(text(wishes.language, "more", len(facts) - MOST_LINES))
    if links.console is not None:
        lines.append(text(wishes.language, "console", links.console))
    lines.append(text(wishes.language, "why"))
    if links.unsubscribe is not None:
        lines.append(text(wishes.language, "unsubscribe", links.unsubscribe))
    return lines

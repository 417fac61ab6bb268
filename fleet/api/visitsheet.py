"""The sheet of a day: what a crew does and brings along, as HTML to be printed. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from markupsafe import Markup, escape

from fleet.alerts.visits.steps import Ask
from fleet.api.visits import Line, Visit


class Language(StrEnum):
    """What the sheet speaks."""

    DA = "da"
    EN = "en"


@dataclass(frozen=True, slots=True)
class Stop:
    """A visit of the day, with what to bring; `asks` are boxes to tick at the door, where the sheet has them."""

    visit: Visit
    lines: tuple[Line, ...]
    asks: tuple[Ask, ...] = ()


STYLE = (
    "@page{size:A4;margin:14mm}body{font:11pt/1.4 Helvetica,Arial,sans-serif;color:#000;margin:0}"
    "h1{font-size:16pt;margin:0 0 4mm}h2{font-size:12pt;margin:0}"
    "section{border:.3mm solid #000;padding:3mm;margin:0 0 4mm;break-inside:avoid}"
    "p,ul{margin:1mm 0}ul{list-style:none;padding:0}li::before{content:'\\2610\\00a0'}"
    "@media screen{body{max-width:190mm;margin:8mm auto}}"
)
POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; frame-ancestors 'none'"
)

_WORDS: dict[str, tuple[str, str]] = {
    "visits": ("Udkørsler", "Visits"),
    "all_crews": ("alle hold", "all crews"),
    "none": ("Ingen udkørsler den dag.", "No visits on that day."),
    "bring": ("Medbring", "Bring along"),
    "short": ("mangler", "short"),
    "placement": ("Placering", "Placement"),
    "urgent": ("HASTER", "URGENT"),
    "due": ("senest", "by"),
    "from": ("fra", "from"),
    "note": ("Note", "Note"),
    "to_tell": ("Udfyldes på stedet", "To be filled in there"),
    "arrived": ("Ankommet kl.", "Arrived at"),
    "instruction_given": ("Der er givet instruktion", "Instruction was given"),
    "receipt": (
        "Modtaget af: borgeren / en pårørende / plejepersonale",
        "Received by: citizen / relative / staff",
    ),
    "old_equipment_taken": ("Gammelt udstyr taget med", "Old equipment taken along"),
    "serials": ("Serienumre ud og ind", "Serial numbers out and in"),
    "in_vain": ("Forgæves, fordi", "In vain, because"),
    "install": ("Opsætning", "Set-up"),
    "swap": ("Ombytning", "Swap"),
    "take_down": ("Nedtagning", "Take-down"),
    "repair": ("Reparation", "Repair"),
    "training": ("Instruktion", "Training"),
    "calibration": ("Kalibrering", "Calibration"),
}


def html(stops: Sequence[Stop], day: date, crew: str | None, language: Language) -> str:
    """A document with one box for each visit, in the order of their windows; those without come last."""
    ordered = sorted(stops, key=lambda stop: (stop.visit.window_from or "99", stop.visit.number))
    boxes = Markup("\n").join(_box(stop, language) for stop in ordered)
    title = f"{_say('visits', language)} {day.isoformat()} · {crew or _say('all_crews', language)}"
    body = boxes or Markup("<p>{}</p>").format(_say("none", language))
    head = Markup('<html lang="{}"><head><meta charset="utf-8"><title>{}</title>').format(language.value, title)
    shown = Markup("<body>\n<h1>{}</h1>\n{}\n</body>").format(title, body)
    return f"<!doctype html>\n{head}<style>{STYLE}</style></head>\n{shown}</html>\n"


def _box(stop: Stop, language: Language) -> Markup:
    visit = stop.visit
    window = f"{visit.window_from}\u2013{visit.window_to}" if visit.window_from else ""
    urgent = _say("urgent", language) if visit.urgent else ""
    head = " · ".join(each for each in (window, _say(visit.kind.value, language), visit.number, urgent) if each)
    facts = [
        visit.kit or "",
        f"{_say('placement', language)} {visit.placement_id}" if visit.placement_id else "",
        visit.organisation or "",
        visit.service_request or "",
        visit.crew or "",
        f"{_say('due', language)} {visit.due_on.isoformat()}",
    ]
    parts = [Markup("<h2>{}</h2>").format(head), Markup("<p>{}</p>").format(" · ".join(each for each in facts if each))]
    if stop.lines:
        items = Markup("").join(Markup("<li>{}</li>").format(_line(each, language)) for each in stop.lines)
        parts.append(Markup("<p>{}:</p><ul>{}</ul>").format(_say("bring", language), items))
    if visit.note:
        parts.append(Markup("<p>{}: {}</p>").format(_say("note", language), escape(visit.note)))
    if stop.asks:
        parts.append(_to_tell(stop, language))
    return Markup("<section>{}</section>").format(Markup("").join(parts))


def _to_tell(stop: Stop, language: Language) -> Markup:
    """What the form at the end asks, to be filled in by hand."""
    asked = [_say(each.value, language) for each in stop.asks]
    blank = [f"{_say(each, language)} ____________" for each in ("arrived", "serials", "in_vain")]
    items = Markup("").join(Markup("<li>{}</li>").format(each) for each in (*asked, *blank))
    return Markup("<p>{}:</p><ul>{}</ul>").format(_say("to_tell", language), items)


def _line(line: Line, language: Language) -> str:
    said = f"{line.quantity} × {line.name}" if line.quantity > 1 else line.name  # noqa: RUF001 - as printed
    place = f", {_say('from', language)} {line.location}" if line.location else ""
    return said + place + (f" ({line.short} {_say('short', language)})" if line.short else "")


def _say(word: str, language: Language) -> str:
    return _WORDS[word][0 if language is Language.DA else 1]

"""Every text of the console in both languages; Danish words as the people who use it say them."""

from __future__ import annotations

from enum import StrEnum


class Language(StrEnum):
    """What the console speaks."""

    DA = "da"
    EN = "en"


# key: (English, Danish)
TEXTS: dict[str, tuple[str, str]] = {
    "acknowledge": ("I take care of it", "Jeg tager mig af det"),
    "acknowledged": ("taken care of", "taget hånd om"),
    "active_alerts": ("Active alerts", "Aktive alarmer"),
    "ago": ("{} ago", "for {} siden"),
    "all": ("All", "Alle"),
    "any_health": ("Any health", "Alle tilstande"),
    "any_state": ("Any stage", "Alle faser"),
    "back_to_kits": ("All kits", "Alle telekit"),
    "battery": ("Battery", "Batteri"),
    "changes": ("Latest changes", "Seneste ændringer"),
    "charging": ("charging", "oplader"),
    "component": ("Component", "Komponent"),
    "connection": ("Connection", "Forbindelse"),
    "due": ("due", "frist"),
    "error_title": ("That did not work", "Det lykkedes ikke"),
    "every": ("every {}", "hver {}"),
    "expected": ("Expected", "Forventes"),
    "filter": ("Show", "Vis"),
    "find_kit": ("Kit number begins with", "Telekittets nummer begynder med"),
    "first_page": ("First page", "Første side"),
    "health": ("Health", "Tilstand"),
    "health_of_installed": ("Installed kits by health", "Opsatte telekit efter tilstand"),
    "incident": ("Mass event", "Massehændelse"),
    "incident_open": (
        "Mass event since {}: {} of {} kits are silent together. They get one service request.",
        "Massehændelse siden {}: {} af {} telekit er tavse samtidig. De får én servicesag.",
    ),
    "kit": ("Kit", "Telekit"),
    "kits": ("Kits", "Telekit"),
    "language": ("Dansk", "English"),
    "last_contact": ("Last contact", "Seneste kontakt"),
    "last_heard": ("Last heard", "Sidst hørt"),
    "last_heartbeat": ("Last heartbeat", "Seneste livstegn"),
    "live": ("updates by itself", "opdateres af sig selv"),
    "location": ("Location", "Placering"),
    "log_in": ("Log in", "Log ind"),
    "log_out": ("Log out", "Log ud"),
    "login_help": (
        "Paste a token made with “fleet token create”.",
        "Indsæt en adgangsnøgle lavet med “fleet token create”.",
    ),
    "login_refused": ("The token was not accepted.", "Adgangsnøglen blev ikke godtaget."),
    "model": ("Model", "Model"),
    "network": ("Network", "Netværk"),
    "never": ("never", "aldrig"),
    "next_page": ("Next page", "Næste side"),
    "no_alerts": ("No active alerts.", "Ingen aktive alarmer."),
    "no_changes": ("Nothing has changed yet.", "Intet har ændret sig endnu."),
    "no_heartbeat": ("No heartbeat yet.", "Intet livstegn endnu."),
    "no_kits": ("No kit matches.", "Intet telekit passer."),
    "no_kits_yet_more": (
        "None found so far; look further on the next page.",
        "Ingen fundet endnu; se videre på næste side.",
    ),
    "no_peripherals": ("No device reported yet.", "Intet udstyr meldt endnu."),
    "no_requests": ("No open service requests.", "Ingen åbne servicesager."),
    "no_software": ("No software reported yet.", "Ingen software meldt endnu."),
    "not_listening": (
        "We are not hearing the kits right now ({}). Silence is not counted meanwhile.",
        "Vi hører ikke telekittene lige nu ({}). Tavshed tælles ikke imens.",
    ),
    "offline": ("offline", "offline"),
    "online": ("online", "online"),
    "open_requests": ("Open service requests", "Åbne servicesager"),
    "organisation": ("Organisation", "Organisation"),
    "overdue": ("overdue", "overskredet"),
    "paired": ("Paired", "Parret"),
    "peripherals": ("Devices", "Udstyr"),
    "serial": ("Serial number", "Serienummer"),
    "signal": ("Signal", "Signal"),
    "silent_after": ("Silent after", "Tavs efter"),
    "skip": ("Skip to the content", "Spring til indholdet"),
    "software": ("Software", "Software"),
    "stage": ("Stage", "Fase"),
    "status": ("Status", "Status"),
    "storage": ("Free storage", "Ledig plads"),
    "time": ("Time", "Tidspunkt"),
    "token": ("Token", "Adgangsnøgle"),
    "total": ("in total", "i alt"),
    "unpaired": ("not paired", "ikke parret"),
    "uptime": ("Running for", "Tændt i"),
    "value_from_to": ("{} → {}", "{} → {}"),
    "version": ("Version", "Version"),
    "version_as_wanted": ("as wanted", "som ønsket"),
    "version_wrong": ("differs", "afviger"),
    "wanted": ("Wanted", "Ønsket"),
    "what_is_wrong": ("What is wrong", "Hvad er galt"),
    # health
    "health.ok": ("OK", "OK"),
    "health.attention": ("Attention", "Obs"),
    "health.fault": ("Fault", "Fejl"),
    "health.silent": ("Silent", "Tavs"),
    "health.unknown": ("Unknown", "Ukendt"),
    "verdict.ok": ("The kit works.", "Telekittet virker."),
    "verdict.attention": ("The kit works, but needs attention.", "Telekittet virker, men kræver opmærksomhed."),
    "verdict.fault": ("The kit has a fault.", "Telekittet har en fejl."),
    "verdict.silent": ("The kit is silent.", "Telekittet er tavst."),
    "verdict.unknown": ("Nothing is known about the kit yet.", "Der vides intet om telekittet endnu."),
    # reasons
    "reason.never_heard": ("Never heard", "Aldrig hørt"),
    "reason.silent": ("Not heard for {}", "Ikke hørt i {}"),
    "reason.pairing_lost": ("No pairing: {}", "Ikke parret: {}"),
    "reason.version_drift": ("Version drift: {}", "Versionsafvigelse: {}"),
    "reason.drift_item": ("{} is {}, wanted {}", "{} er {}, ønsket {}"),
    "reason.missing": ("missing", "mangler"),
    "reason.battery_low": ("Battery low: {} %", "Lavt batteri: {} %"),
    "reason.storage_low": ("Storage low: {} MB", "Lidt plads: {} MB"),
    "reason.clock_ahead": ("Clock is {} ahead", "Uret er {} foran"),
    "reason.clock_behind": ("Clock is {} behind", "Uret er {} bagud"),
    "reason.not_installed": ("Not in use ({})", "Ikke i brug ({})"),
    # life of a kit
    "state.ordered": ("ordered", "bestilt"),
    "state.in_stock": ("in stock", "på lager"),
    "state.preparing": ("preparing", "klargøres"),
    "state.ready": ("ready", "klar"),
    "state.dispatched": ("dispatched", "afsendt"),
    "state.installed": ("installed", "opsat"),
    "state.paused": ("paused", "på pause"),
    "state.faulty": ("faulty", "defekt"),
    "state.retrieved": ("retrieved", "nedtaget"),
    "state.cleaning": ("cleaning", "til rengøring"),
    "state.scrapped": ("scrapped", "skrottet"),
    "state.lost": ("lost", "bortkommet"),
    "state.returned": ("returned", "returneret"),
    # service requests, alerts
    "rule.silent": ("Kit is silent", "Telekit er tavst"),
    "rule.version_drift": ("Version drift", "Versionsafvigelse"),
    "line.support": ("1st line", "1. linje"),
    "line.service": ("2nd line", "2. linje"),
    "line.supplier": ("supplier", "leverandør"),
    "line.logistics": ("logistics", "logistik"),
    "priority.urgent": ("urgent", "haster"),
    "priority.high": ("high", "høj"),
    "priority.normal": ("normal", "normal"),
    "priority.low": ("low", "lav"),
    "request.open": ("open", "åben"),
    "request.in_progress": ("in progress", "i gang"),
    "request.waiting": ("waiting", "venter"),
    "request.resolved": ("resolved", "løst"),
    "request.closed": ("closed", "lukket"),
    "listening.down": ("not connected", "ikke forbundet"),
    "listening.catching_up": ("catching up", "indhenter"),
    "listening.listening": ("listening", "lytter"),
    "listening.stale": ("ingest does not run", "modtagelsen kører ikke"),
    # devices
    "kind.scale": ("scale", "vægt"),
    "kind.oximeter": ("pulse oximeter", "iltmåler"),
    "kind.blood_pressure": ("blood-pressure monitor", "blodtryksmåler"),
    "kind.spirometer": ("spirometer", "spirometer"),
    "kind.thermometer": ("thermometer", "termometer"),
    # changes
    "what.version": ("version", "version"),
    "what.pairing": ("pairing", "parring"),
    "what.peripheral": ("device", "udstyr"),
    "what.peripheral_firmware": ("device firmware", "udstyrets firmware"),
    "what.opening": ("entered", "oprettet"),
    "what.transition": ("new stage", "ny fase"),
    "what.edit": ("edited", "rettet"),
    "pairing.true": ("paired", "parret"),
    "pairing.false": ("not paired", "ikke parret"),
    # fields of a kit
    "field.label": ("label", "mærkat"),
    "field.state": ("stage", "fase"),
    "field.organisation": ("organisation", "organisation"),
    "field.kit_type": ("kit type", "kittype"),
    "field.location": ("location", "placering"),
    "field.expected_interval_s": ("seconds between messages", "sekunder mellem meldinger"),
    "field.tolerance": ("tolerance", "tolerance"),
    "field.wanted_components": ("wanted versions", "ønskede versioner"),
    # durations
    "unit.s": ("{} s", "{} sek."),
    "unit.min": ("{} min", "{} min."),
    "unit.h": ("{} h", "{} t."),
    "unit.d": ("{} days", "{} dage"),
    "unit.d1": ("1 day", "1 dag"),
}
_COLUMN = {Language.EN: 0, Language.DA: 1}


def text(language: Language, key: str, *values: object) -> str:
    """The text of `key`, its `{}` filled in order."""
    return TEXTS[key][_COLUMN[language]].format(*values)


def named(language: Language, group: str, name: str) -> str:
    """The text of `group.name`; a name that is not known (a new rule, a new device) is shown as it is."""
    key = f"{group}.{name}"
    return text(language, key) if key in TEXTS else name.replace("_", " ")


def choose(accept_language: str | None) -> Language:
    """The first language of `Accept-Language` that the console speaks; English otherwise."""
    weighted: list[tuple[float, Language]] = []
    for part in (accept_language or "")[:200].split(","):
        tag, _, parameters = part.strip().partition(";")
        primary = tag.split("-")[0].strip().lower()
        if primary in set(Language):
            weighted.append((_weight(parameters), Language(primary)))
    # The sort is stable: of equal weights the first counts.
    weighted.sort(key=lambda each: -each[0])
    return weighted[0][1] if weighted and weighted[0][0] > 0 else Language.EN


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def duration(language: Language, seconds: float) -> str:
    """A length of time in its largest fitting unit."""
    seconds = abs(seconds)
    if seconds < 120:
        return text(language, "unit.s", round(seconds))
    if seconds < 2 * 3600:
        return text(language, "unit.min", round(seconds / 60))
    if seconds < 36 * 3600:
        return text(language, "unit.h", round(seconds / 3600))
    days = round(seconds / 86400)
    return text(language, "unit.d1") if days == 1 else text(language, "unit.d", days)

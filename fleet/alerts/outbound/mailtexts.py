"""The words of our mail, Danish and English."""

from __future__ import annotations

from collections.abc import Mapping

TYPES: Mapping[str, tuple[str, str]] = {
    "alert.opened": ("Alarm åbnet", "Alert opened"),
    "alert.cleared": ("Alarm ophørt", "Alert cleared"),
    "alert.acknowledged": ("Alarm kvitteret", "Alert acknowledged"),
    "alert.unacknowledged": ("Kvittering trukket tilbage", "Acknowledgement taken back"),
    "alert.shelved": ("Alarm lagt til side", "Alert shelved"),
    "alert.unshelved": ("Alarm taget frem igen", "Alert taken back up"),
    "alert.unsuppressed": ("Alarm gælder stadig", "Alert still holds"),
    "alert.flapping": ("Alarm kommer og går", "Alert comes and goes"),
    "maintenance.began": ("Servicevindue begyndt", "Maintenance window began"),
    "maintenance.ended": ("Servicevindue slut", "Maintenance window ended"),
    "request.opened": ("Servicesag oprettet", "Service request opened"),
    "request.changed": ("Servicesag ændret", "Service request changed"),
    "request.resolved": ("Servicesag løst", "Service request resolved"),
    "visit.planned": ("Udkørsel planlagt", "Visit planned"),
    "visit.started": ("Udkørsel undervejs", "Visit under way"),
    "visit.done": ("Udkørsel udført", "Visit done"),
    "visit.failed": ("Udkørsel forgæves", "Visit in vain"),
    "visit.cancelled": ("Udkørsel aflyst", "Visit called off"),
    "incident.opened": ("Massehændelse begyndt", "Incident opened"),
    "incident.cleared": ("Massehændelse ophørt", "Incident cleared"),
    "finding.opened": ("Uoverensstemmelse fundet", "Finding opened"),
    "finding.cleared": ("Uoverensstemmelse rettet", "Finding cleared"),
    "outlet.disabled": ("Modtager slået fra", "Receiver disabled"),
    "outlet.overflowed": ("For mange beskeder ventede", "Too many messages waited"),
    "ping": ("Prøve", "Test"),
}
TEXTS: Mapping[str, tuple[str, str]] = {
    "subject_one": ("fleet: {0}", "fleet: {0}"),
    "subject_many": ("fleet: {0} beskeder", "fleet: {0} messages"),
    "more": ("… og {0} flere.", "… and {0} more."),
    "console": ("Se dem i konsollen: {0}", "See them in the console: {0}"),
    "why": (
        "Du får denne mail, fordi din adresse er tilmeldt i fleet.",
        "You get this mail because your address is subscribed in fleet.",
    ),
    "unsubscribe": ("Afmeld: {0}", "Unsubscribe: {0}"),
}


def text(language: str, key: str, *values: object) -> str:
    """A sentence."""
    return TEXTS[key][_column(language)].format(*values)


def type_name(language: str, type_: str) -> str:
    """What a type of a fact is called; itself where it has no name."""
    names = TYPES.get(type_)
    return type_ if names is None else names[_column(language)]


def _column(language: str) -> int:
    return 1 if language == "en" else 0

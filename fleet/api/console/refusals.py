"""Why a form was refused, in the language of its page: beside the fields that are wrong, and in words above them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from fleet.api.console.texts import Language
from fleet.api.problems import ProblemError
from fleet.errors import FleetError, InvalidError

Refused = ValidationError | ProblemError | FleetError

# What a field holds: (English, Danish), where the message would be about patterns and types.
FORMS: dict[str, tuple[str, str]] = {
    "crew": ("a code such as van-2, no name", "en kode som bil-2, ikke et navn"),
    "planned_on": ("choose a day", "vælg en dag"),
    "day": ("choose a day", "vælg en dag"),
    "window_from": ("a time such as 08:00", "et klokkeslæt som 08:00"),
    "window_to": ("a time such as 10:00", "et klokkeslæt som 10:00"),
    "quantity": ("a number from 1", "et tal fra 1"),
    "bring": ("choose it from the list", "vælg det på listen"),
    "kind": ("choose from the list", "vælg på listen"),
    "receipt": ("choose who received it", "vælg, hvem der modtog det"),
    "failure": ("choose why", "vælg hvorfor"),
    "cause": ("choose from the list", "vælg på listen"),
    "remedy": ("choose from the list", "vælg på listen"),
    "line": ("choose from the list", "vælg på listen"),
    "priority": ("choose from the list", "vælg på listen"),
    "done_on": ("choose a day", "vælg en dag"),
}
_SHAPE = re.compile(r"missing|literal_error|enum|string_pattern|date_|int_|greater_than|less_than|too_short")

# What the books answer: pattern, English (None: as it is), Danish.
_SAID: tuple[tuple[str, str | None, str], ...] = (
    (r"is needed|is empty|cannot be empty", "is needed", "skal udfyldes"),
    (r"looks like a civil registration number.*", None, "ligner et personnummer, som ikke må gemmes"),
    (r"could be a civil registration number", None, "kan være et personnummer, som ikke må gemmes"),
    (r"at most (\d+) characters", None, r"højst \1 tegn"),
    (r"holds spaces only.*", "holds spaces only", "indeholder kun mellemrum"),
    (r"holds a line break.*", None, "indeholder linjeskift eller andre styretegn"),
    (r"must lie within the last year or the next two", None, "skal ligge i det seneste år eller de næste to"),
    (r"a window has both ends", "give both from and until", "angiv både fra og til"),
    (r"is not after window_from", "must be later than it begins", "skal være senere end begyndelsen"),
    (
        r"is over: plan the visit anew.*",
        "is over: nothing is reserved for a day gone by",
        "er forbi: der reserveres ikke til en dag, der er gået",
    ),
    (
        r"(-?\d+) are free at (\S+), (\d+) are wanted.*",
        r"\1 are free at \2, \3 are wanted",
        r"\1 er ledige på \2, \3 ønskes",
    ),
    (r"it is reserved already in that time", None, "det er allerede reserveret i den tid"),
    (r"(.+) is (\w+): only what is in stock can be reserved", None, r"\1 er ikke på lager og kan ikke reserveres"),
    (r"it was changed meanwhile: look at it anew", None, "det er ændret imens: se på det igen"),
    (
        r"passwords of tablets need FLEET_SECRET_KEY.*",
        None,
        "adgangskoder til tabletter kræver FLEET_SECRET_KEY, som ikke er sat på denne server",
    ),
    (r"no service request named (.+)", None, r"der er ingen servicesag med nummeret \1"),
    (r"a number from 1", None, "et tal fra 1"),
    (r"choose it from the list", None, "vælg det på listen"),
    (r"is not on the list", None, "står ikke på listen"),
    (r"no piece has the number (.+)", None, r"ingen del har nummeret \1"),
    (r"several pieces have the number (.+)", None, r"flere dele har nummeret \1"),
    (r"must be a time such as 09:30", None, "skal være et klokkeslæt som 09:30"),
    (
        r"must be so for a visit of the kind.*",
        "must be given before the visit is done",
        "skal være givet, før udkørslen er udført",
    ),
    (r"in which role did somebody receive.*", "who received it?", "hvem modtog det?"),
    (r"was the old equipment taken along\?", None, "er det gamle udstyr taget med?"),
    (
        r"\w+ needs one of .*",
        "say what was done: a piece swapped, a kit set up or taken down, a calibration",
        "angiv, hvad der blev gjort: en del ombyttet, et telekit opsat eller nedtaget, en kalibrering",
    ),
    (r"it takes one of the roles (.+) there", None, r"det kræver en af rollerne \1 dér"),
    (r"your role lacks (\S+?),? .*|your role lacks (\S+)", None, "din rolle har ikke lov til det"),
    (r"is none that a request may be opened for", "choose from the list", "vælg på listen"),
    (r"visit (\S+) is (\w+): nothing is brought any more", None, r"udkørsel \1 er afsluttet: intet medbringes længere"),
    (r"is after it was done", None, "er efter, at den var udført"),
    (r"is past.*", None, "er forbi"),
    (r"must be after starts_at", "must be later than it begins", "skal være senere end begyndelsen"),
    (r"must be within (\d+) days", None, r"skal ligge inden for \1 dage"),
    (r"a window lasts (\d+) days at most", None, r"et vindue varer højst \1 dage"),
    (r"is no time such as (.+)|are no times such as (.+)", None, "skal være et tidspunkt som 08:00"),
    (r"is no day such as .+", None, "vælg en dag"),
    (r"is no number|must be a number.*", None, "skal være et tal"),
    (r"both times, or none when it is closed", None, "begge tider, eller ingen når der er lukket"),
    (r"hours are in order and apart.*", None, "tiderne skal stå i rækkefølge fra 00:00 til 24:00"),
    (r"is needed for each priority", None, "skal udfyldes for hver prioritet"),
    (r"are not complete", None, "er ikke udfyldt helt"),
    (r"must be hours and minutes such as 4:30.*", None, "skal være timer og minutter som 4:30, højst 2160 timer"),
    (r"there is no (?:kit type|place|model|rule|kit) (.+)", None, r"\1 findes ikke"),
    (r"is needed of who is bound to some.*", None, "skal udfyldes: vinduet gælder for den og alt under den"),
    (r"kit (\S+) is (\w+): its tablet is let in no more", None, r"telekit \1 er taget ud af brug: det lukkes ikke ind"),
    (r"(\S+) is (\w+): open it again to plan a visit for it", None, r"\1 er afsluttet: åbn den igen først"),
)
# Fields that a form of set-up is refused for, in Danish; English has the names of the API.
_FIELDS: dict[str, str] = {
    "day": "dag",
    "description": "beskrivelse",
    "ends_at": "slutning",
    "hours": "tider",
    "kit_type": "kittype",
    "kits": "telekit",
    "location": "sted",
    "minimum": "mindst antal telekit",
    "minutes": "minutter",
    "model_id": "model",
    "note": "bemærkning",
    "organisation": "organisation",
    "percent": "procent",
    "reason": "begrundelse",
    "recurrence": "gentagelse",
    "response": "første svar",
    "rules": "regler",
    "solution": "løsning",
    "starts_at": "begyndelse",
    "targets": "mål",
    "title": "hvad der gøres",
    "update": "næste opdatering",
}
CHANGED = "it was changed meanwhile: look at it anew"
_RULES = tuple((re.compile(pattern), english, danish) for pattern, english, danish in _SAID)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was done: `said` in a sentence where no field is at fault, else what is wrong with each of `fields`.

    `more` are the further members of the problem.
    """

    said: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


def refusal(language: Language, error: Refused, known: Mapping[str, str] | None = None) -> Refusal:
    """What to say of an error; `known` gives a field's name in the form where it is called otherwise there."""
    told = list(_told(language, error))
    if not told:
        more = error.more if isinstance(error, ProblemError) else {}
        return Refusal(worded(language, str(error)), more=more)
    names = known or {}
    fields: dict[str, str] = {}
    for name, said in told:
        fields.setdefault(names.get(name, name), said)
    return Refusal(fields=fields)


def sentence(language: Language, error: FleetError | str) -> str:
    """Why a whole form was refused, in one sentence with the name of the field at fault."""
    if isinstance(error, InvalidError) and language is Language.DA:
        return f"{_FIELDS.get(error.field, error.field)}: {worded(language, error.detail)}"
    return worded(language, str(error))


def worded(language: Language, detail: str) -> str:
    """A message of the books in the language, in plainer words where it speaks of fields of the API."""
    for pattern, english, danish in _RULES:
        if (found := pattern.fullmatch(detail)) is not None:
            said = danish if language is Language.DA else english
            return detail if said is None else found.expand(said)
    return detail


def _told(language: Language, error: Refused) -> Iterator[tuple[str, str]]:
    """Each field that is at fault, with what is wrong with it."""
    if isinstance(error, InvalidError):
        yield error.field, worded(language, error.detail)
    elif isinstance(error, ValidationError):
        for each in error.errors():
            name = next((str(part) for part in reversed(each["loc"]) if isinstance(part, str)), "")
            if name in FORMS and _SHAPE.match(each["type"]):
                yield name, FORMS[name][language is Language.DA]
            else:
                yield name, worded(language, str(each["msg"]).removeprefix("Value error, "))
    elif isinstance(error, ProblemError):
        for each in error.more.get("errors", ()):
            yield each["field"], worded(language, each["detail"])

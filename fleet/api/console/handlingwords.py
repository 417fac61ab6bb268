"""Why the books refused to move, count, swap or receive something, in the language of the page and in its words."""

from __future__ import annotations

import re

from fleet.api.console.refusals import worded
from fleet.api.console.texts import Language, named
from fleet.errors import FleetError, InvalidError, NotFoundError

# What the books answer: pattern, English (None: as it is), Danish; a group called `state…` is a stage.
_SAID: tuple[tuple[str, str | None, str], ...] = (
    (
        r"component (\S+) is in a kit: move the kit.*",
        None,
        r"\1 er i et telekit: flyt telekittet, eller tag delen ud først",
    ),
    (
        r"component (\S+) was moved this very moment: try again",
        r"\1 was moved this very moment: try again",
        r"\1 blev flyttet i dette øjeblik: prøv igen",
    ),
    (r"the permission \S+ is needed there", "your role does not allow that there", "din rolle tillader det ikke dér"),
    (
        r"a step from (?P<state1>\w+) to (?P<state2>\w+) takes one of the roles .*",
        r"your role does not allow the step from \g<state1> to \g<state2>",
        r"din rolle tillader ikke skridtet fra \g<state1> til \g<state2>",
    ),
    (
        r"kit (\S+) is ready to go: take it back to preparing first",
        None,
        r"telekit \1 er klart: tag det tilbage til klargøring først",
    ),
    (
        r"kit (\S+) is (?P<state>\w+): pieces go into a kit that is .*",
        r"kit \1 is \g<state>: pieces go in while it is prepared or in use",
        r"telekit \1 er \g<state>: dele sættes ind under klargøring eller i brug",
    ),
    (r"(?:component|kit) (\S+) was at another place then", None, r"\1 var et andet sted på det tidspunkt"),
    (r"(?:component|kit) (\S+) was in another kit then", None, r"\1 var i et andet telekit på det tidspunkt"),
    (
        r"(?:component|kit) (\S+) was another organisation's then",
        None,
        r"\1 var en anden organisations på det tidspunkt",
    ),
    (r".*would leave pieces in a kit that is out of the books", None, "der ville være dele tilbage i telekittet"),
    (
        r"it would be a step from (?P<state1>\w+) to (?P<state2>\w+), which there is not",
        r"there is no step from \g<state1> to \g<state2>",
        r"der er intet skridt fra \g<state1> til \g<state2>",
    ),
    (r"serial (.+) is in the books already", None, r"serienummer \1 er allerede bogført"),
    (r"(\w+) (.+) is in the books already", None, r"\2 er allerede bogført"),
    (r"order (\d+) is cancelled: place a new one", None, r"ordre \1 er afbestilt: bestil igen"),
    (r"order (\d+) was received: nothing is to come", None, r"ordre \1 er modtaget: der mangler ikke noget"),
    (r"stock-take (\d+) is closed", None, r"optælling \1 er afsluttet"),
    (r"stock-take (\d+) is cancelled", r"stock-take \1 was given up", r"optælling \1 er opgivet"),
    (r"more than (\d+) items: count a smaller place", None, r"mere end \1 ting: tæl et mindre sted"),
    (r"the place is not yours any more", None, "stedet er ikke længere jeres"),
    (
        r"(\S+) is (?:present|missing|misplaced|extra|unknown): \w+ does not fit that",
        r"\1 stands otherwise by now: look again",
        r"\1 står anderledes nu: se igen",
    ),
    (r"(\S+) is not in the result", None, r"\1 er ikke i resultatet"),
    (
        r"(?:kit|component) (\S+) is (?P<state1>\w+): from there it can become .*, not (?P<state2>\w+)",
        r"\1 is \g<state1> and cannot become \g<state2>",
        r"\1 er \g<state1> og kan ikke blive \g<state2>",
    ),
    (
        r"each must be 1 to \d+ characters",
        "the code is too long",
        "koden er for lang",
    ),
)
_RULES = tuple((re.compile(pattern), english, danish) for pattern, english, danish in _SAID)
_KINDS = {
    "kit": ("there is no kit {}", "der er intet telekit {}"),
    "component": ("there is no piece {}", "der er ingen del {}"),
}


def said(language: Language, error: FleetError) -> str:
    """What to say of a refusal; what is not known here is worded as everywhere."""
    if isinstance(error, NotFoundError) and error.kind in _KINDS:
        return _KINDS[error.kind][language is Language.DA].format(error.name)
    detail = error.detail if isinstance(error, InvalidError) else str(error)
    for pattern, english, danish in _RULES:
        if (found := pattern.fullmatch(detail)) is not None:
            chosen = danish if language is Language.DA else english
            return detail if chosen is None else _filled(language, found, chosen)
    return worded(language, detail)


def _filled(language: Language, found: re.Match[str], chosen: str) -> str:
    """The text with what was found in it, stages by their names."""
    for group, value in found.groupdict().items():
        chosen = chosen.replace(rf"\g<{group}>", named(language, "state", value))
    return found.expand(chosen)

"""What a guard found missing, as people say it, in English and Danish."""

from __future__ import annotations

from fleet.state.ledger.guards import Unmet, UnmetCode

U = UnmetCode

# code: (English, Danish); the names in braces are members of the facts.
TEXTS: dict[UnmetCode, tuple[str, str]] = {
    U.KIND_MISSING: ("{kind}: {there} of {wanted} in the kit", "{kind}: {there} af {wanted} i telekittet"),
    U.KIND_SURPLUS: (
        "{kind}: {there} in the kit, its type has {wanted}",
        "{kind}: {there} i telekittet, typen har {wanted}",
    ),
    U.COMPONENT_FAULTY: ("{kind} {serial} is faulty", "{kind} {serial} er defekt"),
    U.CALIBRATION_UNKNOWN: (
        "{kind} {serial} has no calibration on record, {needed} is needed",
        "{kind} {serial} har ingen registreret kalibrering, den skal gælde til {needed}",
    ),
    U.CALIBRATION_EXPIRES: (
        "{kind} {serial} is calibrated until {due}, {needed} is needed",
        "{kind} {serial} er kalibreret til {due}, den skal gælde til {needed}",
    ),
    U.SOFTWARE_NOT_SEEN: (
        "the tablet has not told its software: switch it on",
        "tabletten har ikke meldt sin software: tænd den",
    ),
    U.SOFTWARE_DIFFERS: (
        "{component} is {reported}, wanted is {wanted}",
        "{component} er {reported}, ønsket er {wanted}",
    ),
    U.NOT_HEARD_SINCE_ARRIVAL: (
        "not heard live since it arrived or was on its way ({since})",
        "ikke hørt, siden det ankom eller var undervejs ({since})",
    ),
    U.CLOCK_WRONG: (
        "the tablet's clock is {offset_s} s off, so its messages prove nothing",
        "tablettens ur går {offset_s} s forkert, så dens meldinger beviser intet",
    ),
    U.PAIRING_NOT_SEEN: (
        "no report of its peripherals since it arrived ({since}): send a ping",
        "ingen melding om måleudstyret siden ankomsten ({since}): send et ping",
    ),
    U.PERIPHERAL_NOT_SEEN: ("{kind} {serial} is not known to the tablet", "{kind} {serial} kendes ikke af tabletten"),
    U.PERIPHERAL_NOT_PAIRED: ("{kind} {serial} is not paired", "{kind} {serial} er ikke parret"),
    U.PERIPHERAL_NO_CONTACT: (
        "{kind} {serial} was not in contact since it arrived: measure once",
        "{kind} {serial} har ikke haft kontakt siden ankomsten: lav en måling",
    ),
    U.PROOF_TOO_OLD: (
        "last heard {heard_at}, more than {max_age_h} h ago",
        "sidst hørt {heard_at}, mere end {max_age_h} timer siden",
    ),
    U.BUNDLE_NOT_EMPTY: (
        "components are still in the kit: take them out, or say that they go with it",
        "der er stadig udstyr i telekittet: tag det ud, eller sig, at det følger med",
    ),
    U.NOT_CLEANED: (
        "{kind} {serial} was with a citizen: clean it first",
        "{kind} {serial} har været hos en borger: rengør først",
    ),
    U.KIND_DIFFERS: ("a {incoming} does not replace a {outgoing}", "{incoming} erstatter ikke {outgoing}"),
    U.NOT_IN_KIT: ("{kind} {serial} is in no kit", "{kind} {serial} er ikke i noget telekit"),
}


def english(unmet: Unmet) -> str:
    """The sentence in English."""
    return TEXTS[unmet.code][0].format_map(unmet.facts)


def danish(unmet: Unmet) -> str:
    """The sentence in Danish."""
    return TEXTS[unmet.code][1].format_map(unmet.facts)

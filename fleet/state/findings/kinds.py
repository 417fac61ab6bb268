"""Every kind of finding: how grave it is, what it means and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Kinds of finding."""

    REPORTS_WHILE_STORED = "reports_while_stored"
    REPORTS_WHILE_SCRAPPED = "reports_while_scrapped"
    REPORTS_WHILE_LOST = "reports_while_lost"
    NEVER_HEARD = "never_heard"
    OTHER_TABLET = "other_tablet"
    OTHER_SIM = "other_sim"
    TWO_TABLETS = "two_tablets"
    PERIPHERAL_IN_TWO_KITS = "peripheral_in_two_kits"
    PERIPHERAL_NOT_IN_BOOKS = "peripheral_not_in_books"
    PERIPHERAL_MISSING = "peripheral_missing"
    MODEL_DIFFERS = "model_differs"
    FIRMWARE_DIFFERS = "firmware_differs"
    BELOW_MINIMUM = "below_minimum"
    CALIBRATION_OVERDUE = "calibration_overdue"
    LEASE_ENDING = "lease_ending"
    WARRANTY_ENDING = "warranty_ending"


class Severity(StrEnum):
    """How grave it is, as with alerts; the first is the gravest."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Text:
    """A text in the languages of the console."""

    en: str
    da: str


@dataclass(frozen=True, slots=True)
class About:
    """What stands behind a kind. Which rule makes an alert of it is told by fleet/alerts/judging/catalogue.py."""

    severity: Severity
    title: Text
    meaning: Text
    advice: Text


K, S = Kind, Severity

ABOUT: Mapping[Kind, About] = {
    K.REPORTS_WHILE_STORED: About(
        S.MINOR,
        Text("A stored kit reports", "Et telekit på lager melder sig"),
        Text(
            "The tablet reports although the books say that the kit is not in use.",
            "Tabletten melder sig, selv om telekittet ifølge registreringen ikke er i brug.",
        ),
        Text(
            "Find the kit. If it is in use, record the forgotten step; if it is in store, switch the tablet off.",
            "Find telekittet. Er det i brug, så registrér det glemte skridt; er det på lager, så sluk tabletten.",
        ),
    ),
    K.REPORTS_WHILE_SCRAPPED: About(
        S.CRITICAL,
        Text("A scrapped kit reports", "Et skrottet telekit melder sig"),
        Text(
            "The tablet reports although the kit was scrapped or returned: it may be in strange hands.",
            "Tabletten melder sig, selv om telekittet er skrottet eller returneret: den kan være i fremmede hænder.",
        ),
        Text(
            "Block the SIM, wipe the tablet by MDM, ask who took it away. If it was not scrapped, correct the step.",
            "Spær SIM-kortet, slet tabletten via MDM, og spørg, hvem der fik den. Ret skridtet, hvis det er forkert.",
        ),
    ),
    K.REPORTS_WHILE_LOST: About(
        S.MAJOR,
        Text("A lost kit reports", "Et bortkommet telekit melder sig"),
        Text(
            "The kit was recorded as lost and is heard again.",
            "Telekittet er registreret som bortkommet og høres igen.",
        ),
        Text(
            "Ask where it is (`locate`, or the last holder), fetch it and record it as retrieved.",
            "Spørg, hvor det er (`locate` eller den seneste bruger), hent det, og registrér det som hjemtaget.",
        ),
    ),
    K.NEVER_HEARD: About(
        S.MAJOR,
        Text("An installed kit was never heard", "Et opsat telekit er aldrig hørt"),
        Text(
            "The books say installed, and the tablet never reported in all the time it should have.",
            "Telekittet er registreret som opsat, men tabletten har aldrig meldt sig i den tid, den skulle.",
        ),
        Text(
            "Check that the tablet is switched on, has coverage and the right kit number; else correct the step.",
            "Tjek, at tabletten er tændt, har dækning og det rigtige kitnummer; ellers ret skridtet.",
        ),
    ),
    K.OTHER_TABLET: About(
        S.MAJOR,
        Text("Another tablet reports", "En anden tablet melder sig"),
        Text(
            "Under this kit's number another tablet reports than the books say is in it.",
            "Under dette kitnummer melder en anden tablet sig end den, der er registreret i telekittet.",
        ),
        Text(
            "Check the tablet's serial number. Record the swap, or put the right tablet back.",
            "Tjek tablettens serienummer. Registrér ombytningen, eller sæt den rigtige tablet tilbage.",
        ),
    ),
    K.OTHER_SIM: About(
        S.MAJOR,
        Text("Another SIM is in use", "Et andet SIM-kort er i brug"),
        Text(
            "The tablet uses another SIM than the books say is in the kit.",
            "Tabletten bruger et andet SIM-kort end det, der er registreret i telekittet.",
        ),
        Text(
            "Record the swap of the SIM, or find out where the recorded one is and block it.",
            "Registrér ombytningen af SIM-kortet, eller find det registrerede og spær det.",
        ),
    ),
    K.TWO_TABLETS: About(
        S.CRITICAL,
        Text("Two tablets use one kit's credentials", "To tablets bruger samme adgangsoplysninger"),
        Text(
            "Under this kit's number two tablets report at the same time: one of them is not the kit's.",
            "Under dette kitnummer melder to tablets sig samtidig: den ene er ikke telekittets.",
        ),
        Text(
            "Find both tablets, put the wrong one out of use, and issue new credentials for the kit.",
            "Find begge tablets, tag den forkerte ud af brug, og udsted nye adgangsoplysninger til telekittet.",
        ),
    ),
    K.PERIPHERAL_IN_TWO_KITS: About(
        S.MAJOR,
        Text("A device is paired with two kits", "Udstyr er parret med to telekit"),
        Text(
            "A device was lately in contact with the tablets of two kits: measurements may reach the wrong citizen.",
            "Samme udstyr har nylig haft kontakt med tabletterne i to telekit: målinger kan ende hos forkert borger.",
        ),
        Text(
            "Unpair it on the tablet that it does not belong to, and record which kit it is in.",
            "Fjern parringen på den tablet, det ikke hører til, og registrér, hvilket telekit det er i.",
        ),
    ),
    K.PERIPHERAL_NOT_IN_BOOKS: About(
        S.MINOR,
        Text("A device is not in the books of the kit", "Udstyr er ikke registreret i telekittet"),
        Text(
            "The tablet is paired with a device that the books do not have in this kit.",
            "Tabletten er parret med udstyr, der ikke er registreret i dette telekit.",
        ),
        Text(
            "Record it as swapped in, or unpair it.",
            "Registrér det som ombyttet ind i telekittet, eller fjern parringen.",
        ),
    ),
    K.PERIPHERAL_MISSING: About(
        S.MINOR,
        Text("A device is not known to the tablet", "Tabletten kender ikke udstyret"),
        Text(
            "The books have a device in this installed kit that its tablet does not know.",
            "Der er registreret udstyr i dette opsatte telekit, som tabletten ikke kender.",
        ),
        Text(
            "Pair it, or record where it really is.",
            "Par det, eller registrér, hvor det i virkeligheden er.",
        ),
    ),
    K.MODEL_DIFFERS: About(
        S.WARNING,
        Text("Another model than recorded", "En anden model end registreret"),
        Text(
            "The device reports another model or kind than the books have for its serial number.",
            "Udstyret melder en anden model eller type, end der er registreret for serienummeret.",
        ),
        Text(
            "Check the label. Correct the model in the books, or the serial number.",
            "Tjek mærkaten. Ret modellen eller serienummeret i registreringen.",
        ),
    ),
    K.FIRMWARE_DIFFERS: About(
        S.WARNING,
        Text("Another firmware than expected", "En anden firmware end forventet"),
        Text(
            "The device runs another firmware than its model should have, or than was recorded for it.",
            "Udstyret kører en anden firmware end modellen skal have, eller end der er registreret for det.",
        ),
        Text(
            "Update the device, or correct the expected firmware.",
            "Opdatér udstyret, eller ret den forventede firmware.",
        ),
    ),
    K.BELOW_MINIMUM: About(
        S.MINOR,
        Text("Stock is below its minimum", "Lageret er under minimum"),
        Text(
            "Fewer of the model are in store at the place than were set as minimum.",
            "Der er færre af modellen på stedet end det fastsatte minimum.",
        ),
        Text("Order more, or move some here.", "Bestil flere, eller flyt nogle hertil."),
    ),
    K.CALIBRATION_OVERDUE: About(
        S.MINOR,
        Text("Calibration is overdue", "Kalibreringen er overskredet"),
        Text(
            "The piece is past the day by which it was to be calibrated.",
            "Enheden har passeret den dag, den senest skulle kalibreres.",
        ),
        Text(
            "Have it calibrated, or swap it where it is in use.",
            "Få den kalibreret, eller ombyt den, hvor den er i brug.",
        ),
    ),
    K.LEASE_ENDING: About(
        S.WARNING,
        Text("A lease ends", "En leasingaftale udløber"),
        Text(
            "The piece goes back to the lessor within two months, or should have.",
            "Enheden skal tilbage til leasinggiver inden for to måneder eller skulle have været det.",
        ),
        Text(
            "Plan its replacement and return, or extend the lease.",
            "Planlæg udskiftning og returnering, eller forlæng aftalen.",
        ),
    ),
    K.WARRANTY_ENDING: About(
        S.WARNING,
        Text("The warranty of a faulty piece ends", "Garantien på en defekt enhed udløber"),
        Text(
            "The piece is faulty and its warranty ends within two months.",
            "Enheden er defekt, og dens garanti udløber inden for to måneder.",
        ),
        Text(
            "Send it to the supplier before the warranty ends.",
            "Send den til leverandøren, inden garantien udløber.",
        ),
    ),
}


def worst(severities: frozenset[Severity]) -> Severity:
    """The gravest of some."""
    return next(each for each in Severity if each in severities)

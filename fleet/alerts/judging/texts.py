"""What each rule says to people, in Danish and English: its name, what it means, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fleet.alerts.rules import RuleName
from fleet.state.findings.kinds import Text


@dataclass(frozen=True, slots=True)
class RuleText:
    """The texts of one rule."""

    title: Text
    meaning: Text
    advice: Text


R = RuleName

TEXTS: Mapping[RuleName, RuleText] = {
    R.SILENT: RuleText(
        Text("Kit is silent", "Telekit er tavst"),
        Text(
            "The kit was not heard for longer than it may be silent, in time in which we listened.",
            "Telekittet er ikke hørt i længere tid, end det må være tavst, i tid hvor vi lyttede.",
        ),
        Text(
            "Ask whether the tablet is switched on and charged and has coverage; if so, restart it.",
            "Spørg, om tabletten er tændt, opladet og har dækning; genstart den i så fald.",
        ),
    ),
    R.NEVER_HEARD: RuleText(
        Text("Installed kit was never heard", "Opsat telekit er aldrig hørt"),
        Text(
            "The books say installed, and the tablet never reported in all the time it should have.",
            "Telekittet er registreret som opsat, men tabletten har aldrig meldt sig i den tid, den skulle.",
        ),
        Text(
            "Check that the tablet is switched on, has coverage and the right kit number; else correct the step.",
            "Tjek, at tabletten er tændt, har dækning og det rigtige kitnummer; ellers ret skridtet.",
        ),
    ),
    R.VERSION_DRIFT: RuleText(
        Text("Version drift", "Versionsafvigelse"),
        Text(
            "A part runs another version than is wanted of the kit.",
            "En del kører en anden version end den, telekittet skal have.",
        ),
        Text(
            "See whether an update is on its way; else roll the wanted version out again, or correct the wish.",
            "Se, om en opdatering er på vej; ellers udrul den ønskede version igen, eller ret ønsket.",
        ),
    ),
    R.PAIRING_LOST: RuleText(
        Text("Device has lost its connection", "Udstyr har mistet forbindelsen"),
        Text(
            "A device is no longer paired, or stays paired and was not reached for days on which the tablet was in use:"
            " measurements do not arrive.",
            "Udstyr er ikke længere parret, eller det er parret, men uden kontakt i dage, hvor tabletten var i brug:"
            " målinger når ikke frem.",
        ),
        Text(
            "Let the citizen measure once with fresh batteries; if nothing comes, pair the device again.",
            "Lad borgeren måle én gang med friske batterier; kommer intet frem, så par udstyret igen.",
        ),
    ),
    R.PERIPHERAL_BATTERY_LOW: RuleText(
        Text("Device battery is low", "Udstyrets batteri er lavt"),
        Text("A device will stop measuring before long.", "Udstyret holder snart op med at måle."),
        Text(
            "Ask for the batteries to be changed, or bring new ones.",
            "Bed om at få skiftet batterier, eller bring nye.",
        ),
    ),
    R.TABLET_BATTERY_LOW: RuleText(
        Text("Tablet battery is low", "Tablettens batteri er lavt"),
        Text("The tablet has little left and does not charge.", "Tabletten har lidt strøm tilbage og oplades ikke."),
        Text("Ask for the tablet to be put on its charger.", "Bed om, at tabletten sættes til opladning."),
    ),
    R.NOT_CHARGING: RuleText(
        Text("Tablet does not charge", "Tabletten oplades ikke"),
        Text(
            "For days the tablet has not been on power: charger, cable or plug may be broken.",
            "Tabletten har i dage ikke fået strøm: oplader, kabel eller stik kan være i stykker.",
        ),
        Text(
            "Ask for another plug and cable to be tried; else send a charger.",
            "Bed om at prøve et andet stik og kabel; ellers send en oplader.",
        ),
    ),
    R.STORAGE_LOW: RuleText(
        Text("Storage is low", "Lidt lagerplads"),
        Text(
            "The tablet has little storage left: updates fail first, then the app.",
            "Tabletten har kun lidt lagerplads tilbage: først fejler opdateringer, så appen.",
        ),
        Text("Clear caches and old packages by MDM.", "Ryd mellemlagre og gamle pakker via MDM."),
    ),
    R.NO_NETWORK: RuleText(
        Text("Bad network for long", "Dårligt netværk i længere tid"),
        Text(
            "The tablet has no network or a weak signal for hours, or its messages arrive very late.",
            "Tabletten har i timevis intet netværk eller svagt signal, eller dens beskeder kommer meget sent.",
        ),
        Text(
            "Ask for the tablet to be moved to a window; consider another operator's SIM.",
            "Bed om, at tabletten flyttes til et vindue; overvej SIM-kort fra en anden operatør.",
        ),
    ),
    R.CLOCK_SKEW: RuleText(
        Text("Tablet clock is wrong", "Tablettens ur går forkert"),
        Text(
            "The clock is so far off that times of measurements and certificates cannot be trusted.",
            "Uret går så forkert, at tidspunkter for målinger og certifikater ikke kan bruges.",
        ),
        Text("Switch automatic time on, by MDM or by hand.", "Slå automatisk tid til, via MDM eller i hånden."),
    ),
    R.RESTARTS: RuleText(
        Text("Tablet restarts too often", "Tabletten genstarter for ofte"),
        Text(
            "The tablet started more often than somebody who uses it would do.",
            "Tabletten er startet oftere, end nogen ville gøre det ved almindelig brug.",
        ),
        Text(
            "Ask for its diagnostics; look for a bad update, a bad battery or heat.",
            "Bed om dens diagnostik; kig efter en dårlig opdatering, et dårligt batteri eller varme.",
        ),
    ),
    R.UPDATE_FAILED: RuleText(
        Text("Update failed", "Opdatering mislykkedes"),
        Text(
            "The newest update of the tablet failed or was refused.",
            "Tablettens seneste opdatering mislykkedes eller blev afvist.",
        ),
        Text(
            "See the error; free storage or charge the tablet, then offer the update again.",
            "Se fejlen; frigør plads, eller oplad tabletten, og tilbyd så opdateringen igen.",
        ),
    ),
    R.BOOKS_AGAINST_REALITY: RuleText(
        Text("Books and reality disagree", "Registrering og virkelighed stemmer ikke overens"),
        Text(
            "What the kit reports does not fit what is recorded of it.",
            "Det, telekittet melder, passer ikke med det, der er registreret.",
        ),
        Text("Look at the findings and correct what is wrong.", "Se afvigelserne, og ret det, der er forkert."),
    ),
    R.TABLET_OR_SIM_SWAPPED: RuleText(
        Text("Tablet or SIM was swapped", "Tablet eller SIM-kort er byttet"),
        Text(
            "Under this kit's number another tablet or SIM reports than the one in the books.",
            "Under dette kitnummer melder en anden tablet eller et andet SIM-kort sig end det registrerede.",
        ),
        Text(
            "Record the swap; if nobody knows of one, find the recorded piece and block it.",
            "Registrér ombytningen; kender ingen til den, så find den registrerede enhed, og spær den.",
        ),
    ),
    R.CALIBRATION_DUE: RuleText(
        Text("Calibration is due", "Kalibrering er forfalden"),
        Text(
            "A piece is past the day by which it was to be calibrated.",
            "En enhed har passeret den dag, den senest skulle kalibreres.",
        ),
        Text(
            "Have it calibrated, or swap it where it is in use.",
            "Få den kalibreret, eller ombyt den, hvor den er i brug.",
        ),
    ),
    R.WARRANTY_ENDING: RuleText(
        Text("Warranty of a faulty piece ends", "Garantien på en defekt enhed udløber"),
        Text(
            "A piece is faulty and its warranty ends within two months.",
            "En enhed er defekt, og dens garanti udløber inden for to måneder.",
        ),
        Text(
            "Send it to the supplier before the warranty ends.",
            "Send den til leverandøren, inden garantien udløber.",
        ),
    ),
    R.LEASE_ENDING: RuleText(
        Text("Lease ends", "Leasing udløber"),
        Text(
            "A piece goes back to the lessor within two months, or should have.",
            "En enhed skal tilbage til leasinggiver inden for to måneder eller skulle have været det.",
        ),
        Text(
            "Plan its replacement and return, or extend the lease.",
            "Planlæg udskiftning og returnering, eller forlæng aftalen.",
        ),
    ),
    R.STOCK_LOW: RuleText(
        Text("Stock is low", "Lavt lager"),
        Text("Fewer are in store than the minimum set.", "Der er færre på lager end det fastsatte minimum."),
        Text("Order more, or move some here.", "Bestil flere, eller flyt nogle hertil."),
    ),
    R.CREDENTIALS_MISUSED: RuleText(
        Text("Credentials are misused", "Adgangsoplysninger misbruges"),
        Text(
            "A kit that was scrapped or returned is heard, or two tablets report under one kit's number at the same "
            "time: a tablet may be in strange hands.",
            "Et skrottet eller returneret telekit høres, eller to tablets melder sig samtidig under samme kitnummer: "
            "en tablet kan være i fremmede hænder.",
        ),
        Text(
            "Scrapped: block the SIM, wipe the tablet by MDM, ask who took it away; if it was not scrapped, correct "
            "the step. Two tablets: find both, put the wrong one out of use, and issue new credentials.",
            "Skrottet: spær SIM-kortet, slet tabletten via MDM, og spørg, hvem der fik den; ret skridtet, hvis det er "
            "forkert. To tablets: find begge, tag den forkerte ud af brug, og udsted nye adgangsoplysninger.",
        ),
    ),
}

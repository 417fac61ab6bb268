"""Every text of the console in both languages; Danish words as the people who use it say them."""

from __future__ import annotations

from enum import StrEnum

from fleet.api.console.booktexts import BOOKS
from fleet.api.console.calltexts import CALLS
from fleet.api.console.credentialtexts import CREDENTIALS
from fleet.api.console.glancetexts import GLANCE
from fleet.api.console.incidenttexts import INCIDENTS
from fleet.api.console.leveltexts import LEVELS
from fleet.api.console.navigationtexts import NAVIGATION
from fleet.api.console.outlettexts import OUTLETS
from fleet.api.console.quiettexts import QUIETING
from fleet.api.console.requesttexts import REQUESTS
from fleet.api.console.ruletexts import RULES
from fleet.api.console.scantexts import SCANS
from fleet.api.console.stocktexts import STOCK
from fleet.api.console.treetexts import LISTS, TREES
from fleet.api.console.visittexts import VISITS


class Language(StrEnum):
    """What the console speaks."""

    DA = "da"
    EN = "en"


# key: (English, Danish)
TEXTS: dict[str, tuple[str, str]] = {
    "account": ("Account", "Konto"),
    "account_elsewhere": (
        "Password and second factor are kept where you log in.",
        "Adgangskode og anden faktor ligger dér, hvor du logger ind.",
    ),
    "account_of_token": (
        "You are here with a token: it has no password and no second factor.",
        "Du er her med en adgangsnøgle: den har hverken adgangskode eller anden faktor.",
    ),
    "acknowledge": ("I take care of it", "Jeg tager mig af det"),
    "acknowledged": ("taken care of", "taget hånd om"),
    "active_alerts": ("Active alerts", "Aktive alarmer"),
    "ago": ("{} ago", "for {} siden"),
    "all": ("All", "Alle"),
    "any_health": ("Any health", "Alle tilstande"),
    "any_state": ("Any stage", "Alle faser"),
    "back_to_kits": ("All kits", "Alle telekit"),
    "begin_anew": ("Begin anew", "Begynd forfra"),
    "battery": ("Battery", "Batteri"),
    "change_password": ("Change password", "Skift adgangskode"),
    "changes": ("Latest changes", "Seneste ændringer"),
    "charging": ("charging", "oplader"),
    "code": ("Code", "Kode"),
    "code_help": (
        "Type the six digits that your app shows, or a recovery code.",
        "Skriv de seks cifre, som din app viser, eller en gendannelseskode.",
    ),
    "component": ("Component", "Komponent"),
    "due": ("due", "frist"),
    "entered": ("You are logged in", "Du er logget ind"),
    "error_title": ("That did not work", "Det lykkedes ikke"),
    "every": ("every {}", "hver {}"),
    "expected": ("Expected", "Forventes"),
    "factor_confirm": ("Take into use", "Tag i brug"),
    "factor_off": (
        "With a second factor nobody gets in with your password alone: an app on your phone shows a code.",
        "Med en anden faktor kommer ingen ind med din adgangskode alene: en app på din telefon viser en kode.",
    ),
    "factor_on": (
        "Set up; {} recovery codes are left.",
        "Sat op; der er {} gendannelseskoder tilbage.",
    ),
    "factor_qr": ("QR code for the app", "QR-kode til appen"),
    "factor_remove": ("Remove", "Fjern"),
    "factor_replace": ("Set up on another phone", "Sæt op på en anden telefon"),
    "factor_scan": (
        "Scan this with an app for one-time codes, then type the code that it shows.",
        "Scan denne med en app til engangskoder, og skriv så koden, som den viser.",
    ),
    "factor_set_up": ("Set up a second factor", "Sæt en anden faktor op"),
    "factor_type": ("Or type this into the app:", "Eller skriv dette i appen:"),
    "filter": ("Show", "Vis"),
    "find_kit": ("Kit number begins with", "Telekittets nummer begynder med"),
    "first_page": ("First page", "Første side"),
    "go_on": ("Go on", "Fortsæt"),
    "go_on_by_token": ("Use the token", "Brug adgangsnøglen"),
    "health": ("Health", "Tilstand"),
    "health_of_installed": ("Installed kits by health", "Opsatte telekit efter tilstand"),
    "incident": ("Mass event", "Massehændelse"),
    "kit": ("Kit", "Telekit"),
    "kits": ("Kits", "Telekit"),
    "language": ("Dansk", "English"),
    "last_contact": ("Last contact", "Seneste kontakt"),
    "last_heard": ("Last heard", "Sidst hørt"),
    "last_heartbeat": ("Last heartbeat", "Seneste livstegn"),
    "live": ("updates by itself", "opdateres af sig selv"),
    "location": ("Location", "Placering"),
    "log_in": ("Log in", "Log ind"),
    "log_in_at": ("Log in with {}", "Log ind med {}"),
    "log_in_by_token": ("Log in with a token", "Log ind med en adgangsnøgle"),
    "log_out": ("Log out", "Log ud"),
    "login_help": (
        "Paste a token made with “fleet token create”.",
        "Indsæt en adgangsnøgle lavet med “fleet token create”.",
    ),
    "login_wait": (
        "Too many failed logins. Try again in {}.",
        "For mange mislykkede forsøg. Prøv igen om {}.",
    ),
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
    "password": ("Password", "Adgangskode"),
    "password_again": ("New password once more", "Ny adgangskode igen"),
    "password_new": ("New password", "Ny adgangskode"),
    "password_now": ("Present password", "Nuværende adgangskode"),
    "password_rules": (
        "At least 12 characters; several words that have nothing to do with each other are good.",
        "Mindst 12 tegn; flere ord, som ikke har noget med hinanden at gøre, er godt.",
    ),
    "recovery_codes": ("Recovery codes", "Gendannelseskoder"),
    "recovery_help": (
        "Keep these in a safe place: each gets you in once when the app is gone. They are shown this once only.",
        "Gem dem et sikkert sted: hver af dem lukker dig ind én gang, når appen er væk. De vises kun nu.",
    ),
    "second_factor": ("Second factor", "Anden faktor"),
    "second_step": ("One more step", "Ét skridt til"),
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
    "username": ("Account name", "Kontonavn"),
    "value_from_to": ("{} → {}", "{} → {}"),
    "version": ("Version", "Version"),
    "version_as_wanted": ("as wanted", "som ønsket"),
    "version_wrong": ("differs", "afviger"),
    "wanted": ("Wanted", "Ønsket"),
    "what_is_wrong": ("What is wrong", "Hvad er galt"),
    # login and account
    "login.wrong": ("Account name or password is wrong.", "Kontonavn eller adgangskode er forkert."),
    "login.wrong_code": ("The code is wrong or was used before.", "Koden er forkert eller allerede brugt."),
    "login.wrong_token": ("The token was not accepted.", "Adgangsnøglen blev ikke godtaget."),
    "login.password_expired": (
        "The one-time password has expired. Ask your administrator for a new one.",
        "Engangsadgangskoden er udløbet. Bed din administrator om en ny.",
    ),
    "login.stale": ("That took too long. Log in again.", "Det tog for længe. Log ind igen."),
    "login.login_stale": ("That took too long. Log in again.", "Det tog for længe. Log ind igen."),
    "login.no_role": (
        "You were recognised, but have no access here. Ask your administrator.",
        "Du blev genkendt, men har ikke adgang her. Spørg din administrator.",
    ),
    "login.provider_unreachable": (
        "The login service does not answer. Try again in a moment.",
        "Logintjenesten svarer ikke. Prøv igen om lidt.",
    ),
    "login.provider_denied": ("The login service did not let you in.", "Logintjenesten lukkede dig ikke ind."),
    "login.provider_bad_answer": (
        "The login service gave an answer that makes no sense. The log says more.",
        "Logintjenesten gav et svar, som ikke giver mening. Loggen siger mere.",
    ),
    "login.provider_bad_token": (
        "The login service's answer could not be trusted. The log says more.",
        "Logintjenestens svar kunne ikke godtages. Loggen siger mere.",
    ),
    "need.new_password": (
        "Choose a password of your own to go on.",
        "Vælg din egen adgangskode for at komme videre.",
    ),
    "need.second_factor": (
        "Administrators need a second factor. Set it up to go on.",
        "Administratorer skal have en anden faktor. Sæt den op for at komme videre.",
    ),
    "account.password_changed": (
        "The password is changed. Other logins have ended.",
        "Adgangskoden er skiftet. Andre logins er afsluttet.",
    ),
    "account.factor_on": ("The second factor is in use.", "Den anden faktor er i brug."),
    "account.factor_removed": ("The second factor is removed.", "Den anden faktor er fjernet."),
    "trouble.wrong_password": ("The present password is wrong.", "Den nuværende adgangskode er forkert."),
    "trouble.wrong_code": (
        "That is not the code that the app shows now.",
        "Det er ikke den kode, som appen viser nu.",
    ),
    "trouble.nothing_proposed": ("Begin with the second factor anew.", "Begynd forfra med den anden faktor."),
    "trouble.unchanged": ("That is the password you have already.", "Det er den adgangskode, du har i forvejen."),
    "trouble.not_the_same": ("The new passwords differ.", "De nye adgangskoder er ikke ens."),
    "trouble.too_short": ("Take at least 12 characters.", "Brug mindst 12 tegn."),
    "trouble.too_long": ("Take at most 128 characters.", "Brug højst 128 tegn."),
    "trouble.holds_username": (
        "The password must not hold the account name.",
        "Adgangskoden må ikke indeholde kontonavnet.",
    ),
    "trouble.common": (
        "That is one of those that are tried first. Take several words that have nothing to do with each other.",
        "Det er en af de adgangskoder, der prøves først. Brug flere ord, som ikke har noget med hinanden at gøre.",
    ),
    "role.support": ("support", "supporter"),
    "role.service": ("service", "service"),
    "role.mdm_admin": ("MDM administrator", "MDM-administrator"),
    "role.logistics": ("logistics", "logistik"),
    "role.secretariat": ("secretariat", "sekretariat"),
    "role.auditor": ("auditor", "revisor"),
    "role.admin": ("administrator", "administrator"),
    "role.grafana": ("dashboards", "dashboards"),
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
    "what.identity": ("tablet or SIM", "tablet eller SIM-kort"),
    "what.opening": ("entered", "oprettet"),
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
    **BOOKS,
    **CALLS,
    **CREDENTIALS,
    **GLANCE,
    **INCIDENTS,
    **LEVELS,
    **NAVIGATION,
    **OUTLETS,
    **QUIETING,
    **REQUESTS,
    **RULES,
    **SCANS,
    **STOCK,
    **LISTS,
    **TREES,
    **VISITS,
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

"""The console's texts about what tablets enter the broker with, in both languages."""

from __future__ import annotations

# key: (English, Danish)
CREDENTIALS: dict[str, tuple[str, str]] = {
    "credentials": ("Credentials", "Adgang til brokeren"),
    "credentials_applied": ("The broker knows it", "Brokeren kender det"),
    "credentials_client": ("Client id", "Klient-id"),
    "credentials_gone": (
        "The kit is gone for good: its tablet is let in no more.",
        "Telekittet er taget ud af brug for altid: dets tablet lukkes ikke ind mere.",
    ),
    "credentials_issue": ("Give a password", "Giv en adgangskode"),
    "credentials_issue_help": (
        "The password is shown once, here. Enter it on the tablet or in MDM at once.",
        "Adgangskoden vises én gang, her. Indtast den på tabletten eller i MDM med det samme.",
    ),
    "credentials_issued": ("Issued", "Udstedt"),
    "credentials_last_heard": ("Last message", "Seneste besked"),
    "credentials_never": ("This kit never got a password.", "Dette telekit har aldrig fået en adgangskode."),
    "credentials_once": (
        "Copy it now: it is shown this once, and nobody can be told it again.",
        "Kopiér den nu: den vises kun denne ene gang, og ingen kan få den at se igen.",
    ),
    "credentials_password": ("The new password", "Den nye adgangskode"),
    "credentials_problem": ("What the broker said", "Brokeren svarede"),
    "credentials_reason": ("Why (for the audit, not about the citizen)", "Hvorfor (til loggen, ikke om borgeren)"),
    "credentials_renew": ("Give a new password", "Giv en ny adgangskode"),
    "credentials_renew_help": (
        "The tablet is thrown out until it has the new password. It is shown once, here.",
        "Tabletten lukkes ude, indtil den har den nye adgangskode. Den vises én gang, her.",
    ),
    "credentials_revoked": ("Taken back", "Inddraget"),
    "credentials_seen": ("Seen by the broker", "Set af brokeren"),
    "credentials_since": ("since", "siden"),
    "credentials_tablet": ("Known to the tablet", "Kendt af tabletten"),
    "credentials_times": ("password no. {}", "adgangskode nr. {}"),
    "credentials_tried": ("tried {} times", "forsøgt {} gange"),
    "credentials_unseen": ("never", "aldrig"),
    "credentials_user": ("User name", "Brugernavn"),
    "credentials_waits": ("the broker is yet to be told", "brokeren har endnu ikke fået besked"),
    "credentials_withdraw": ("Take it back", "Inddrag"),
    "credentials_withdraw_help": (
        "The connection of the tablet ends, and it is let in no more until it gets a new password.",
        "Tablettens forbindelse afbrydes, og den lukkes ikke ind, før den får en ny adgangskode.",
    ),
    "credentials_state.issued": ("lets in", "giver adgang"),
    "credentials_state.revoked": ("lets nobody in", "giver ikke adgang"),
    "because_of.kit_gone": ("the kit was scrapped or returned", "telekittet er skrottet eller returneret"),
    "because_of.tablet_gone": ("the tablet was scrapped or returned", "tabletten er skrottet eller returneret"),
    "because_of.withdrawn": ("taken back by hand", "inddraget i hånden"),
    "credentials_why.first": ("first use", "første ibrugtagning"),
    "credentials_why.tablet": ("tablet was replaced", "tabletten er udskiftet"),
    "credentials_why.forgotten": ("password is lost", "adgangskoden er gået tabt"),
    "credentials_why.misuse": ("suspected misuse", "mistanke om misbrug"),
    "credentials_why.routine": ("routine renewal", "rutinemæssig fornyelse"),
    "credentials_why.gone": ("tablet is lost or stolen", "tabletten er bortkommet eller stjålet"),
    "credentials_why.unused": ("not in use", "ikke i brug"),
}

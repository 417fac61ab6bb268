"""The console's texts of a kit at one glance, in both languages."""

from __future__ import annotations

# key: (English, Danish)
GLANCE: dict[str, tuple[str, str]] = {
    "glance_none_planned": ("none planned", "ingen planlagt"),
    "glance_next_visit": ("Next visit", "Næste udkørsel"),
    "glance_not_in_books": ("not in the books", "ikke registreret"),
    "glance_not_reported": ("not reported", "ikke meldt"),
    "glance_open": ("Open", "Åbent"),
    "glance_open_alerts": ("alerts: {}", "alarmer: {}"),
    "glance_open_nothing": ("nothing", "intet"),
    "glance_pieces": ("Pieces", "Dele"),
    "glance_quiet": ("quieted", "dæmpet"),
    "glance_todo": ("What to do now", "Hvad skal der ske nu"),
    "todo.incident": (
        "Tell the caller: the trouble is known and worked on; nothing need be done in the home.",
        "Sig til den, der ringer: forstyrrelsen er kendt, og der arbejdes på den; borgeren skal ikke gøre noget.",
    ),
    "todo.maintenance": (
        "Tell the caller: work on the kit is planned just now; wait until it is over.",
        "Sig til den, der ringer: der er servicevindue for telekittet; vent, til det er forbi.",
    ),
    "todo.not_installed": (
        "The kit is not with a citizen and is not expected to be heard. Check the kit's number.",
        "Telekittet er ikke hos en borger og forventes ikke at blive hørt. Tjek telekittets nummer.",
    ),
    "todo.visit": (
        "A visit is planned: agree on it with the caller, and add what is new.",
        "En udkørsel er planlagt: aftal den med den, der ringer, og tilføj, hvad der er nyt.",
    ),
    "todo.failed": (
        "The last visit was in vain: agree on a new day.",
        "Seneste udkørsel var forgæves: aftal en ny dag.",
    ),
    "todo.request": (
        "{} is open: add what is new to it instead of opening another.",
        "{} er åben: tilføj, hvad der er nyt, i stedet for at oprette en ny.",
    ),
    "todo.open": ("If that does not help, open a request.", "Hjælper det ikke, så opret en sag."),
    "todo.well": (
        "Nothing shows a fault. Go through the questions with the caller.",
        "Intet tyder på en fejl. Gå spørgsmålene igennem med den, der ringer.",
    ),
}

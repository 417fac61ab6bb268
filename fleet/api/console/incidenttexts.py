"""The console's texts about mass events, in both languages."""

from __future__ import annotations

# key: (English, Danish)
INCIDENTS: dict[str, tuple[str, str]] = {
    "cohort.app": ("App version {}", "App-version {}"),
    "cohort.campaign": ("Update campaign {}", "Opdateringskampagne {}"),
    "cohort.fleet": ("The whole fleet", "Hele flåden"),
    "cohort.mdm": ("MDM agent version {}", "MDM-agent version {}"),
    "cohort.model": ("Tablet model {}", "Tabletmodel {}"),
    "cohort.operator": ("Mobile network {}", "Mobilnet {}"),
    "cohort.organisation": ("{}", "{}"),
    "cohort.os": ("System version {}", "Systemversion {}"),
    "cohort.region": ("{} with all below it", "{} med alt derunder"),
    "incident_back": ("All mass events", "Alle massehændelser"),
    "incident_cleared": ("over", "overstået"),
    "incident_cohort": ("What they have in common", "Hvad de har til fælles"),
    "incident_explained": (
        "{} of the {} watched kits of this cohort were ever part of it.",
        "{} af kohortens {} overvågede telekit har været en del af den.",
    ),
    "incident_joined": ("Since", "Siden"),
    "incident_least": ("More kits than", "Flere telekit end"),
    "incident_left": ("Left", "Ude igen"),
    "incident_member": ("Kit", "Telekit"),
    "incident_members": ("Kits", "Telekit"),
    "incident_members_gone": ("No longer part of it", "Ikke længere en del af den"),
    "incident_members_more": ("Only the first {} are shown.", "Kun de første {} vises."),
    "incident_members_none": ("None.", "Ingen."),
    "incident_members_now": ("Part of it now", "En del af den nu"),
    "incident_none": ("There was no mass event.", "Der har ikke været nogen massehændelse."),
    "incident_note": (
        "When many kits of a cohort fall out together it is one case. Its kits open nothing of their own; those that"
        " stay broken when it is over get their own cases little by little.",
        "Når mange telekit i en kohorte falder ud samtidig, er det én sag. Telekittene opretter ikke egne sager; de,"
        " der stadig fejler, når den er overstået, får egne sager lidt efter lidt.",
    ),
    "incident_now": ("Part of it now", "En del af den nu"),
    "incident_on": ("on", "i gang"),
    "incident_open": (
        "{}: {} of {} kits, since {}. One request stands for all of them.",
        "{}: {} af {} telekit, siden {}. Én servicesag står for dem alle.",
    ),
    "incident_opened": ("Opened", "Åbnet"),
    "incident_refused": ("That was not saved:", "Det blev ikke gemt:"),
    "incident_request": ("Service request", "Servicesag"),
    "incident_rule": ("Fault", "Fejl"),
    "incident_save": ("Save", "Gem"),
    "incident_settings": ("When many are a mass event", "Hvornår mange er en massehændelse"),
    "incident_settings_note": (
        "More kits than this number and more than this share of a cohort, within the window.",
        "Flere telekit end dette antal og mere end denne andel af en kohorte, inden for vinduet.",
    ),
    "incident_share": ("More per cent than", "Flere procent end"),
    "incident_switched_on": ("On", "Slået til"),
    "incident_window": ("Within minutes", "Inden for minutter"),
    "incidents": ("Mass events", "Massehændelser"),
    "outcome.not_watched": ("not watched any more", "overvåges ikke længere"),
    "outcome.released": ("got a case of its own", "fik sin egen sag"),
    "outcome.returned": ("works again", "virker igen"),
}

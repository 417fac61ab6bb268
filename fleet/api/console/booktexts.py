"""The console's texts about the books, in both languages: steps, pieces and what became of them."""

from __future__ import annotations

# key: (English, Danish)
BOOKS: dict[str, tuple[str, str]] = {
    "asset_tag": ("Asset tag", "Inventarnummer"),
    "calibrated_until": ("Calibrated until", "Kalibreret til"),
    "no_bundle": ("No pieces are in the books of this kit.", "Ingen dele er bogført i dette telekit."),
    "findings": ("Books and reality", "Registrering og virkelighed"),
    "home": ("in the home of {}", "hos {}"),
    "home_hidden": ("in a citizen's home", "hos en borger"),
    "owner": ("Bought by", "Købt af"),
    "piece": ("Piece", "Del"),
    "step": ("Next step", "Næste skridt"),
    "step_location": ("Location", "Placering"),
    "step_missing": ("What is still missing", "Det mangler endnu"),
    "step_override": ("All the same, for the reason given", "Alligevel, med den anførte begrundelse"),
    "step_reason": ("Reason", "Begrundelse"),
    "step_refused": ("The step was not taken:", "Skridtet blev ikke taget:"),
    "step_refused_state": (
        "A kit that is {} cannot become {}.",
        "Et telekit, der er {}, kan ikke blive {}.",
    ),
    "step_take": ("Take the step", "Tag skridtet"),
    "step_to": ("To", "Til"),
    "what.status": ("new stage", "ny fase"),
    "what.location": ("moved", "flyttet"),
    "what.swap": ("swap", "ombytning"),
    "what.assign": ("handed over", "overdraget"),
    "what.correction": ("correction", "rettelse"),
    "state.in_kit": ("in the kit", "i telekittet"),
    "state.calibrating": ("calibrating", "kalibreres"),
    "state.in_repair": ("in repair", "til reparation"),
    "state.at_supplier": ("at the supplier", "hos leverandøren"),
    "kind.tablet": ("tablet", "tablet"),
    "kind.sim": ("SIM card", "SIM-kort"),
    "field.owner": ("bought by", "købt af"),
    "field.placement": ("placement", "placering hos borger"),
    "field.incoming": ("in", "ind"),
    "field.outgoing": ("out", "ud"),
}

"""Refusals of those who handle things are told in both languages, in words of the page."""

from __future__ import annotations

import pytest

from fleet.api.console.handlingwords import said
from fleet.api.console.texts import Language
from fleet.errors import ConflictError, FleetError, ForbiddenError, InvalidError, NotFoundError


@pytest.mark.parametrize(
    ("error", "english", "danish"),
    [
        (
            ConflictError("component S-1 is in a kit: move the kit, or take it out first"),
            "component S-1 is in a kit: move the kit, or take it out first",
            "S-1 er i et telekit: flyt telekittet, eller tag delen ud først",
        ),
        (
            ForbiddenError("a step from in_stock to scrapped takes one of the roles admin, logistics there"),
            "your role does not allow the step from in stock to scrapped",
            "din rolle tillader ikke skridtet fra på lager til skrottet",
        ),
        (
            ConflictError("kit K-1 is in_stock: pieces go into a kit that is one of faulty, installed"),
            "kit K-1 is in stock: pieces go in while it is prepared or in use",
            "telekit K-1 er på lager: dele sættes ind under klargøring eller i brug",
        ),
        (NotFoundError("component", "7"), "there is no piece 7", "der er ingen del 7"),
        (
            ConflictError("serial A-1 is in the books already"),
            "serial A-1 is in the books already",
            "serienummer A-1 er allerede bogført",
        ),
        (InvalidError("codes", "each must be 1 to 200 characters"), "the code is too long", "koden er for lang"),
        (ConflictError("stock-take 3 is closed"), "stock-take 3 is closed", "optælling 3 er afsluttet"),
        (ConflictError("something else"), "something else", "something else"),
    ],
)
def test_a_refusal_is_told_in_the_language_of_the_page(error: FleetError, english: str, danish: str) -> None:
    assert said(Language.EN, error) == english
    assert said(Language.DA, error) == danish

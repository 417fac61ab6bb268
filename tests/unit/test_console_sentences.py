"""Why a form of set-up was refused, in one sentence of the page's language."""

from __future__ import annotations

import pytest

from fleet.api.console.refusals import CHANGED, sentence
from fleet.api.console.texts import Language
from fleet.errors import FleetError, InvalidError


@pytest.mark.parametrize(
    ("error", "danish"),
    [
        (InvalidError("ends_at", "must be after starts_at"), "slutning: skal være senere end begyndelsen"),
        (InvalidError("ends_at", "a window lasts 31 days at most"), "slutning: et vindue varer højst 31 dage"),
        (InvalidError("kits", "there is no kit 'K-9'"), "telekit: 'K-9' findes ikke"),
        (
            InvalidError("starts_at", "is no time such as 2026-12-24 08:00"),
            "begyndelse: skal være et tidspunkt som 08:00",
        ),
        (FleetError(CHANGED), "det er ændret imens: se på det igen"),
    ],
)
def test_a_refusal_is_told_in_danish(error: FleetError, danish: str) -> None:
    assert sentence(Language.DA, error) == danish
    assert sentence(Language.EN, error) == str(error)


def test_what_has_no_danish_words_stays_as_it_is() -> None:
    assert sentence(Language.DA, InvalidError("odd", "is odd")) == "odd: is odd"

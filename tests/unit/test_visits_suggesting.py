"""What is suggested to be brought to a visit, and how a refusal is worded."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.alerts.visits.steps import Kind
from fleet.alerts.visits.suggesting import Because, Bundle, Wanted, at_fault, suggest
from fleet.api.console.refusals import refusal, worded
from fleet.api.console.texts import Language
from fleet.errors import ConflictError, InvalidError

KIT = Bundle(
    contents={"tablet": 1, "sim": 1, "scale": 2},
    pieces=("tablet", "scale", "oximeter"),
    at_fault=("scale",),
    calibration_due=("oximeter",),
)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (Kind.INSTALL, {"scale": Because.MISSING, "sim": Because.MISSING}),
        (Kind.SWAP, {"scale": Because.FAULT}),
        (Kind.REPAIR, {"scale": Because.FAULT}),
        (Kind.CALIBRATION, {"oximeter": Because.CALIBRATION}),
        (Kind.TAKE_DOWN, {}),
        (Kind.TRAINING, {}),
    ],
)
def test_each_kind_of_visit_asks_for_its_own(kind: Kind, wanted: dict[str, Because]) -> None:
    found = suggest(kind, KIT)
    assert {each.kind: each.because for each in found if each.quantity} == wanted
    assert {each.kind for each in found} == {"tablet", "sim", "scale", "oximeter"}
    assert [bool(each.quantity) for each in found] == sorted((bool(each.quantity) for each in found), reverse=True)


def test_as_many_as_are_lacking() -> None:
    found = suggest(Kind.INSTALL, Bundle({"scale": 3}, ("scale",)))
    assert found == [Wanted("scale", 2, Because.MISSING)]


def test_faults_point_at_pieces() -> None:
    evidence: list[dict[str, Any]] = [{"peripherals": [{"kind": "scale"}, {"kind": None}]}, {"peripherals": None}, {}]
    assert at_fault(["no_network", "storage_low", "of nobody's list"], evidence) == {"sim", "scale"}


def test_a_refusal_is_worded_in_the_language() -> None:
    late = refusal(Language.DA, InvalidError("window_to", "is not after window_from"))
    assert late.fields == {"window_to": "skal være senere end begyndelsen"}
    named = refusal(Language.EN, InvalidError("arrived_at", "must be a time such as 09:30"), {"arrived_at": "arrived"})
    assert named.fields == {"arrived": "must be a time such as 09:30"}
    stock = "0 are free at depot, 2 are wanted; send beyond_stock if more are to come until then"
    assert refusal(Language.DA, ConflictError(stock)).said == "0 er ledige på depot, 2 ønskes"
    assert worded(Language.EN, "what nobody foresaw") == worded(Language.DA, "what nobody foresaw")

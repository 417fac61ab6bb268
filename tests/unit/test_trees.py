"""Problem trees: what is read and refused, and where facts and answers lead."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import yaml

from fleet.alerts.rules import Line
from fleet.alerts.trees.facts import Around, Fact, facts_of
from fleet.alerts.trees.store import shipped
from fleet.alerts.trees.tree import Advice, Prefilled, Question, Tree, parse
from fleet.alerts.trees.walk import By, walk
from fleet.errors import InvalidError
from fleet.state.reading import KitFacts

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
TEXT = {"en": "a", "da": "b"}


def body(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "tree": "lamp",
        "version": 1,
        "title": TEXT,
        "for": ["silent"],
        "start": "lit",
        "nodes": {
            "lit": {
                "question": {"en": "Is it lit?", "da": "Lyser den?"},
                "known": [{"fact": "heard_lately", "is": True, "answer": "lit"}],
                "answers": {"lit": {"text": TEXT, "next": "fine"}, "dark": {"text": TEXT, "next": "plugged"}},
            },
            "plugged": {
                "question": TEXT,
                "answers": {"in": {"text": TEXT, "next": "broken"}, "out": {"text": TEXT, "next": "fine"}},
            },
            "fine": {"advice": TEXT},
            "broken": {"request": {"cause": "silent", "line": "logistics", "priority": "high", "text": TEXT}},
        },
    }
    return {**whole, **changes}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def dumped(content: Any) -> str:
    """As YAML without anchors."""
    return yaml.dump(content, Dumper=_Dumper, allow_unicode=True)


def tree(**changes: Any) -> Tree:
    return parse(dumped(body(**changes)))


def test_nothing_known_asks_the_first_question() -> None:
    way = walk(tree(), {}, {})
    assert (way.node, way.path) == ("lit", ())
    assert isinstance(way.at, Question)


def test_what_telemetry_knows_is_not_asked() -> None:
    way = walk(tree(), {Fact.HEARD_LATELY: True}, {})
    assert isinstance(way.at, Advice)
    assert [(step.node, step.answer, step.by, step.fact) for step in way.path] == [
        ("lit", "lit", By.TELEMETRY, Fact.HEARD_LATELY)
    ]


@pytest.mark.parametrize("known", [False, None])
def test_what_telemetry_does_not_answer_is_asked(known: bool | None) -> None:
    assert walk(tree(), {Fact.HEARD_LATELY: known}, {}).node == "lit"


def test_the_callers_word_weighs_more_than_telemetry() -> None:
    way = walk(tree(), {Fact.HEARD_LATELY: True}, {"lit": "dark"})
    assert (way.node, way.path[0].by) == ("plugged", By.CALLER)


def test_answers_lead_to_a_request() -> None:
    way = walk(tree(), {}, {"lit": "dark", "plugged": "in"})
    assert isinstance(way.at, Prefilled)
    assert (way.at.cause, way.at.line) == ("silent", Line.LOGISTICS)


@pytest.mark.parametrize(
    ("answers", "named"),
    [({"lit": "maybe"}, "maybe"), ({"plugged": "in"}, "plugged"), ({"lit": "lit", "plugged": "in"}, "plugged")],
)
def test_an_answer_that_fits_nowhere_is_named(answers: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        walk(tree(), {}, answers)


def without(where: str, name: str) -> dict[str, Any]:
    whole = body()
    del whole["nodes"][where][name]
    return whole


def changed(where: str, **changes: Any) -> dict[str, Any]:
    whole = body()
    whole["nodes"][where] |= changes
    return whole


ONE_ANSWER = {"lit": {"text": TEXT, "next": "fine"}}
TO_NOWHERE = {"lit": {"text": TEXT, "next": "nowhere"}, "dark": {"text": TEXT, "next": "plugged"}}
ROUND = {"in": {"text": TEXT, "next": "lit"}, "out": {"text": TEXT, "next": "fine"}}
PAST = {"in": {"text": TEXT, "next": "fine"}, "out": {"text": TEXT, "next": "fine"}}


@pytest.mark.parametrize(
    ("whole", "named"),
    [
        (body(start="nowhere"), "nowhere"),
        (body(version=0), "version"),
        (body(version=True), "version"),
        (body(tree="No Slug"), "No Slug"),
        (body(more=1), "more"),
        (body(title={"en": "a"}), "da"),
        (body(title={"en": " ", "da": "b"}), "title.en"),
        (body(nodes={}), "nodes"),
        (without("lit", "answers"), "answers"),
        (changed("lit", answers=ONE_ANSWER), "two answers"),
        (changed("lit", answers=TO_NOWHERE), "nowhere"),
        (changed("plugged", answers=ROUND), "round"),
        (changed("plugged", answers=PAST), "broken"),
        (changed("lit", known=[{"fact": "weather", "is": True, "answer": "lit"}]), "weather"),
        (changed("lit", known=[{"fact": "heard_lately", "is": "yes", "answer": "lit"}]), "true or false"),
        (changed("lit", known=[{"fact": "heard_lately", "is": True, "answer": "bright"}]), "bright"),
        (changed("broken", request={"cause": "silent", "line": "nobody", "text": TEXT}), "nobody"),
        ([], "must have"),
    ],
)
def test_what_is_wrong_with_a_tree_is_named(whole: Any, named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        parse(dumped(whole))


def test_a_bare_yes_is_pointed_out() -> None:
    text = dumped(body()).replace("answer: lit", "answer: yes")
    with pytest.raises(InvalidError, match="quotes"):
        parse(text)


@pytest.mark.parametrize("text", ["{", "a: !!python/object:os.system {}", "x" * 70_000])
def test_what_is_no_tree_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        parse(text)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_way_through_a_shipped_tree_ends(name: str) -> None:
    shipped_tree = parse(shipped()[name])
    ends = [way for way in _ways(shipped_tree, {}) if not isinstance(way, Question)]
    assert any(isinstance(end, Advice) for end in ends)
    assert any(isinstance(end, Prefilled) for end in ends)


def _ways(whole: Tree, given: dict[str, str]) -> list[object]:
    way = walk(whole, {}, given)
    if not isinstance(way.at, Question):
        return [way.at]
    return [end for answer in way.at.answers for end in _ways(whole, {**given, way.node: answer.answer})]


@pytest.mark.parametrize("name", sorted(shipped()))
@pytest.mark.parametrize("known", [True, False])
def test_no_set_of_facts_leads_astray(name: str, known: bool) -> None:
    walk(parse(shipped()[name]), dict.fromkeys(Fact, known), {})


def kit(**changes: Any) -> KitFacts:
    values: dict[str, Any] = dict.fromkeys(KitFacts.__dataclass_fields__)
    values |= {
        "kit": "K-1",
        "state": "installed",
        "expected_interval_s": 300,
        "wanted_components": {"app": "2"},
        "software": {"app": "2"},
        "heard": True,
        "last_heard_at": NOW - timedelta(minutes=2),
        "battery": 50.0,
        "charging": False,
        "network": "4g",
        "signal_dbm": -80,
        "storage_free_mb": 5000.0,
        "peripherals": [{"serial": "S", "paired": True, "last_contact": "2026-05-03T08:00:00Z"}],
    }
    values |= dict.fromkeys(("silent", "drifted", "pairing_lost", "battery_low", "storage_low", "clock_skewed"), False)
    return KitFacts(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "fact", "value"),
    [
        ({}, Fact.HEARD_LATELY, True),
        ({"last_heard_at": NOW - timedelta(hours=1)}, Fact.HEARD_LATELY, False),
        ({"last_heard_at": NOW - timedelta(hours=1), "expected_interval_s": 7200}, Fact.HEARD_LATELY, True),
        ({"last_heard_at": None, "heard": False}, Fact.EVER_HEARD, False),
        ({"last_heard_at": NOW - timedelta(hours=1)}, Fact.CHARGING, None),
        ({"battery_low": True}, Fact.BATTERY_LOW, True),
        ({"battery": None}, Fact.BATTERY_LOW, None),
        ({"network": "none"}, Fact.HAS_NETWORK, False),
        ({"signal_dbm": -115}, Fact.SIGNAL_WEAK, True),
        ({"peripherals": []}, Fact.PERIPHERALS_PAIRED, None),
        ({"peripherals": [{"serial": "S", "paired": False}]}, Fact.PERIPHERALS_PAIRED, False),
        ({"peripherals": [{"serial": "S", "paired": True}]}, Fact.PERIPHERALS_IN_CONTACT, False),
        ({}, Fact.PERIPHERALS_IN_CONTACT, True),
        ({"drifted": True}, Fact.VERSIONS_AS_WANTED, False),
        ({"software": None}, Fact.VERSIONS_AS_WANTED, None),
        ({"state": "paused"}, Fact.INSTALLED, False),
    ],
)
def test_what_is_known_of_a_kit(changes: dict[str, Any], fact: Fact, value: bool | None) -> None:
    assert facts_of(kit(**changes), Around(), NOW)[fact] is value


def test_every_fact_is_told() -> None:
    assert facts_of(kit(), Around(in_incident=True), NOW).keys() == set(Fact)
    assert facts_of(kit(last_heard_at=None), Around(), NOW).keys() == set(Fact)


BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n" for before, name in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "line 1: anchors"),
        ("tree: " + "[" * 20_000, "nested deeper"),
        ("tree: 2026-02-30", "cannot be read"),
        ("tree: !!int abc", "cannot be read"),
        ("tree: !!float x", "cannot be read"),
        ("tree: !!python/object/apply:os.system [ls]", "no YAML"),
        ("# 010190-1234\ntree: x", "civil registration number"),
        ("tree: \0", "no YAML"),
        ("tree: \ud800", "no YAML"),
        ("tree: " + "æ" * 40_000, "at most 65536 bytes"),
        (dumped(body(tree={"x": "y" * 10_000})), "a table is no short name"),
        (dumped(body(title={"en": "call 010190-1234", "da": "x"})), "civil registration number"),
        (dumped(body()).replace("en: a", 'en: "\\ud800"', 1), "control character"),
    ],
)
def test_what_strangers_send_is_refused_shortly(text: str, said: str) -> None:
    with pytest.raises(InvalidError, match=re.escape(said)) as refused:
        parse(text)
    assert len(str(refused.value)) < 400
    str(refused.value).encode()

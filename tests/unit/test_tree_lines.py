"""Faults of problem trees, each with the line where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts.trees.lines import excerpt, located, renumbered
from fleet.alerts.trees.store import shipped
from fleet.alerts.trees.tree import faults, parse
from fleet.errors import InvalidError

TREE = """\
# a comment
tree: does-it-work
version: 3
title: {en: Does it work, da: Virker det}
for: [silent]
start: first
nodes:
  first:
    question: {en: Is it on, da: Er den tændt}
    known:
      - {fact: heard_lately, is: true, answer: on}
    answers:
      "on": {text: {en: "Yes", da: Ja}, next: good}
      "off": {text: {en: "No", da: Nej}, next: bad}
  good:
    advice: {en: It works., da: Det virker.}
  bad:
    request: {cause: silent, line: service, text: {en: Look at it., da: Se på det.}}
"""
NO_TREES = ("a: 2026-99-99", "[" * 20_000, "x" * (70_000), "a: 1\n b: 2", "", "- x", "\x00")
FINE = TREE.replace("answer: on}", 'answer: "on"}')


def test_a_good_tree_has_none() -> None:
    assert located(FINE) == []
    for body in shipped().values():
        assert located(body) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "where"),
    [
        ('"on": {text: {en: "Yes", da: Ja}, next: good}', '"on": {text: {en: "Yes", da: Ja}, next: gone}', 8, "nodes"),
        ("start: first", "start: gone", 6, "nodes"),
        ("version: 3", "version: three", 3, "version"),
        ("for: [silent]", "for: silent", 5, "for"),
        ("da: Det virker.}", "da: ''}", 16, "nodes.good.advice.da"),
        ("line: service", "line: nobody", 18, "nodes.bad.line"),
        ("fact: heard_lately", "fact: moonlight", 10, "nodes.first.known"),
        ("title: {en", "titel: {en", 2, "tree"),
        ("  bad:\n    request", "  bad:\n    wish", 17, "nodes.bad"),
        ("    known:", "    knwon:", 10, "nodes.first"),
        ("title: {en: Does", "title: {en: [Does", 4, "YAML"),
    ],
)
def test_a_fault_is_found_in_its_line(old: str, new: str, line: int, where: str) -> None:
    found = located(FINE.replace(old, new))
    assert (line, where) in [(each.line, each.where) for each in found], found
    assert excerpt(FINE, line)


def test_faults_of_several_nodes_are_told_at_once() -> None:
    found = located(FINE.replace("da: Det virker.}", "da: ''}").replace("line: service", "line: nobody"))
    assert [(each.line, each.where) for each in found] == [(16, "nodes.good.advice.da"), (18, "nodes.bad.line")]


def test_a_ring_and_what_nobody_reaches_are_told() -> None:
    ring = FINE.replace("next: bad", "next: first")
    assert {each.line for each in located(ring)} == {8, 17}


@pytest.mark.parametrize("text", ["a: 2026-99-99", "[" * 20_000, "x" * (70_000), "a: 1\n b: 2", "", "- x", "\x00"])
def test_what_is_no_tree_is_told_and_never_more(text: str) -> None:
    assert located(text)
    with pytest.raises(InvalidError):
        parse(text)


@given(st.text(max_size=200), st.integers(0, len(FINE)))
def test_faults_agree_with_reading(text: str, at: int) -> None:
    changed = FINE[:at] + text + FINE[at:]
    try:
        parse(changed)
    except InvalidError:
        assert faults(changed)
        assert located(changed)
    else:
        assert located(changed) == []


def test_a_version_is_raised_in_the_text() -> None:
    assert parse(renumbered(FINE, 12)).version == 12
    assert renumbered(FINE, 12).replace("version: 12", "version: 3") == FINE

"""Walking a tree: telemetry answers what it can, the caller the rest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fleet.alerts.trees.facts import Fact, Facts
from fleet.alerts.trees.tree import Advice, Answer, Known, Prefilled, Question, Text, Tree
from fleet.errors import InvalidError


class By(StrEnum):
    """Who answered."""

    TELEMETRY = "telemetry"
    CALLER = "caller"


@dataclass(frozen=True, slots=True)
class Step:
    """One question of the way, answered; `fact` is what telemetry knew."""

    node: str
    question: Text
    answer: str
    answer_text: Text
    by: By
    fact: Fact | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """How far it has come: the way so far, and the node that is next, a question or an end."""

    path: tuple[Step, ...]
    node: str
    at: Question | Advice | Prefilled


def walk(tree: Tree, facts: Facts, given: Mapping[str, str]) -> Walk:
    """Go from the start as far as facts and given answers (node → answer) lead.

    What the caller says weighs more than what telemetry knows, since it was asked for a reason. Raises InvalidError for
    an answer that the question does not have, and for one to a question that is not on the way.
    """
    path: list[Step] = []
    name = tree.start
    left = dict(given)
    while isinstance(node := tree.nodes[name], Question):
        step = _given(name, node, left.pop(name, None)) or _known(name, node, facts)
        if step is None:
            break
        path.append(step)
        answer = node.leads(step.answer)
        assert answer is not None, "a tree is checked when it is read"
        name = answer.next
    if left:
        raise InvalidError("answers", f"{', '.join(sorted(left))}: not asked on this way")
    return Walk(tuple(path), name, node)


def _given(name: str, node: Question, answer: str | None) -> Step | None:
    if answer is None:
        return None
    found = node.leads(answer)
    if found is None:
        words = ", ".join(each.answer for each in node.answers)
        raise InvalidError("answers", f"{name}: {answer[:80]!r} is none of {words}")
    return Step(name, node.text, found.answer, found.text, By.CALLER)


def _known(name: str, node: Question, facts: Facts) -> Step | None:
    for known in node.known:
        if facts.get(known.fact) is known.value:
            return _told(name, node, known)
    return None


def _told(name: str, node: Question, known: Known) -> Step:
    found: Answer | None = node.leads(known.answer)
    assert found is not None, "a tree is checked when it is read"
    return Step(name, node.text, found.answer, found.text, By.TELEMETRY, known.fact)

"""A problem tree as nested questions and answers, to be looked at before it counts. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fleet.alerts.trees.tree import Advice, Known, Node, Question, Text, Tree
from fleet.api.console.texts import Language


@dataclass(frozen=True, slots=True)
class Branch:
    """A node as it is drawn: what it says, and where each answer leads.

    A node that was drawn before is not drawn again (`again`): many ways may lead to one end.
    """

    name: str
    kind: str
    text: Text
    known: Sequence[Known] = ()
    answers: Sequence[tuple[Text, Branch]] = ()
    again: bool = False
    cause: str | None = None
    line: str | None = None
    priority: str | None = None


def drawn(tree: Tree) -> Branch:
    """The whole tree from its start."""
    return _branch(tree, tree.start, set())


def _branch(tree: Tree, name: str, seen: set[str]) -> Branch:
    node = tree.nodes[name]
    if name in seen:
        return Branch(name, _kind(node), node.text, again=True)
    seen.add(name)
    if isinstance(node, Question):
        answers = [(each.text, _branch(tree, each.next, seen)) for each in node.answers]
        return Branch(name, "question", node.text, node.known, answers)
    if isinstance(node, Advice):
        return Branch(name, "advice", node.text)
    return Branch(name, "request", node.text, cause=node.cause, line=node.line.value, priority=node.priority.value)


def _kind(node: Node) -> str:
    return "question" if isinstance(node, Question) else "advice" if isinstance(node, Advice) else "request"


# What the reading of a tree answers in English: pattern, Danish.
_DANISH: tuple[tuple[str, str], ...] = (
    (r"lacks (.+)", r"mangler \1"),
    (r"has unknown (.+)", r"har ukendt \1"),
    (r"must have (.+)", r"skal have \1"),
    (r"must be 1 to (\d+) characters", r"skal være 1 til \1 tegn"),
    (r"must be 1 to (\d+) nodes by name", r"skal være 1 til \1 knuder med navn"),
    (r"must be a list", "skal være en liste"),
    (r"must be a number from 1 on", "skal være et tal fra 1"),
    (r"at most (\d+) bytes", r"højst \1 bytes"),
    (r"`is` must be true or false", "`is` skal være true eller false"),
    (r"a question has two answers at least", "et spørgsmål har mindst to svar"),
    (
        r"is true or false to YAML: put yes, no, on and off in quotes",
        "er sandt eller falsk for YAML: sæt yes, no, on og off i anførselstegn",
    ),
    (r"(.+) is no name", r"\1 er ikke et navn"),
    (r"(.+) is no short name: a-z, 0-9 and -", r"\1 er ikke et kort navn: a-z, 0-9 og -"),
    (r"(.+) is none of (.+)", r"\1 er ikke en af \2"),
    (r"start: there is no node (.+)", r"start: der er ingen knude \1"),
    (r"(.+): (.+) leads to (.+), which is no node", r"\1: \2 fører til \3, som ikke er en knude"),
    (r"(.+): telemetry would answer (.+), which is no answer", r"\1: telemetrien ville svare \2, som ikke er et svar"),
    (r"(.+) goes round and round", r"\1 går i ring"),
    (r"(.+): no answer leads there", r"\1: intet svar fører dertil"),
    (r"looks like a civil registration number.*", "ligner et personnummer, som ikke må gemmes"),
    (r"has version (\d+) already: give this one version (\d+)", r"har allerede version \1: giv denne version \2"),
    (r"says (.+), and is entered as (.+)", r"siger \1, men gemmes som \2"),
)


def in_words(detail: str, language: Language) -> str:
    """What is wrong, in the language of the page; what YAML itself says stays as it is."""
    if language is Language.DA:
        for pattern, danish in _DANISH:
            if found := re.fullmatch(pattern, detail):
                return found.expand(danish)
    return detail

"""Trees as values, and their reading from YAML: strict, every fault named, every path with an end.

A tree in YAML:

    tree: kit-is-silent            # its slug
    version: 1
    title: {en: The kit is not heard, da: Telekittet høres ikke}
    for: [silent, never_heard]     # causes of requests it is about
    start: switched-on
    nodes:
      switched-on:
        question: {en: Is the tablet switched on?, da: Er tabletten tændt?}
        known:                     # skipped where telemetry knows
          - {fact: heard_lately, is: true, answer: on}
        answers:
          on: {text: {en: Yes, da: Ja}, next: other-node}
          off: {text: {en: No, da: Nej}, next: switch-on}
      switch-on:
        advice: {en: …, da: …}     # or `request: {cause, line, priority, text: {en, da}}`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.alerts.rules import Line, Priority
from fleet.alerts.trees.facts import Fact
from fleet.alerts.trees.plainyaml import plain_yaml
from fleet.errors import InvalidError
from fleet.state.texts import SLUG, bad_text

MAX_BYTES = 64 * 1024
MAX_NODES = 200
MAX_TEXT = 600
MAX_SHOWN = 60
MOST_NAMED = 5
MAX_VERSION = 1_000_000
MOST_FAULTS = 50


@dataclass(frozen=True, slots=True)
class Text:
    """A text in both languages."""

    en: str
    da: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a question and the node it leads to."""

    answer: str
    text: Text
    next: str


@dataclass(frozen=True, slots=True)
class Known:
    """When `fact` is `value`, the answer is `answer` and nobody need ask."""

    fact: Fact
    value: bool
    answer: str


@dataclass(frozen=True, slots=True)
class Question:
    """A node that asks."""

    text: Text
    answers: tuple[Answer, ...]
    known: tuple[Known, ...]

    def leads(self, answer: str) -> Answer | None:
        """The answer by its word; None when there is no such answer."""
        return next((each for each in self.answers if each.answer == answer), None)


@dataclass(frozen=True, slots=True)
class Advice:
    """A node that ends with what to tell the caller."""

    text: Text


@dataclass(frozen=True, slots=True)
class Prefilled:
    """A node that ends with a request for somebody else."""

    cause: str
    line: Line
    priority: Priority
    text: Text


Node = Question | Advice | Prefilled


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole tree; `causes` are those of the requests it is about."""

    tree: str
    version: int
    title: Text
    causes: tuple[str, ...]
    start: str
    nodes: Mapping[str, Node]


def parse(text: str) -> Tree:
    """Read a tree; raises InvalidError that names the node and what is wrong with it."""
    tree = _read(_content(text))
    for problem in _problems(tree):
        raise InvalidError("nodes", problem)
    return tree


def faults(text: str) -> list[InvalidError]:
    """All that is wrong with a tree as far as it can be read, of each node the first fault; empty when it can count."""
    try:
        content = _content(text)
    except InvalidError as fault:
        return [fault]
    try:
        tree = _read(content)
    except InvalidError as fault:
        return [fault, *(each for each in _node_faults(content) if each.args != fault.args)][:MOST_FAULTS]
    return [InvalidError("nodes", problem) for problem in _problems(tree)][:MOST_FAULTS]


def _content(text: str) -> Any:
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise InvalidError("tree", f"at most {MAX_BYTES} bytes")
    return plain_yaml(text)


def _read(content: Any) -> Tree:
    body = _table(content, "tree", {"tree", "version", "title", "for", "start", "nodes"})
    nodes = body["nodes"]
    if not isinstance(nodes, dict) or not 1 <= len(nodes) <= MAX_NODES:
        raise InvalidError("nodes", f"must be 1 to {MAX_NODES} nodes by name")
    return Tree(
        tree=_slug(body["tree"], "tree"),
        version=_version(body["version"]),
        title=_text(body["title"], "title"),
        causes=tuple(_word(each, "for") for each in _list(body["for"], "for")),
        start=_word(body["start"], "start"),
        nodes={_word(name, "nodes"): _node(node, f"nodes.{name}") for name, node in nodes.items()},
    )


def _node_faults(content: Any) -> Iterator[InvalidError]:
    nodes = content.get("nodes") if isinstance(content, dict) else None
    for name, node in list(nodes.items())[:MAX_NODES] if isinstance(nodes, dict) else ():
        try:
            _node(node, f"nodes.{name}")
        except InvalidError as fault:
            yield fault


def _node(node: Any, where: str) -> Node:
    if isinstance(node, dict) and "question" in node:
        return _question(_table(node, where, {"question", "answers"}, {"known"}), where)
    if isinstance(node, dict) and "advice" in node:
        return Advice(_text(_table(node, where, {"advice"})["advice"], f"{where}.advice"))
    request = _table(_table(node, where, {"request"})["request"], where, {"cause", "line", "text"}, {"priority"})
    return Prefilled(
        cause=_word(request["cause"], f"{where}.cause"),
        line=_choice(Line, request["line"], f"{where}.line"),
        priority=_choice(Priority, request.get("priority", "normal"), f"{where}.priority"),
        text=_text(request["text"], f"{where}.text"),
    )


def _question(node: dict[str, Any], where: str) -> Question:
    answers = node["answers"]
    if not isinstance(answers, dict) or len(answers) < 2:
        raise InvalidError(f"{where}.answers", "a question has two answers at least")
    found = []
    for word, answer in answers.items():
        body = _table(answer, f"{where}.answers.{word}", {"text", "next"})
        found.append(Answer(_word(word, where), _text(body["text"], where), _word(body["next"], where)))
    known = [_known(each, f"{where}.known") for each in _list(node.get("known", []), f"{where}.known")]
    return Question(_text(node["question"], f"{where}.question"), tuple(found), tuple(known))


def _known(each: Any, where: str) -> Known:
    body = _table(each, where, {"fact", "is", "answer"})
    if not isinstance(body["is"], bool):
        raise InvalidError(where, "`is` must be true or false")
    return Known(_choice(Fact, body["fact"], where), body["is"], _word(body["answer"], where))


def _problems(tree: Tree) -> Iterator[str]:
    """What spans several nodes: names that lead nowhere, rings, nodes nobody reaches."""
    if tree.start not in tree.nodes:
        yield f"start: there is no node {tree.start!r}"
        return
    astray = [
        problem
        for name, node in tree.nodes.items()
        if isinstance(node, Question)
        for problem in _question_problems(tree, name, node)
    ]
    yield from astray or _ring(tree)


def _question_problems(tree: Tree, name: str, node: Question) -> Iterator[str]:
    for answer in node.answers:
        if answer.next not in tree.nodes:
            yield f"{name}: {answer.answer!r} leads to {answer.next!r}, which is no node"
    for known in node.known:
        if node.leads(known.answer) is None:
            yield f"{name}: telemetry would answer {known.answer!r}, which is no answer"


def _ring(tree: Tree) -> Iterator[str]:
    reached: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> Iterator[str]:
        if name in path:
            yield f"{' > '.join([*path[path.index(name) :], name])} goes round and round"
            return
        if name in reached:
            return
        reached.add(name)
        node = tree.nodes[name]
        if isinstance(node, Question):
            path.append(name)
            for answer in node.answers:
                yield from visit(answer.next)
            path.pop()

    yield from visit(tree.start)
    for name in tree.nodes.keys() - reached:
        yield f"{name}: no answer leads there"


def _table(content: Any, where: str, needed: set[str], more: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InvalidError(where, f"must have {', '.join(sorted(needed))}")
    missing, unknown = needed - content.keys(), content.keys() - needed - (more or set())
    if missing:
        raise InvalidError(where, f"lacks {', '.join(sorted(missing))}")
    if unknown:
        raise InvalidError(where, f"has unknown {', '.join(sorted(map(_shown, unknown))[:MOST_NAMED])}")
    return content


def _list(content: Any, where: str) -> list[Any]:
    if not isinstance(content, list):
        raise InvalidError(where, "must be a list")
    return content


def _text(content: Any, where: str) -> Text:
    body = _table(content, where, {"en", "da"})
    for language, text in body.items():
        if not isinstance(text, str) or not text.strip():
            raise InvalidError(f"{where}.{language}", f"must be 1 to {MAX_TEXT} characters")
        if (problem := bad_text(text.replace("\n", " ").strip(), MAX_TEXT)) is not None:
            raise InvalidError(f"{where}.{language}", problem)
    return Text(body["en"].strip(), body["da"].strip())


def _word(content: Any, where: str) -> str:
    """A name; YAML reads a bare `yes`, `no`, `on` and `off` as true and false."""
    if isinstance(content, bool):
        raise InvalidError(where, "is true or false to YAML: put yes, no, on and off in quotes")
    if not isinstance(content, str) or not 1 <= len(content) <= 64 or not content.isprintable():
        raise InvalidError(where, f"{_shown(content)} is no name")
    return content


def _slug(content: Any, where: str) -> str:
    if not isinstance(content, str) or not SLUG.fullmatch(content):
        raise InvalidError(where, f"{_shown(content)} is no short name: a-z, 0-9 and -")
    return content


def _version(content: Any) -> int:
    if isinstance(content, bool) or not isinstance(content, int) or not 1 <= content <= MAX_VERSION:
        raise InvalidError("version", "must be a number from 1 on")
    return content


def _shown(content: Any) -> str:
    """What stands where something else must, short; of tables and lists only what they are."""
    if isinstance(content, dict | list):
        return "a table" if isinstance(content, dict) else "a list"
    return ascii(content)[:MAX_SHOWN]


def _choice(kind: Any, content: Any, where: str) -> Any:
    try:
        return kind(content)
    except ValueError:
        raise InvalidError(where, f"{_shown(content)} is none of {', '.join(kind)}") from None

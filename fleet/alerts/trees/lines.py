"""Where in a tree's text a fault stands, so that whoever edits it finds the line. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from fleet.alerts.trees.tree import faults
from fleet.errors import InvalidError

MOST_CHARACTERS = 64 * 1024
_VERSION = re.compile(r"^version:[ \t]*[0-9]+", re.MULTILINE | re.ASCII)
_NAMED = re.compile(r"(?P<name>[^:>]+?)(?:: | > )")
_UNKNOWN = re.compile(r"has unknown ['\"]?(?P<name>[^,'\"]+)")
_TOLD = re.compile(r"no YAML: .*?\bline (?P<line>[0-9]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the line (from 1) where it stands, None where the text cannot tell; what it is about, and why."""

    line: int | None
    where: str
    detail: str


def located(text: str) -> list[Fault]:
    """All that is wrong with a tree, each with its line, in the order of the lines; empty when it can count."""
    found = faults(text)
    if not found:
        return []
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader) if len(text) <= MOST_CHARACTERS else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        detail = " ".join(filter(None, (error.context, error.problem)))
        return [Fault(None if mark is None else mark.line + 1, "YAML", detail)]
    except (yaml.YAMLError, ValueError, RecursionError):
        root = None
    made = [Fault(_line(root, fault), fault.field, fault.detail) for fault in found]
    return sorted(made, key=lambda fault: fault.line or 0)


def renumbered(text: str, version: int) -> str:
    """The text with another version."""
    return _VERSION.sub(f"version: {version}", text, count=1)


def _line(root: yaml.Node | None, fault: InvalidError) -> int | None:
    if told := _TOLD.match(fault.detail):
        return int(told["line"])
    return None if root is None else int(_walk(root, _path(fault)).start_mark.line) + 1


def _path(fault: InvalidError) -> str:
    """The place that a fault names; what spans nodes names one of them in its words."""
    named = _NAMED.match(fault.detail) if fault.field == "nodes" else None
    if named is None:
        unknown = _UNKNOWN.search(fault.detail)
        return f"{fault.field}.{unknown['name']}" if unknown else fault.field
    return "start" if named["name"] == "start" else f"nodes.{named['name']}"


def _walk(node: yaml.Node, path: str) -> yaml.Node:
    """The deepest part of the text that the path leads to; its key where it has one."""
    at = node
    while path and isinstance(node, yaml.MappingNode):
        # What a request holds is named without the word `request` between.
        entries = [*node.value, *(each for _, value in node.value for each in _entries(value))]
        fitting = [each for each in entries if _leads(each[0], path)]
        if not fitting:
            break
        at, node = max(fitting, key=lambda each: (each in node.value, len(each[0].value)))
        path = path[len(at.value) + 1 :]
    return at


def _entries(node: yaml.Node) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _leads(key: yaml.Node, path: str) -> bool:
    name = key.value
    return isinstance(key, yaml.ScalarNode) and isinstance(name, str) and (path == name or path.startswith(f"{name}."))


def excerpt(text: str, line: int | None) -> str:
    """The line as it stands, shortened; empty where there is none."""
    rows: Sequence[str] = text.splitlines()
    return rows[line - 1].strip()[:120] if line is not None and 0 < line <= len(rows) else ""

"""YAML from strangers as plain tables, lists, texts, numbers and truth values: never slow, never larger than it was."""

from __future__ import annotations

from typing import Any

import yaml

from fleet.errors import InvalidError
from fleet.state.texts import CIVIL_NUMBER, looks_like_cpr

MAX_DEPTH = 20


class _Refused(yaml.YAMLError):
    """What no tree needs."""


class _Loader(yaml.SafeLoader):
    """Without what makes much of little: anchors and aliases, and nesting without end."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _Refused(f"line {event.start_mark.line + 1}: anchors (&) and aliases (*) are not taken")
        if self.depth >= MAX_DEPTH:
            raise _Refused(f"line {event.start_mark.line + 1}: nested deeper than {MAX_DEPTH}")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def plain_yaml(text: str) -> Any:
    """Read one document; raises InvalidError for `tree` with the line, also for what may not be stored."""
    if looks_like_cpr(text):
        raise InvalidError("tree", CIVIL_NUMBER)
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - it is a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidError("tree", f"no YAML: {' '.join(str(error).split())[:200]}") from None
    except (ValueError, ArithmeticError) as error:
        # A date that is none, a number of another base: the loader's own conversions.
        raise InvalidError("tree", f"holds a value that cannot be read: {str(error)[:100]}") from None

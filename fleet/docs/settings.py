"""docs/reference/settings.md, from the fields of `Settings`."""

from __future__ import annotations

import types
from enum import StrEnum
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fleet.config import PREFIX, Settings
from fleet.docs.markdown import code, document, table

INTRODUCTION = """
Read from the environment, then `.env`, then the TOML file given with `--config` (there, `http_port` and
`FLEET_HTTP_PORT` are both names), then the default. An unknown `FLEET_` name or a bad value stops the start with a
line that names it. Secrets are never printed.
"""
_WORDS = {int: "whole number", str: "text", Path: "path", SecretStr: "secret text", float: "number", bool: "yes or no"}


def page(model: type[Settings] = Settings) -> str:
    """The page."""
    rows = [
        (code(PREFIX + name.upper()), _kind(field), _default(name, field), field.description or "")
        for name, field in model.model_fields.items()
    ]
    return document("Settings", INTRODUCTION, table(("name", "kind", "default", "meaning"), rows))


def _kind(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if get_origin(kind) in (types.UnionType, Union):
        (kind,) = (choice for choice in get_args(kind) if choice is not type(None))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "one of " + ", ".join(code(choice.value) for choice in kind)
    return _WORDS[kind]


def _default(name: str, field: FieldInfo) -> str:
    if name == "data_dir":
        return "`/var/lib/fleet` for root, else `~/.local/share/fleet`"
    if field.default is None:
        return "none"
    if field.default is PydanticUndefined:
        return "required"
    return code(str(field.default))

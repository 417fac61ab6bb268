"""docs/reference/cli.md, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from fleet.cli import app
from fleet.docs.markdown import code, document, table
from simulator.cli import app as simulator_app

INTRODUCTION = """
Exit codes: 0 done, 1 a finding or a failed expectation, 2 wrong use. Errors are one line on stderr; `--debug` before
the command shows the traceback. Settings come from the environment, see [settings](settings.md).
"""


def page() -> str:
    """The page."""
    parts = []
    for name, program in (("fleet", get_command(app)), ("simulator", get_command(simulator_app))):
        parts += [_section(path, command) for path, command in walk(name, program)]
    return document("Command line", INTRODUCTION, *parts)


def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command and everything below it, with the words that lead to it."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(f"{path} {name}", inner)


def _section(path: str, command: Any) -> str:
    parts = [f"## {path}", (command.help or "").strip()]
    inner = [
        (code(f"{path} {name}"), each.get_short_help_str(200))
        for name, each in getattr(command, "commands", {}).items()
    ]
    if inner:
        parts.append(table(("command", "does"), inner))
    rows = [_parameter(parameter) for parameter in command.params if not _is_help(parameter)]
    if rows:
        parts.append(table(("argument or option", "default", "meaning"), rows))
    return "\n\n".join(parts)


def _is_help(parameter: Any) -> bool:
    return "--help" in parameter.opts


def _parameter(parameter: Any) -> tuple[str, str, str]:
    is_option = parameter.param_type_name == "option"
    name = ", ".join(parameter.opts) if is_option else (parameter.metavar or parameter.name.upper())
    choices = parameter.type_descriptor.choices if parameter.type_descriptor.is_choice else None
    meaning = getattr(parameter, "help", None) or ""
    if choices:
        meaning += " One of " + ", ".join(code(str(getattr(c, "value", c))) for c in choices) + "."
    if getattr(parameter, "envvar", None):
        meaning += f" Also {code(str(parameter.envvar))}."
    return code(name), _default(parameter), meaning.strip()


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default is None or isinstance(default, bool) or callable(default):
        return ""
    return code(str(getattr(default, "value", default)))

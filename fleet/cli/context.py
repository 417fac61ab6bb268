"""Options before the command, and the settings they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet import __version__
from fleet.config import Settings, load_settings
from fleet.log import configure_logging

debug = False
_config: Path | None = None


def _version(value: bool) -> None:
    if value:
        print(f"fleet {__version__}")
        raise typer.Exit


def options(
    config: Annotated[Path | None, typer.Option(help="Settings as TOML.", show_default=False)] = None,
    debug_: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run and administer the fleet server."""
    global debug, _config
    debug, _config = debug_, config


def settings(role: str) -> Settings:
    """Read the settings and set up logging for `role`."""
    loaded = load_settings(_config)
    configure_logging(loaded, role=role)
    return loaded

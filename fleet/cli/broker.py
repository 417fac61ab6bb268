"""`fleet broker …`: passwords of tablets in bulk, the broker's own file, and how far the broker is with the books."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Annotated

import typer

from fleet.cli import context
from fleet.cli.admin import AsJson
from fleet.cli.database import Connection, actor, with_database
from fleet.embedded.files import write_private
from fleet.errors import UnavailableError, UsageError
from fleet.updates.credentials import bulk, store
from fleet.updates.credentials.passwords import Envelope
from fleet.updates.credentials.store import Standing

broker_app = typer.Typer(help="Who may enter the broker: passwords of tablets.", no_args_is_help=True)

ONE_OF = "give either --kits or --missing"


@broker_app.command("credentials")
def credentials(
    out: Annotated[Path, typer.Argument(metavar="OUT.csv", help="File for the passwords; must not exist.")],
    kits: Annotated[
        str | None,
        typer.Option(help="Ids of kits, separated by commas; passwords they have are replaced.", show_default=False),
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Every kit that has no password that counts.")] = False,
    organisation: Annotated[
        str | None, typer.Option(help="With --missing: only its kits and those below it.", show_default=False)
    ] = None,
    by_file: Annotated[
        bool, typer.Option("--by-file", help="With --missing: the broker gets them by `fleet broker config`.")
    ] = False,
) -> None:
    """Give kits new passwords and write them down, once: kit, client_id, username, password."""
    if (kits is None) != missing or (not missing and (organisation is not None or by_file)):
        raise UsageError(f"{ONE_OF}; --organisation and --by-file go with --missing only")
    envelope = None if by_file else _envelope()

    async def work(connection: Connection) -> int:
        chosen = _named(kits) if kits is not None else None
        wanted = await store.count_without(connection, organisation) if chosen is None else len(chosen)
        if wanted > bulk.MOST_TOLD and not by_file:
            raise UsageError(f"{wanted} are too many to enter one by one, {bulk.MOST_TOLD} at most: use --by-file")
        batches = bulk.missing(connection, organisation) if chosen is None else bulk.named(chosen)
        with _private(out) as file:
            return await bulk.issue_many(connection, batches, file, by=actor(), envelope=envelope)

    count = with_database(work)
    rest = "write the broker's file with fleet broker config" if by_file else "the worker enters them"
    print(f"{count} passwords in {out}: hand them to the tablets, then delete the file; {rest}")


@broker_app.command("config")
def config(
    out: Annotated[Path, typer.Argument(metavar="OUT.json", help="The file to write; one that exists is replaced.")],
) -> None:
    """Write the file of Mosquitto's dynamic security: every kit, and our accounts.

    Ours are as FLEET_MQTT_URL and FLEET_MQTT_ADMIN_URL have them.

    Stop the broker, put the file in place of its own, give it to the broker's user, start the broker.
    """

    async def work(connection: Connection) -> int:
        made = await bulk.broker_file(connection, context.settings("admin"))
        try:
            write_private(out, json.dumps(made, indent=1) + "\n")
        except OSError as error:
            raise UsageError(f"{out}: {error.strerror}") from None
        return len(made["clients"])

    print(f"{with_database(work)} accounts in {out}")


@broker_app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show what the broker has not been told yet."""

    async def work(connection: Connection) -> Standing:
        return await store.standing(connection)

    found = with_database(work)
    if as_json:
        print(json.dumps(asdict(found)))
        return
    print(f"to be let in       {found.entering}")
    print(f"to be shut out     {found.leaving}")
    print(f"for its file       {found.for_file}")
    print(f"oldest waits       {found.oldest_s:.0f} s")
    if found.problem:
        print(f"last problem       {found.problem}")


def _named(text: str) -> list[str]:
    kits = [part.strip() for part in text.split(",") if part.strip()]
    if not kits or len(set(kits)) < len(kits):
        raise UsageError("--kits takes ids, each once, separated by commas")
    return kits


def _envelope() -> Envelope:
    key = context.settings("admin").secret_key
    if key is None:
        raise UnavailableError("FLEET_SECRET_KEY is not set: give it the worker's, or use --by-file")
    return Envelope(key.get_secret_value())


@contextmanager
def _private(path: Path) -> Iterator[IO[str]]:
    """A new file that only its owner reads."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        yield file

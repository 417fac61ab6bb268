"""`commands`: what a tablet is asked to do, and what it answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, ReadTelemetry, requires
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Answer, Body, KitPath, Moment, Page, PageQuery, decode_cursor, page
from fleet.protocol.topics import COMMAND_ID
from fleet.updates import commands

router = APIRouter(prefix=PREFIX, tags=["commands"])

SendCommands = Annotated[Call, requires(Permission.COMMANDS_SEND)]

Name = Literal["ping", "diagnostics", "locate", "reboot", "repair_pairing"]
State = Literal["pending", "sent", "replied", "failed", "expired"]
CommandPath = Annotated[str, Path(pattern=f"^{COMMAND_ID.pattern}$", examples=["5f0d3c1e-6f0a-4c9e-9d1b-3f6f3a5c2b11"])]


class NewCommand(Body):
    """A command to send; `ping` has the tablet report software, pairing and a heartbeat at once."""

    name: Name
    arguments: dict[str, Any] = Field(default_factory=dict, max_length=50, description="2,048 bytes as JSON, at most")
    expires_in_s: int = Field(
        commands.DEFAULT_EXPIRY_S,
        ge=commands.MIN_EXPIRY_S,
        le=commands.MAX_EXPIRY_S,
        description="After so many seconds the tablet shall not do it any more",
    )


class Command(Answer):
    """A command and how far it has come.

    `delivery` is what the broker said to the last attempt; `no_subscriber` is tried again until it expires. `failed` is
    a reply with an error (`reply_status`), or a refusal of the broker.
    """

    id: str
    kit: str
    name: Name
    arguments: dict[str, Any]
    requested_by: str
    requested_at: Moment
    expires_at: Moment
    state: State
    delivery: Literal["taken", "no_subscriber", "refused"] | None
    attempts: int
    attempted_at: Moment | None
    sent_at: Moment | None
    replied_at: Moment | None
    reply_status: Literal["ok", "error"] | None
    result: Any


class CommandQuery(PageQuery):
    """Filters of the commands of a kit."""

    state: State | None = None


@router.post("/kits/{kit}/commands", status_code=201, responses=documented(404, 409), response_model=Command)
async def send_command(
    call: SendCommands, request: Request, kit: KitPath, body: NewCommand, key: idempotency.Key = None
) -> Response:
    """Ask the tablet of a kit for something; it is sent within a second and tried until it expires."""

    async def work() -> Command:
        new = commands.NewCommand(commands.CommandName(body.name), body.arguments, body.expires_in_s)
        return _command(await commands.ask(call.connection, kit, new, by=call.principal))

    return await idempotency.once(request, call, key, work, status=201, headers=_created)


@router.get("/kits/{kit}/commands", responses=documented(404))
async def list_commands(call: ReadTelemetry, kit: KitPath, query: Annotated[CommandQuery, Query()]) -> Page[Command]:
    """Commands of a kit, the newest first."""
    before = decode_cursor(query.cursor, datetime, str)
    found = await commands.list_commands(
        call.connection,
        kit,
        state=query.state,
        before=None if before is None else (before[0], before[1]),
        limit=query.limit + 1,
    )
    kept, cursor = page(found, query.limit, "requested_at", "command_id")
    return Page(items=[_command(each) for each in kept], next=cursor)


@router.get("/commands/{id}", responses=documented(404))
async def get_command(call: ReadTelemetry, id: CommandPath) -> Command:
    """One command and what became of it."""
    return _command(await commands.find_command(call.connection, id))


def _command(found: commands.Command) -> Command:
    values: dict[str, Any] = {name: getattr(found, name) for name in Command.model_fields if name != "id"}
    return Command(id=found.command_id, **values)


def _created(body: Mapping[str, Any]) -> dict[str, str]:
    return {"Location": f"{PREFIX}/commands/{body['id']}"}

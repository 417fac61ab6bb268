"""`events`: changes as server-sent events."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from fleet import metrics
from fleet.api.auth import FollowEvents
from fleet.api.feed import Feed, Position
from fleet.api.problems import documented, invalid, unavailable
from fleet.api.shapes import PREFIX
from fleet.api.sight import Sight
from fleet.log import get_logger

router = APIRouter(prefix=PREFIX)

SEND_DEADLINE_S = 20.0

_LOG = get_logger("fleet.api.events")


class EventStream(StreamingResponse):
    """A stream whose reader must take each chunk within a deadline: a stalled one is cut off."""

    media_type = "text/event-stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stalled = False

        async def in_time(message: Message) -> None:
            nonlocal stalled
            try:
                async with asyncio.timeout(SEND_DEADLINE_S):
                    await send(message)
            except TimeoutError:
                stalled = True
                raise

        try:
            await super().__call__(scope, receive, in_time)
        except* TimeoutError:
            if not stalled:
                raise
            metrics.EVENT_SUBSCRIBERS_DROPPED.inc()
            _LOG.warning("event stream cut off: its reader takes nothing", deadline_s=SEND_DEADLINE_S)


@router.get(
    "/events",
    tags=["events"],
    response_class=EventStream,
    responses={
        200: {
            "description": "Server-sent events: `event` is the kind of change, `data` a JSON object with `at`,"
            " `kit` and what changed. `ready` comes first; after `reset` too much was missed and everything"
            " must be read again.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **documented(),
    },
)
async def follow_events(
    principal: FollowEvents,
    request: Request,
    last_event_id: Annotated[str | None, Header(max_length=100, description="Resume after this id")] = None,
) -> Any:
    """Follow the changes of what the caller may read; with `Last-Event-ID` from where the stream was left."""
    feed: Feed = request.app.state.feed
    last = None if last_event_id is None else Position.parse(last_event_id)
    if last_event_id is not None and last is None:
        raise invalid("Last-Event-ID", "is not an id that this stream gave", place="header")
    if not await feed.is_reading():
        raise unavailable("the database cannot be reached; try again")
    if not feed.has_room:
        raise unavailable("too many streams are open or the server is stopping")
    return EventStream(feed.stream(last, Sight.of(principal)), headers={"X-Accel-Buffering": "no"})

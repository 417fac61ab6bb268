"""Answers that are sent piece by piece, to readers who must take each within a deadline."""

from __future__ import annotations

import asyncio

from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from fleet.log import get_logger

SEND_DEADLINE_S = 20.0

_LOG = get_logger("fleet.api")


class Pieces(StreamingResponse):
    """A long answer; a reader that takes nothing for too long is cut off."""

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
            _LOG.warning("answer cut off: its reader takes nothing", path=scope["path"], deadline_s=SEND_DEADLINE_S)

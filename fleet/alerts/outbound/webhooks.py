"""Sending to a webhook: one message after the other, signed; the first that is not taken holds up those behind it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from http import HTTPStatus

from fleet import metrics
from fleet.alerts.outbound import queue
from fleet.alerts.outbound.posting import Answer, Failure
from fleet.alerts.outbound.queue import Outlet, Refusal, Waiting
from fleet.alerts.outbound.sealing import headers
from fleet.alerts.outbound.work import Work

BATCH = 20
"""Messages sent between two notes of what was taken; a process that dies sends so many again, at most."""
SLICE_S = 15.0
"""How long one job sends before others get their turn."""


async def deliver(work: Work, outlet: Outlet) -> None:
    """Send what waits, in order, for a while; raises TryLaterError when it is not taken."""
    keys = _keys(work, outlet)
    until = time.monotonic() + SLICE_S
    while work.going() and time.monotonic() < until:
        async with work.pool.connection() as connection:
            batch = await queue.waiting(connection, outlet.outlet_id, BATCH)
        if not batch:
            return
        if not keys:
            raise await work.failed(outlet, batch[:1], Refusal("the secret cannot be read: FLEET_SECRET_KEY changed"))
        await _send_batch(work, outlet, keys, batch)


async def _send_batch(work: Work, outlet: Outlet, keys: list[bytes], batch: list[Waiting]) -> None:
    done: list[Waiting] = []
    refusal: Refusal | None = None
    for each in batch:
        if not work.going():
            break
        refusal = await _send(work, outlet, keys, each)
        if refusal is not None:
            break
        done.append(each)
    async with work.pool.connection() as connection:
        await queue.taken(connection, outlet, done, datetime.now(UTC), HTTPStatus.OK)
    if refusal is not None:
        raise await work.failed(outlet, [batch[len(done)]], refusal)


async def _send(work: Work, outlet: Outlet, keys: list[bytes], message: Waiting) -> Refusal | None:
    body = json.dumps(message.payload, separators=(",", ":"), ensure_ascii=False).encode()
    signed = headers(message.message_id, datetime.now(UTC), body, keys)
    with metrics.DELIVERY_SECONDS.labels(outlet.kind).time():
        answer = await work.poster.send(
            "POST", outlet.url or "", headers={"content-type": "application/json", **signed}, body=body
        )
    return judge(answer)


def judge(answer: Answer | Failure) -> Refusal | None:
    """What an answer means; None when the message was taken. 410 means that nothing is wanted any more."""
    if isinstance(answer, Failure):
        return Refusal(answer.reason)
    if answer.ok:
        return None
    return Refusal(
        f"answered {answer.status}",
        status=answer.status,
        retry_after_s=answer.retry_after_s,
        gone=answer.status == HTTPStatus.GONE,
    )


def _keys(work: Work, outlet: Outlet) -> list[bytes]:
    purpose = work.purpose(outlet)
    opened = [work.open(sealed, purpose) for sealed in (outlet.secret, outlet.previous_secret)]
    return [key for key in opened if key is not None]

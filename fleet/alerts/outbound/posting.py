"""One HTTP request to somebody else's server: bounded in time and size, followed nowhere, told without its contents."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from urllib.parse import urlsplit

import httpcore

from fleet import __version__
from fleet.alerts.outbound.reach import GuardedBackend, Reach, RefusedError, bad_url

CONNECT_S = 5.0
READ_S = 10.0
REQUEST_DEADLINE_S = 20.0
MAX_ANSWER_BYTES = 1024 * 1024
LONGEST_RETRY_AFTER_S = 3600.0
CONNECTIONS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` is cut at the size asked for."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether it was taken."""
        return 200 <= self.status < 300

    @property
    def retry_after_s(self) -> float | None:
        """How long the other side asks us to wait, an hour at most; None when it does not say."""
        return retry_after(self.headers.get("retry-after"), datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer came: why, in words without address or contents."""

    reason: str


class Poster:
    """Sends requests over a bounded number of connections."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._stack = AsyncExitStack()
        self._pools: dict[bool, httpcore.AsyncConnectionPool] = {}

    async def __aenter__(self) -> Poster:
        context = ssl.create_default_context()
        for encrypted in (True, False):
            pool = httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=CONNECTIONS,
                max_keepalive_connections=CONNECTIONS // 2,
                keepalive_expiry=10,
                network_backend=GuardedBackend(self._reach, encrypted=encrypted),
            )
            self._pools[encrypted] = await self._stack.enter_async_context(pool)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        most_bytes: int = 4096,
    ) -> Answer | Failure:
        """One request and its answer, of which `most_bytes` are read; redirects are answers like others."""
        refused = bad_url(url, self._reach)
        if refused is not None:
            return Failure(f"the address {refused}")
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                return await self._send(method, url, headers, body, most_bytes)
        except TimeoutError:
            return Failure(f"no answer within {REQUEST_DEADLINE_S:.0f} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError) as error:
            return Failure(_told(error))

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, most_bytes: int
    ) -> Answer | Failure:
        pool = self._pools[urlsplit(url).scheme == "https"]
        sent = {"host": urlsplit(url).netloc, "user-agent": f"fleet/{__version__}", **headers}
        # The library does not set it by itself.
        sent |= {"content-length": str(len(body))} if body or method in ("POST", "PUT") else {}
        timeouts = {"connect": CONNECT_S, "read": READ_S, "write": READ_S, "pool": REQUEST_DEADLINE_S}
        async with pool.stream(
            method, url, headers=list(sent.items()), content=body, extensions={"timeout": timeouts}
        ) as answer:
            found = bytearray()
            async for chunk in answer.aiter_stream():
                found += chunk
                if len(found) >= most_bytes:
                    break
            told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            return Answer(answer.status, told, bytes(found[:most_bytes]))


def retry_after(value: str | None, now: datetime) -> float | None:
    """The seconds that a `Retry-After` means (RFC 9110, 10.2.3), an hour at most; None when it says nothing."""
    if value is None:
        return None
    if value.strip().isdecimal():
        seconds = float(value) if len(value) < 10 else LONGEST_RETRY_AFTER_S
    else:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _told(error: BaseException) -> str:
    if isinstance(error, httpcore.TimeoutException):
        return "did not answer in time"
    # The library lets no cause through.
    if isinstance(error, ssl.SSLError) or "SSL" in str(error):
        return "the certificate is not valid, or TLS failed"
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, httpcore.ConnectError):
        return "cannot be found or reached"
    return "the connection broke"

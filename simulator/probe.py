"""Is there a broker that speaks MQTT 5? Asked once before a thousand kits ask."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl

import mqtt5

from fleet.protocol.endpoint import Endpoint
from simulator.errors import UnavailableError
from simulator.hub import tls_of
from simulator.wire import NoMqtt5Error, RefusedError, Wire

RETRY_S = 0.2


class _Quiet:
    """Listens to nothing."""

    def opened(self) -> None:
        """No matter."""

    def acknowledged(self, packet_id: int, code: mqtt5.PubAckReasonCode) -> None:
        """No matter."""

    def delivered(self, topic: str, payload: bytes) -> None:
        """No matter."""

    def lost(self, wire: Wire, error: Exception | None) -> None:
        """No matter."""

    def writable(self) -> None:
        """No matter."""


async def probe(endpoint: Endpoint, *, limit_s: float = 10.0) -> None:
    """Return when the broker greets in MQTT 5; raises UnavailableError in one line when it does not.

    A refusal by name or password is no obstacle: kits may have names of their own.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + limit_s
    reason = "no answer"
    while True:
        try:
            async with asyncio.timeout_at(deadline_s):
                await _greet(endpoint)
            return
        except RefusedError:
            return
        except (NoMqtt5Error, ssl.SSLError) as error:
            raise UnavailableError(f"{endpoint}: {_told(error)}") from None
        except OSError as error:
            reason = _told(error) or reason
        if loop.time() >= deadline_s - RETRY_S:
            raise UnavailableError(f"{endpoint}: no MQTT 5 broker answers: {reason}")
        await asyncio.sleep(RETRY_S)


def _told(error: OSError) -> str:
    if isinstance(error, NoMqtt5Error):
        return f"{error}; the simulator needs it"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


async def _greet(endpoint: Endpoint) -> None:
    hello = mqtt5.ConnectPacket(
        f"simulator-probe-{secrets.token_hex(4)}",
        username=endpoint.username,
        password=endpoint.password.encode() if endpoint.password else None,
        clean_start=True,
        keep_alive=10,
    )
    wire = Wire(hello.write(), _Quiet())
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: wire, endpoint.host, endpoint.port, ssl=tls_of(endpoint)
        )
        await wire.ready
        wire.close()
    except BaseException:
        wire.abort()
        raise

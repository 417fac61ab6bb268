"""A broker of our own on loopback: a private Mosquitto where one is installed, else rumqttd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from fleet.embedded.accounts import Account, hand_over, service_account
from fleet.embedded.files import make_folder
from fleet.embedded.ports import LOOPBACK, PortBook
from fleet.embedded.process import Command, finish, start, wait_for
from fleet.errors import UnavailableError

MESSAGE_LIMIT_BYTES = 64 * 1024
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin", "/opt/homebrew/bin")

# Nothing queued is ever thrown away, and what is queued is on disk five seconds later.
_MOSQUITTO = f"""\
listener {{port}} {LOOPBACK}
allow_anonymous true
persistence true
autosave_interval 5
max_queued_messages 0
max_inflight_messages 65535
message_size_limit {MESSAGE_LIMIT_BYTES}
max_packet_size {2 * MESSAGE_LIMIT_BYTES}
set_tcp_nodelay true
connection_messages false
log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S%z
"""

# Small segments silently drop what a slow consumer has not read yet.
_RUMQTTD = """\
id = 0

[router]
id = 0
max_connections = 20000
max_outgoing_packet_count = 200
max_segment_size = 268435456
max_segment_count = 16
"""
_LISTENER = f"""
[{{version}}.1]
name = "{{version}}"
listen = "{LOOPBACK}:{{port}}"
next_connection_delay_ms = 0

[{{version}}.1.connections]
connection_timeout_ms = 60000
max_payload_size = {MESSAGE_LIMIT_BYTES}
max_inflight_count = 100
dynamic_filters = true
"""


class BrokerKind(StrEnum):
    """Which broker to run; `auto` takes Mosquitto where it is installed."""

    AUTO = "auto"
    MOSQUITTO = "mosquitto"
    RUMQTTD = "rumqttd"


@dataclass(frozen=True, slots=True)
class BrokerUrls:
    """Where a running broker is found; both addresses are one where it speaks both versions on one port."""

    mqtt_url: str
    mqtt5_url: str
    pid: int


@dataclass(frozen=True, slots=True)
class BrokerServer:
    """One broker and how to serve it."""

    kind: BrokerKind
    folder: Path
    ports: tuple[int, int]
    program: str
    account: Account | None = None

    @property
    def mqtt_url(self) -> str:
        """Where MQTT 3.1.1 is spoken (Mosquitto: and 5)."""
        return f"mqtt://{LOOPBACK}:{self.ports[0]}"

    @property
    def mqtt5_url(self) -> str:
        """Where MQTT 5 is spoken."""
        return f"mqtt://{LOOPBACK}:{self.ports[1]}"

    def command(self) -> Command:
        """Runs the broker in the foreground; SIGTERM stops it (Mosquitto: and saves everything)."""
        if self.kind is BrokerKind.MOSQUITTO:
            # Its configuration and its state are named relative to the folder it works in.
            argv: tuple[str, ...] = (self.program, "-c", "mosquitto.conf")
        else:
            argv = (self.program, "-P", "-m", "fleet.embedded.rumqttd", str(self.folder / "rumqttd.toml"))
        return Command(argv, folder=self.folder, account=self.account, stop=((signal.SIGTERM, 20.0),))

    def is_ready(self) -> bool:
        """Whether it accepts connections in both versions."""
        return _accepts(self.ports[0], 4) and _accepts(self.ports[1], 5)

    async def wait_ready(self, deadline_s: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Return when it accepts; raises UnavailableError at the deadline or when `alive` says no."""
        await asyncio.to_thread(self._await_ready, deadline_s, alive)

    def _await_ready(self, deadline_s: float, alive: Callable[[], bool]) -> None:
        if not wait_for(lambda: self.is_ready() or not alive(), deadline_s, 0.05):
            raise UnavailableError(f"the broker {self.kind} did not answer within {deadline_s:.0f} s")
        if not alive():
            raise UnavailableError(f"the broker {self.kind} ended at start")


def prepare(data_dir: Path, kind: BrokerKind = BrokerKind.AUTO) -> BrokerServer:
    """Make a broker with its state below `data_dir` ready to be served.

    Raises UnavailableError with one clear line when `kind` is not installed.
    """
    make_folder(data_dir)
    mosquitto = _mosquitto()
    if kind is BrokerKind.MOSQUITTO and mosquitto is None:
        raise UnavailableError("mosquitto is not installed: install its package, or use --broker rumqttd")
    ports = PortBook(data_dir / "ports.json")
    if mosquitto is not None and kind is not BrokerKind.RUMQTTD:
        port = ports.take("mosquitto")
        return _configured_mosquitto(data_dir / "mosquitto", mosquitto, port)
    return _configured_rumqttd(data_dir / "rumqttd", (ports.take("rumqttd"), ports.take("rumqttd5")))


@contextlib.contextmanager
def start_temporary(directory: Path, kind: BrokerKind | str = BrokerKind.AUTO) -> Iterator[BrokerUrls]:
    """A throw-away broker with its state in `directory`."""
    server = prepare(directory, BrokerKind(kind))
    with (directory / "broker.log").open("ab") as log:
        process = start(server.command(), log)
    try:
        server._await_ready(30.0, lambda: process.poll() is None)
        yield BrokerUrls(server.mqtt_url, server.mqtt5_url, process.pid)
    finally:
        finish(process, server.command().stop)


def _mosquitto() -> str | None:
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), *_PLACES)))


def _configured_mosquitto(folder: Path, program: str, port: int) -> BrokerServer:
    account = service_account(folder)
    make_folder(folder)
    hand_over(folder, account)
    config = folder / "mosquitto.conf"
    config.write_text(_MOSQUITTO.format(port=port))
    config.chmod(0o644)
    return BrokerServer(BrokerKind.MOSQUITTO, folder, (port, port), program, account)


def _configured_rumqttd(folder: Path, ports: tuple[int, int]) -> BrokerServer:
    if find_spec("iotcore") is None:
        raise UnavailableError(
            "no broker is installed: install mosquitto, or pip install 'telekit-fleet[embedded]', or set FLEET_MQTT_URL"
        )
    make_folder(folder)
    listeners = (
        _LISTENER.format(version=version, port=port) for version, port in zip(("v4", "v5"), ports, strict=True)
    )
    (folder / "rumqttd.toml").write_text(_RUMQTTD + "".join(listeners))
    return BrokerServer(BrokerKind.RUMQTTD, folder, ports, sys.executable)


def _accepts(port: int, version: int) -> bool:
    """Whether an MQTT CONNECT of that protocol version is answered by a CONNACK with success."""
    properties = b"\x00" if version == 5 else b""
    # A name of its own each time: rumqttd can break down over one that comes again before it is gone.
    name = f"probe-{secrets.token_hex(8)}".encode()
    body = b"\x00\x04MQTT" + bytes((version, 2, 0, 10)) + properties + bytes((0, len(name))) + name
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(bytes((0x10, len(body))) + body)
            answer = connection.recv(4)
            connection.sendall(b"\xe0\x00")
    except OSError:
        return False
    return len(answer) == 4 and answer[0] == 0x20 and answer[3] == 0

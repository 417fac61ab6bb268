"""A Mosquitto with dynamic security on which only those may enter whom the books let in."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from fleet.config import Settings
from fleet.embedded.ports import LOOPBACK, free_port
from fleet.embedded.process import wait_for
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.topics import Topics
from fleet.updates.credentials.dynsec import ADMIN_ROLE, SERVER_ROLE, Account, KitEntry, document
from fleet.updates.credentials.passwords import hash_password
from tests.servers import mosquitto

KEY = "a key of forty characters for tests only"
_PLUGIN = "mosquitto_dynamic_security.so"
_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")


def plugin() -> Path | None:
    """Where the plugin is installed, if it is."""
    for folder in _FOLDERS:
        found = next(iter([*Path(folder).glob(_PLUGIN), *Path(folder).glob(f"*/{_PLUGIN}")]), None)
        if found is not None:
            return found
    return None


def installed() -> bool:
    """Whether there is a Mosquitto with the plugin."""
    return mosquitto() is not None and plugin() is not None


@dataclass(slots=True)
class GuardedBroker:
    """One broker, with its folder and its process."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        """Where the plugin keeps what it knows."""
        return self.folder / "dynamic-security.json"

    def url(self, user: str) -> str:
        """Its address for one of our accounts, whose password is its name backwards."""
        return f"mqtt://{user}:{user[::-1]}@{LOOPBACK}:{self.port}"

    def settings(self, database: str, **more: Any) -> Settings:
        """Settings of a server that keeps this broker."""
        values = {"database_url": database, "mqtt_url": self.url("server"), "mqtt_admin_url": self.url("admin")}
        return Settings(**{**values, "secret_key": KEY, "data_dir": self.folder / "data", **more})

    def write_file(self, kits: Iterable[KitEntry] = ()) -> None:
        """Begin with our own accounts and these kits."""
        roles = {"admin": (ADMIN_ROLE,), "server": (SERVER_ROLE,)}
        accounts = [Account(name, hash_password(name[::-1]), held) for name, held in roles.items()]
        self.file.write_text(json.dumps(document(Topics(), accounts, list(kits))))

    def start(self) -> None:
        """Start it on the file that is there."""
        program = mosquitto()
        assert program is not None
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"user root\nlistener {self.port} {LOOPBACK}\nallow_anonymous false\nplugin {plugin()}\n"
            f"plugin_opt_config_file {self.file}\nmax_queued_messages 0\nmessage_size_limit 65536\n"
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        wait_for(lambda: self._answers() or self.process is None or self.process.poll() is not None, 10)
        assert self.process.poll() is None, (self.folder / "log").read_text()

    def end(self) -> None:
        """Stop it; what it knows is in its file."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)

    def clients(self) -> dict[str, dict[str, Any]]:
        """What its file says of each client."""
        return {each["username"]: each for each in json.loads(self.file.read_text())["clients"]}

    def _answers(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=1).close()
        except OSError:
            return False
        return True


@contextmanager
def guarded_broker(folder: Path, kits: Iterable[KitEntry] = ()) -> Iterator[GuardedBroker]:
    """A running broker, stopped at the end."""
    folder.mkdir(exist_ok=True)
    broker = GuardedBroker(folder)
    broker.write_file(kits)
    broker.start()
    try:
        yield broker
    finally:
        broker.end()


class Tablet:
    """A connection of a kit; `gone` is set when the broker ends it."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[str] = []
        self.gone = asyncio.Event()

    async def listen(self) -> None:
        """Take what comes until the connection ends."""
        try:
            async for message in self.client.messages:
                self.heard.append(message.topic.value)
        except aiomqtt.MqttError:
            self.gone.set()


def entering(port: int, kit: str, password: str, client_id: str | None = None) -> aiomqtt.Client:
    """A client that enters with a kit's credentials."""
    return aiomqtt.Client(
        LOOPBACK,
        port,
        identifier=client_id or kit,
        username=kit,
        password=password,
        protocol=aiomqtt.ProtocolVersion.V5,
        timeout=5,
    )


@asynccontextmanager
async def tablet(broker: GuardedBroker, kit: str, password: str) -> AsyncIterator[Tablet]:
    """A connected tablet that hears its commands; the end of its connection is no error."""
    client = entering(broker.port, kit, password)
    await client.__aenter__()
    it = Tablet(client)
    listening = asyncio.create_task(it.listen())
    try:
        await client.subscribe(Topics().command(kit, "+"), qos=1)
        yield it
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        try:
            await client.__aexit__(None, None, None)
        except aiomqtt.MqttError:
            it.gone.set()


async def is_let_in(broker: GuardedBroker, kit: str, password: str, client_id: str | None = None) -> bool:
    """Whether the broker takes a connection."""
    try:
        async with entering(broker.port, kit, password, client_id):
            return True
    except aiomqtt.MqttError:
        return False


def endpoint(broker: GuardedBroker, user: str) -> Endpoint:
    """Its address for one of our accounts."""
    return Endpoint.parse(broker.url(user))

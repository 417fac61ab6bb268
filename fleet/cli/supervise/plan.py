"""What runs where: the servers of our own or of others, the ports, and what each role is told."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from fleet.cli.supervise.fetch import answers
from fleet.cli.supervise.supervisor import Alive, Ready, Role
from fleet.config import PREFIX, Settings
from fleet.embedded import broker, postgres
from fleet.embedded.broker import BrokerKind, BrokerServer
from fleet.embedded.files import secret_in
from fleet.embedded.ports import LOOPBACK, PortBook, cannot_listen
from fleet.embedded.postgres import PostgresServer
from fleet.embedded.process import Command
from fleet.errors import UnavailableError, UsageError

_MODULE = (sys.executable, "-P", "-m", "fleet")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything decided before the first process starts."""

    data_dir: Path
    postgres: PostgresServer | None
    broker: BrokerServer | None
    database_url: str
    mqtt_url: str
    mqtt5_url: str
    http_url: str
    metrics_host: str
    metrics_ports: Mapping[str, int]
    environment: Mapping[str, str]

    @property
    def metrics_urls(self) -> dict[str, str]:
        """Where each role shows its metrics."""
        own = {role: f"http://{self.metrics_host}:{port}/metrics" for role, port in self.metrics_ports.items()}
        return {**own, "api": f"{self.http_url}/metrics"}

    def command(self, *arguments: str, stop_within_s: float = 10.0) -> Command:
        """Runs `fleet <arguments>` with the settings of this plan."""
        environment = dict(self.environment)
        if arguments[0] in self.metrics_ports:
            environment["FLEET_METRICS_PORT"] = str(self.metrics_ports[arguments[0]])
        return plain_command(
            *_MODULE, *arguments, environment=environment, folder=self.data_dir, within_s=stop_within_s
        )

    def servers(self) -> list[Role]:
        """PostgreSQL of our own, or none."""
        return [] if self.postgres is None else [_postgres_role(self.postgres)]

    def brokers(self) -> list[Role]:
        """A broker of our own, or none."""
        return [] if self.broker is None else [_broker_role(self.broker)]

    def own_roles(self) -> list[Role]:
        """Ours, in the order of starting."""
        return [
            Role("ingest", lambda: self.command("ingest", stop_within_s=15.0), _answering(self.metrics_urls["ingest"])),
            Role("worker", lambda: self.command("worker"), _answering(self.metrics_urls["worker"])),
            Role("api", lambda: self.command("api", stop_within_s=5.0), _answering(f"{self.http_url}/healthz")),
        ]


def make_plan(settings: Settings, kind: BrokerKind) -> tuple[Plan, list[str]]:
    """Prepare servers and ports; also gives what people should know about it.

    Blocks for about a second on first use. Raises UsageError or UnavailableError with one clear line.
    """
    data_dir = settings.data_dir
    ports = PortBook(data_dir / "ports.json")
    http_port, notes = _http_port(settings, ports)
    database = postgres.prepare(data_dir) if settings.database_url is None else None
    mqtt = broker.prepare(data_dir, kind) if settings.mqtt_url is None else None
    if database is not None and database.replaced is not None:
        notes.append(f"stopped a PostgreSQL left over from an earlier run (process {database.replaced})")
    urls = {
        "database_url": database.url if database else settings.dsn(),
        "mqtt5_url": mqtt.mqtt5_url if mqtt else _external_broker(settings),
    }
    plan = Plan(
        data_dir=data_dir,
        postgres=database,
        broker=mqtt,
        mqtt_url=mqtt.mqtt_url if mqtt else urls["mqtt5_url"],
        http_url=f"http://{_seen(settings.http_host)}:{http_port}",
        metrics_host=_seen(settings.metrics_host),
        metrics_ports={"ingest": ports.take("ingest_metrics"), "worker": ports.take("worker_metrics")},
        environment=_environment(settings, urls["database_url"], urls["mqtt5_url"], http_port),
        **urls,
    )
    return plan, notes


def plain_command(*argv: str, environment: Mapping[str, str], folder: Path, within_s: float = 10.0) -> Command:
    """A program of ours: SIGTERM ends it; it keeps nothing that its sudden end could harm."""
    return Command(
        argv,
        environment,
        folder,
        stop=((signal.SIGTERM, within_s),),
        orphaned=signal.SIGKILL,
    )


def _external_broker(settings: Settings) -> str:
    settings.endpoint()
    assert settings.mqtt_url is not None
    return settings.mqtt_url.get_secret_value()


def _environment(settings: Settings, database_url: str, mqtt_url: str, http_port: int) -> dict[str, str]:
    """Every setting that was given, by its name, so that no role has to find the same files again."""
    values: dict[str, str] = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        values[PREFIX + name.upper()] = str(value.absolute() if isinstance(value, Path) else value)
    values |= {
        "FLEET_DATABASE_URL": database_url,
        "FLEET_MQTT_URL": mqtt_url,
        "FLEET_HTTP_PORT": str(http_port),
        "FLEET_DATA_DIR": str(settings.data_dir),
    }
    values.setdefault("FLEET_SECRET_KEY", secret_in(settings.data_dir / "secret.key"))
    return values


def _http_port(settings: Settings, ports: PortBook) -> tuple[int, list[str]]:
    """The port for the API: the wanted one, or a free one where nobody asked for that very port."""
    wanted = settings.http_port
    if wanted == 0:
        return ports.take("http"), []
    problem = cannot_listen(settings.http_host, wanted)
    if problem is None:
        return wanted, []
    if "http_port" in settings.model_fields_set:
        raise UsageError(f"cannot listen on {settings.http_host} port {wanted}: {problem}; give another --http-port")
    port = ports.take("http")
    return port, [f"port {wanted} is in use: the console is on port {port}"]


def _seen(host: str) -> str:
    """The address under which this machine reaches a server that listens on `host`."""
    seen = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared only
    return f"[{seen}]" if ":" in seen else seen


def _postgres_role(server: PostgresServer) -> Role:
    return Role("postgres", lambda: server.clear().command(), lambda alive: server.wait_ready(60, alive))


def _broker_role(server: BrokerServer) -> Role:
    # rumqttd's parts can break down one by one while its process lives on.
    healthy = server.is_ready if server.kind is BrokerKind.RUMQTTD else None
    return Role("broker", server.command, lambda alive: server.wait_ready(60, alive), healthy=healthy)


def _answering(url: str) -> Ready:
    async def ready(alive: Alive) -> None:
        while not await asyncio.to_thread(answers, url):
            if not alive():
                raise UnavailableError(f"{url} is gone")
            await asyncio.sleep(0.1)

    return ready

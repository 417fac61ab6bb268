"""TLS and passwords, on a Mosquitto: what works, and what a refusal looks like."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import aiomqtt
import pytest

from fleet.config import Settings
from fleet.embedded.ports import LOOPBACK, free_port
from fleet.embedded.process import wait_for
from fleet.protocol.messages import Heartbeat, encode
from fleet.protocol.topics import Kind, Topics
from tests.servers import mosquitto
from tests.support import add_kits, eventually, process, value

pytestmark = pytest.mark.broker
PASSWORD = "p@ss:/w0rd"


@dataclass(frozen=True, slots=True)
class Secured:
    """A broker with TLS on which only `fleet` with its password may do anything."""

    folder: Path
    port: int
    pid: int

    @property
    def ca(self) -> Path:
        """The authority that signed its certificate."""
        return self.folder / "ca.pem"

    def url(self, password: str = PASSWORD) -> str:
        """Its address with credentials, quoted as URLs need it."""
        return f"mqtts://fleet:{quote(password, safe='')}@{LOOPBACK}:{self.port}"

    def set_password(self, password: str) -> None:
        """Change the password; what is connected stays."""
        program = mosquitto("mosquitto_passwd")
        assert program is not None
        _run(program, "-b", "-c", str(self.folder / "passwords"), "fleet", password)


def _run(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def _certificates(folder: Path, name: str) -> None:
    """An authority of its own and a certificate for loopback."""
    subject = ["-subj", f"/CN={name}", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
    _run("openssl", "req", "-x509", *subject, "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem"))
    _run(
        "openssl",
        "req",
        "-new",
        *subject[:2],
        *subject[4:],
        "-keyout",
        str(folder / "key.pem"),
        "-out",
        str(folder / "csr"),
    )
    (folder / "extensions").write_text(f"subjectAltName=IP:{LOOPBACK}\n")
    signing = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial", "-days", "2"]
    files = ["-in", str(folder / "csr"), "-out", str(folder / "cert.pem"), "-extfile", str(folder / "extensions")]
    _run("openssl", "x509", "-req", *signing, *files)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    folder = tmp_path / "secured"
    folder.mkdir()
    _certificates(folder, "test authority")
    port = free_port()
    it = Secured(folder, port, 0)
    it.set_password(PASSWORD)
    (folder / "mosquitto.conf").write_text(
        f"user root\nlistener {port} {LOOPBACK}\nallow_anonymous false\npassword_file {folder}/passwords\n"
        f"certfile {folder}/cert.pem\nkeyfile {folder}/key.pem\nmax_queued_messages 0\n"
    )
    program = mosquitto()
    assert program is not None
    with (folder / "log").open("wb") as log:
        broker = subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(port) or broker.poll() is not None, 10)
        assert broker.poll() is None, (folder / "log").read_text()
        yield Secured(folder, port, broker.pid)
    finally:
        broker.send_signal(signal.SIGTERM)
        broker.wait(timeout=10)


def _answers(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _listening(database: str) -> bool:
    return bool(value(database, "SELECT state = 'listening' FROM listening"))


async def test_tls_and_a_password(secured: Secured, database: str, tmp_path: Path) -> None:
    add_kits(database, "K-1")
    given = {"database_url": database, "mqtt_url": secured.url(), "mqtt_ca_file": str(secured.ca)}
    with process("fleet", "ingest", log=tmp_path / "ingest.log", **given) as ingest:
        await eventually(lambda: _listening(database), 20)
        endpoint = Settings(mqtt_url=secured.url(), mqtt_ca_file=secured.ca).endpoint()
        tablet = aiomqtt.Client(
            endpoint.host,
            endpoint.port,
            username=endpoint.username,
            password=endpoint.password,
            tls_context=endpoint.tls_context(),
            protocol=aiomqtt.ProtocolVersion.V5,
        )
        async with tablet:
            body = encode(Heartbeat(datetime.now(UTC), "b", 1))
            await tablet.publish(Topics().device("K-1", Kind.HEARTBEAT), body, qos=1)
        await eventually(lambda: value(database, "SELECT count(*) FROM heartbeats") == 1)
        said = ingest.output()
    assert PASSWORD not in said
    assert "p%40ss" not in said


async def test_a_wrong_password_is_told_and_tried_again_until_it_is_right(
    secured: Secured, database: str, tmp_path: Path
) -> None:
    given = {"database_url": database, "mqtt_url": secured.url("other"), "mqtt_ca_file": str(secured.ca)}
    with process("fleet", "ingest", log=tmp_path / "ingest.log", **given) as ingest:
        await eventually(lambda: ingest.output().count("broker refused the connection") >= 2, 20)
        assert "Traceback" not in ingest.output()
        secured.set_password("other")
        _run("kill", "-HUP", str(secured.pid))
        await eventually(lambda: _listening(database), 20)
        assert ingest.popen.poll() is None


async def test_a_certificate_nobody_vouches_for_is_refused(secured: Secured, database: str, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    _certificates(stranger, "another authority")
    given = {"database_url": database, "mqtt_url": secured.url(), "mqtt_ca_file": str(stranger / "ca.pem")}
    with process("fleet", "ingest", log=tmp_path / "ingest.log", **given) as ingest:
        await eventually(lambda: ingest.output().count("certificate verify failed") >= 2, 20)
        assert ingest.popen.poll() is None
        assert "Traceback" not in ingest.output()


async def test_a_ca_file_that_is_not_there_is_named(secured: Secured, database: str, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.pem"
    given = {"database_url": database, "mqtt_url": secured.url(), "mqtt_ca_file": str(missing)}
    with process("fleet", "ingest", log=tmp_path / "ingest.log", **given) as ingest:
        await eventually(lambda: str(missing) in ingest.output(), 20, "the file is named")
        assert "Traceback" not in ingest.output()

"""The broker of the stack: its configuration is taken, lossless, and lets tablets write what the protocol has."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleet.cli.examine.entry import examine
from fleet.cli.examine.finding import Level
from fleet.embedded import broker
from fleet.embedded.ports import free_port, is_free
from fleet.embedded.process import wait_for
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.messages import MAX_PAYLOAD_BYTES
from fleet.protocol.topics import Kind, Topics
from fleet.updates.credentials.control import open_control
from fleet.updates.credentials.dynsec import role_acls
from tests import guarded_broker

ROOT = Path(__file__).parents[2]


def mosquitto_settings(text: str) -> dict[str, str]:
    """The options of a mosquitto.conf."""
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return {words[0]: words[1] for words in lines if words[0] not in ("listener", "log_type")}


def test_the_broker_is_lossless_like_the_embedded_one() -> None:
    theirs = mosquitto_settings((ROOT / "deploy/mosquitto/mosquitto.conf").read_text(encoding="utf-8"))
    ours = mosquitto_settings(broker._MOSQUITTO)
    for option in ("persistence", "max_queued_messages", "max_inflight_messages", "message_size_limit"):
        assert theirs[option] == ours[option], option
    assert int(theirs["message_size_limit"]) == 4 * MAX_PAYLOAD_BYTES
    assert theirs["allow_anonymous"] == "false"
    assert "max_queued_bytes" not in theirs


def test_tablets_may_write_exactly_what_the_protocol_has() -> None:
    lines = (ROOT / "deploy/mosquitto/acl").read_text(encoding="utf-8").splitlines()
    written = {line.split()[2] for line in lines if line.startswith("pattern write ")}
    read = {line.split()[2] for line in lines if line.startswith("pattern read ")}
    topics = Topics()
    assert written == {topics.device("%c", kind, "+") for kind in Kind}
    assert read == {topics.desired("%c"), topics.command("%c", "+")}


def mosquitto_files(folder: Path, port: int, tls_port: int) -> None:
    """The files as they are, with only the places changed that a container has and this machine has not."""
    places = {
        "/run/mosquitto": f"{folder}/run",
        "/mosquitto/data/": f"{folder}/data/",
        "/mosquitto/config/": f"{folder}/",
        "/usr/lib/mosquitto_dynamic_security.so": str(guarded_broker.plugin()),
        "listener 1883": f"user root\nlistener {port} 127.0.0.1",
        "listener 8883": f"listener {tls_port} 127.0.0.1",
    }
    for name in ("run", "data", "tls"):
        (folder / name).mkdir()
    for file in ("mosquitto.conf", "start.sh", "acl", "tls/listener"):
        text = (ROOT / "deploy/mosquitto" / file).read_text(encoding="utf-8")
        for place, here in places.items():
            text = text.replace(place, here)
        (folder / file).write_text(text, encoding="utf-8")


@contextmanager
def started_mosquitto(folder: Path, tool: Callable[[str], str], **passwords: str) -> Iterator[None]:
    """The broker by its own script; it must have nothing to complain of."""
    programs = (tool(name) for name in ("mosquitto", "mosquitto_passwd", "mosquitto_ctrl"))
    path = ":".join([*(str(Path(program).parent) for program in programs), "/usr/bin:/bin"])
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", str(folder / "start.sh")], env={"PATH": path, **passwords}, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)
    complaints = [line for line in (folder / "log").read_text().splitlines() if re.search(r"Error|Warning", line)]
    # A container has the broker's own user, a test only the one it is run by; and who is done may just hang up.
    expected = ("should not be run as root", "unexpected eof while reading")
    assert [line for line in complaints if not any(each in line for each in expected)] == []


@pytest.mark.tools
async def test_mosquitto_takes_its_configuration(tool: Callable[[str], str], tmp_path: Path) -> None:
    port = free_port()
    mosquitto_files(tmp_path, port, free_port())
    given = {"MQTT_PASSWORD": "one", "MQTT_ADMIN_PASSWORD": "three"}
    with started_mosquitto(tmp_path, tool, **given, MQTT_TABLET_PASSWORD="two"):
        assert connack(port, b"K-1", b"fleet", b"one") == 0
        assert connack(port, b"K-1", b"tablet", b"two") == 0
        assert connack(port, b"K-1", b"tablet", b"wrong") == 5
        assert connack(port, b"K-1", b"K-1", b"two") == 5
        async with open_control(Endpoint("127.0.0.1", port, username="admin", password="three")) as control:
            found = await examine(Endpoint.parse(f"mqtt://admin:three@127.0.0.1:{port}"), Topics(), None)
            assert {each.level for each in found} == {Level.OK}, found
            acls = role_acls(Topics(), "K-1")
            who = {"username": "K-1", "password": "four", "clientid": "K-1", "roles": [{"rolename": "kit:K-1"}]}
            orders = (
                {"command": "createRole", "rolename": "kit:K-1", "acls": acls},
                {"command": "createClient", **who},
            )
            await control.order(orders)
    # What the plugin was told outlives the broker; without a password the shared account is no more.
    with started_mosquitto(tmp_path, tool, **given):
        assert connack(port, b"K-1", b"K-1", b"four") == 0
        assert connack(port, b"K-2", b"K-1", b"four") == 5
        assert connack(port, b"K-1", b"tablet", b"two") == 5


@pytest.mark.tools
def test_mosquitto_listens_over_tls_where_there_is_a_certificate(tool: Callable[[str], str], tmp_path: Path) -> None:
    port, tls_port = free_port(), free_port()
    mosquitto_files(tmp_path, port, tls_port)
    certificate, key = str(tmp_path / "tls/server.crt"), str(tmp_path / "tls/server.key")
    making = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=broker.test"]
    subprocess.run([*making, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=30)
    with started_mosquitto(tmp_path, tool, MQTT_PASSWORD="one", MQTT_ADMIN_PASSWORD="three"):
        assert connack(port, b"K-1", b"fleet", b"one") == 0
        context = ssl.create_default_context(cafile=certificate)
        context.check_hostname = False
        with socket.create_connection(("127.0.0.1", tls_port), 5) as plain, context.wrap_socket(plain) as secured:
            assert (secured.version() or "") >= "TLSv1.2"


def connack(port: int, client: bytes, user: bytes, password: bytes) -> int:
    """The return code of an MQTT 3.1.1 CONNECT, as soon as the broker listens."""
    assert wait_for(lambda: not is_free(port), 10.0, 0.05), "nobody listens"
    text = b"".join(len(part).to_bytes(2, "big") + part for part in (client, user, password))
    body = b"\x00\x04MQTT\x04\xc2\x00\x0a" + text
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(bytes((0x10, len(body))) + body)
        answer = connection.recv(4)
        assert answer[:2] == b"\x20\x02"
        return answer[3]

"""One request to somebody else's server: certificates, deadlines, what is told of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleet.alerts.outbound import posting
from fleet.alerts.outbound.posting import Answer, Failure, Poster
from fleet.alerts.outbound.reach import Reach
from tests.receiver import Reply, Taken, receiving

HERE = Reach.parse("127.0.0.0/8")


def self_signed(folder: Path) -> ssl.SSLContext:
    """The context of a server whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, *secret)
    (folder / "both.pem").write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


@asynccontextmanager
async def shouting(context: ssl.SSLContext | None, said: bytes) -> AsyncIterator[int]:
    """A server that says the same to everybody; gives its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context, family=socket.AF_INET) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with shouting(self_signed(tmp_path), b"HTTP/1.1 200 OK\r\n\r\n") as port, Poster(HERE) as poster:
        answer = await poster.send("POST", f"https://localhost:{port}/", headers={}, body=b"{}")
    assert answer == Failure("the certificate is not valid, or TLS failed")


@pytest.mark.parametrize(
    "said", [b"", b"hello", b"HTTP/1.1 banana\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_what_is_no_answer_is_a_failure(said: bytes) -> None:
    async with shouting(None, said) as port, Poster(HERE) as poster:
        answer = await poster.send("POST", f"http://127.0.0.1:{port}/", headers={}, body=b"{}")
    assert answer == Failure("the connection broke")


async def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "REQUEST_DEADLINE_S", 0.2)

    async def never(_: Taken) -> Reply:
        await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=1)
        return Reply()

    async with receiving(answer=never) as there, Poster(HERE) as poster:
        answer = await poster.send("POST", there.url, headers={}, body=b"{}")
    assert isinstance(answer, Failure)
    assert answer.reason.startswith("no answer within")


async def test_a_name_that_leads_home_is_refused() -> None:
    async with receiving() as there, Poster(Reach()) as poster:
        port = there.url.rpartition(":")[2]
        answer = await poster.send("POST", f"https://localhost:{port}/", headers={}, body=b"{}")
        assert answer == Failure("leads to an address that is not public")
        assert there.taken == []


async def test_headers_and_body_arrive_as_they_were_sent() -> None:
    async with receiving(answer=lambda _: Reply(202, {"x-thing": "1"}, b"y" * 100)) as there, Poster(HERE) as poster:
        answer = await poster.send("PUT", there.url + "/a?b=c", headers={"x-own": "2"}, body=b'{"a":1}', most_bytes=10)
        (taken,) = there.taken
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers["x-thing"], answer.body) == (202, "1", b"y" * 10)
    assert (taken.method, taken.path, taken.query, taken.headers["x-own"]) == ("PUT", "/a", "b=c", "2")
    assert taken.body == b'{"a":1}'
    assert taken.headers["user-agent"].startswith("fleet/")

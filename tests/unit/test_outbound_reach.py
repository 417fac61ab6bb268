"""Where outlets may lead: never into our own network, whatever form the address has."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import httpcore
import pytest

from fleet.alerts.outbound.posting import retry_after
from fleet.alerts.outbound.reach import GuardedBackend, Reach, RefusedError, allowed_addresses, bad_url

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CLOSED = Reach()
OPEN = Reach.parse("10.20.0.0/16, 127.0.0.0/8, 169.254.0.0/16")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert CLOSED.why_not(address) is not None


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_what_is_public_may_be_reached(address: str) -> None:
    assert CLOSED.why_not(address) is None


def test_a_setting_opens_networks_but_never_link_local_ones() -> None:
    assert OPEN.why_not("10.20.3.4") is None
    assert OPEN.why_not("::ffff:10.20.3.4") is None
    assert OPEN.why_not("10.21.3.4") is not None
    assert OPEN.why_not("169.254.169.254") is not None


def test_our_own_address_is_refused_even_where_it_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "bind", lambda *_: None)
    assert CLOSED.why_not("1.1.1.1") == "leads to this server itself"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.dk/",
        "http://example.dk/",
        "https://",
        "https://user:pass@example.dk/",
        "https://example.dk/#part",
        "https://example.dk:99999/",
        "https://exa mple.dk/",
        "https://exämple.dk/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://" + "a" * 1000 + ".dk/",
        "file:///etc/passwd",
    ],
)
def test_a_url_that_tells_by_itself_is_refused(url: str) -> None:
    assert bad_url(url, CLOSED) is not None


def test_urls() -> None:
    assert bad_url("https://example.dk/hook?a=1", CLOSED) is None
    assert bad_url("http://10.20.0.1:8080/hook", OPEN) is None
    assert bad_url("http://10.21.0.1:8080/hook", OPEN) is not None


async def test_plain_http_goes_only_where_a_setting_says_so() -> None:
    assert await allowed_addresses("127.0.0.1", 80, OPEN, encrypted=False) == ["127.0.0.1"]
    with pytest.raises(RefusedError, match="https"):
        await allowed_addresses("1.1.1.1", 80, OPEN, encrypted=False)


async def test_what_is_refused_is_not_connected_to() -> None:
    backend = GuardedBackend(CLOSED, encrypted=True)
    with pytest.raises(httpcore.ConnectError, match="not public"):
        await backend.connect_tcp("localhost", 80, 1)
    with pytest.raises(httpcore.ConnectError):
        await backend.connect_unix_socket("/run/postgresql")


def test_wishes_to_wait_are_bounded() -> None:
    assert retry_after(None, NOW) is None
    assert retry_after("120", NOW) == 120
    assert retry_after("99999999999999", NOW) == 3600
    assert retry_after("Wed, 25 Nov 2026 12:01:00 GMT", NOW) == 60
    assert retry_after("Wed, 25 Nov 2026 11:00:00 GMT", NOW) == 0
    assert retry_after("soon", NOW) is None


@pytest.mark.parametrize("path", ["citizen/010190-1234", "citizen/010190%2D1234", "?who=01%2F01%2F90-1234"])
def test_an_address_names_no_citizen(path: str) -> None:
    assert "civil registration number" in (bad_url(f"https://hooks.example/{path}", CLOSED) or "")

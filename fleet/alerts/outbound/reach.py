"""Where we let ourselves be sent: an address that somebody enters must not lead into our own network (SSRF).

Names are resolved here and the very address that was judged is connected to, so a name that changes between the look
and the call leads nowhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore
from httpcore import AsyncNetworkBackend, AsyncNetworkStream

from fleet.state.texts import CIVIL_NUMBER, looks_like_cpr

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(each)
    for each in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32", "0.0.0.0/8", "::/128")
)
"""Link-local addresses and those at which clouds tell a machine its own secrets; no setting opens them."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
MAX_URL = 1000


class RefusedError(httpcore.ConnectError):
    """The address is none that we may be sent to; the text says why, without the address of anything of ours."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be reached beyond the public internet: `networks`, there over http:// too."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Reach:
        """Read networks separated by commas; raises ValueError naming what is none."""
        return cls(tuple(ipaddress.ip_network(part) for each in text.split(",") if (part := each.strip())))

    def why_not(self, address: str) -> str | None:
        """Why an address may not be connected to; None when it may."""
        inner = _inner(ipaddress.ip_address(address.partition("%")[0]))
        if _in(inner, _NEVER):
            return "leads to a link-local address"
        if _in(inner, self.networks):
            return None
        if not inner.is_global or inner.is_multicast:
            return "leads to an address that is not public"
        return "leads to this server itself" if _is_own(inner) else None

    def opens(self, address: str) -> bool:
        """Whether an address lies in one of the networks named."""
        return _in(_inner(ipaddress.ip_address(address.partition("%")[0])), self.networks)


def bad_url(url: str, reach: Reach) -> str | None:
    """Why a URL can be no outlet's, as far as it tells by itself; None when it may be."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no URL"
    if len(url) > MAX_URL or not url.isascii() or any(sign.isspace() for sign in url):
        return f"is no URL of at most {MAX_URL} plain characters"
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        return "must start with https:// and a host"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "holds a user, a password or a fragment; leave it out"
    if parts.scheme == "http" and not reach.networks:
        return "must start with https://"
    return CIVIL_NUMBER if looks_like_cpr(unquote(url)) else _bad_host(parts.hostname, reach)


def _bad_host(host: str, reach: Reach) -> str | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None  # a name is judged when it is resolved
    return reach.why_not(str(address))


async def allowed_addresses(host: str, port: int, reach: Reach, *, encrypted: bool) -> list[str]:
    """The addresses of a host that may be connected to; raises RefusedError where one may not, OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for address in addresses:
        reason = reach.why_not(address)
        if reason is not None:
            raise RefusedError(reason)
        if not encrypted and not reach.opens(address):
            raise RefusedError("needs https://")
    return addresses


class GuardedBackend(AsyncNetworkBackend):
    """Connects to addresses that were judged; everything else of the connection is the library's."""

    def __init__(self, reach: Reach, *, encrypted: bool) -> None:
        self._reach = reach
        self._encrypted = encrypted
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        """Resolve, judge, connect to the first address that answers; raises httpcore.ConnectError."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await allowed_addresses(host, port, self._reach, encrypted=self._encrypted)
                return await self._first(addresses, port, timeout, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("did not answer in time") from error
        except OSError as error:
            raise httpcore.ConnectError("the host cannot be found or reached") from error

    async def _first(
        self, addresses: Sequence[str], port: int, timeout: float | None, options: Iterable[Any] | None
    ) -> AsyncNetworkStream:
        for address in addresses[:-1]:
            try:
                return await self._plain.connect_tcp(address, port, timeout, socket_options=options)
            except httpcore.ConnectError:
                continue
        return await self._plain.connect_tcp(addresses[-1], port, timeout, socket_options=options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> AsyncNetworkStream:
        """Never: no outlet is a file of ours."""
        raise httpcore.ConnectError("no sockets of this machine")

    async def sleep(self, seconds: float) -> None:
        """As the library's."""
        await self._plain.sleep(seconds)


def _in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _is_own(address: Address) -> bool:
    """Whether this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True

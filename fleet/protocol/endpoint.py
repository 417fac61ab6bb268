"""Where the broker is and how to reach it: an MQTT URL with TLS files, read once."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker's address; the password is never shown in `repr`."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        ca_file: Path | None = None,
        cert_file: Path | None = None,
        key_file: Path | None = None,
    ) -> Endpoint:
        """Read `mqtt://user:password@host:port` or `mqtts://…`; raises ValueError with what is wrong."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise ValueError(f"scheme must be mqtt or mqtts, not {parts.scheme!r}")
        if not parts.hostname:
            raise ValueError("a host is missing")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("nothing may follow the port")
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            tls=parts.scheme == "mqtts",
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """A verifying TLS context, or None for a plain connection; raises OSError when a file cannot be used."""
        if not self.tls:
            return None
        for file in filter(None, (self.ca_file, self.cert_file, self.key_file)):
            file.open("rb").close()  # ssl's own errors do not name the file
        context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file:
            context.load_cert_chain(str(self.cert_file), str(self.key_file) if self.key_file else None)
        return context

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

"""The settings: one frozen object from the environment, `.env` or `--config fleet.toml`.

Order: environment, then `.env`, then the TOML file, then the defaults here. An unknown `FLEET_` name or a
bad value stops the start with a line that names it. `docs/reference/settings.md` is generated from the
fields.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fleet.errors import ConfigError
from fleet.protocol.endpoint import Endpoint

PREFIX = "FLEET_"
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(?::[0-9]{1,5})?/?|https?://\[[0-9A-Fa-f:]+\](?::[0-9]{1,5})?/?")

_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*")


class LogFormat(StrEnum):
    """How log lines look: for people or for programs."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def default_data_dir() -> Path:
    """`/var/lib/fleet` for root, else below the user's data home (XDG)."""
    if os.geteuid() == 0:
        return Path("/var/lib/fleet")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "fleet"


class Settings(BaseSettings):
    """All settings of every role; secrets are hidden when printed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL, `postgresql://user:password@host:port/name`; `fleet up` starts its own without it",
    )
    mqtt_url: SecretStr | None = Field(
        None,
        description="Broker, `mqtt://` or `mqtts://user:password@host:port`; `fleet up` starts its own without it",
    )
    mqtt_admin_url: SecretStr | None = Field(
        None,
        description="Broker, with the account that administers its dynamic security, `mqtts://user:password@host:port`:"
        " the worker then lets tablets in and shuts them out by the books; nobody does without it",
    )
    mqtt_ca_file: Path | None = Field(None, description="Certificate authority of the broker (PEM)")
    mqtt_cert_file: Path | None = Field(None, description="Our client certificate for the broker (PEM)")
    mqtt_key_file: Path | None = Field(None, description="Key of the client certificate (PEM)")
    http_host: str = Field("127.0.0.1", description="Address the API and console listen on")
    http_port: int = Field(8000, ge=0, le=65535, description="Port of the API and console; 0 takes a free one")
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Where `fleet up` keeps its database, broker state and `run.json`",
    )
    log_format: LogFormat = Field(LogFormat.CONSOLE, description="Log lines for people or for programs")
    log_level: LogLevel = Field(LogLevel.INFO, description="Least severe line that is written")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of `/metrics` of ingest and worker; 0 takes a free one"
    )
    metrics_host: str = Field("127.0.0.1", description="Address `/metrics` of ingest and worker listens on")
    topic_root: str = Field("fleet/v1", description="First levels of every MQTT topic")
    secret_key: SecretStr | None = Field(
        None,
        description="Signs the console's cookies and encrypts second factors; at least 32 characters; without it nobody"
        " can set up a second factor and logins end with the process",
    )
    http_public_url: str | None = Field(
        None,
        description="Address people type for the console, `https://fleet.example.dk`; with https cookies are sent over"
        " TLS only; OpenID Connect comes back to it",
    )
    http_trusted_proxies: str = Field(
        "127.0.0.1",
        description="Addresses or networks of the proxies before the console, separated by commas; what they say of"
        " where a request came from (`X-Forwarded-For`) is believed",
    )
    oidc_issuer: str | None = Field(
        None, description="OpenID Connect provider for logins, its issuer address; none is asked without it"
    )
    oidc_client_id: str | None = Field(None, description="Our client id at the provider")
    oidc_client_secret: SecretStr | None = Field(
        None, description="Our client secret; without it we are a public client"
    )
    oidc_name: str | None = Field(None, description="What people call the provider; its host name without")
    oidc_scopes: str = Field("openid", description="Scopes to ask for, separated by spaces")
    oidc_roles_claim: str = Field(
        "roles",
        description="Claim of the ID token with the roles, dots for inner fields; `fleet:<role>:<organisation>` each,"
        " with `*` for the whole installation",
    )
    oidc_role_map: str = Field(
        "",
        description="Values of that claim by other names, `value=role:organisation;value=role:*`",
    )
    oidc_username_claim: str | None = Field(
        None,
        description="Claim to take the account name from, which must be no person's name; a name is made up without",
    )

    outbound_networks: str = Field(
        "",
        description="Networks beyond the public internet that webhooks and connectors may be sent to, also over http://,"
        " separated by commas: `10.20.0.0/16`, to try things `127.0.0.0/8`; link-local addresses are never",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server, `smtp://user:password@host:587` (encrypted where the server offers it) or `smtps://`;"
        " no mail is sent without it",
    )
    mail_from: str | None = Field(
        None, description="Sender of our mail, `fleet@example.dk`; needed with FLEET_SMTP_URL"
    )
    alertmanager_url: str | None = Field(
        None,
        description="Alertmanager, `https://alertmanager.example.dk`, told when this service itself is in trouble",
    )

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("topic_root")
    @classmethod
    def _root(cls, value: str) -> str:
        if not value or value != value.strip("/") or any(c in value for c in "+#$\x00") or "//" in value:
            raise ValueError("must be topic levels like fleet/v1, without + # $ and outer slashes")
        return value

    @field_validator("secret_key")
    @classmethod
    def _key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("http_public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        if value is not None and not _PUBLIC_URL.fullmatch(value):
            raise ValueError("must be like https://fleet.example.dk, without a path")
        return None if value is None else value.rstrip("/")

    @field_validator("http_trusted_proxies")
    @classmethod
    def _proxies(cls, value: str) -> str:
        for each in filter(None, (part.strip() for part in value.split(","))):
            try:
                ipaddress.ip_network(each)
            except ValueError:
                raise ValueError(f"{each!r} is no address or network like 10.0.0.0/8") from None
        return value

    @field_validator("outbound_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        for each in filter(None, (part.strip() for part in value.split(","))):
            try:
                ipaddress.ip_network(each)
            except ValueError:
                raise ValueError(f"{each!r} is no network like 10.20.0.0/16") from None
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_smtp_url(value.get_secret_value()):
            raise ValueError("must be like smtp://user:password@host:587 or smtps://host")
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        if value is not None and not _MAIL_ADDRESS.fullmatch(value):
            raise ValueError("must be an address like fleet@example.dk")
        return value

    @field_validator("alertmanager_url")
    @classmethod
    def _alertmanager(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s?#@]+", value):
            raise ValueError("must start with https:// or http://")
        return None if value is None else value.rstrip("/")

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str | None) -> str | None:
        if value is not None and not is_private_url(value):
            raise ValueError("must start with https:// (http:// only on this machine)")
        return value

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        if value is not None and not _is_conninfo(value.get_secret_value()):
            # The client's own words would show a part of the password.
            raise ValueError("cannot be read as an address; write % and other signs in a password as %25 and so on")
        return value

    @model_validator(mode="after")
    def _endpoints(self) -> Settings:
        for name, url in (("FLEET_MQTT_URL", self.mqtt_url), ("FLEET_MQTT_ADMIN_URL", self.mqtt_admin_url)):
            if url is not None:
                try:
                    self._endpoint_of(url)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        return self

    @model_validator(mode="after")
    def _oidc(self) -> Settings:
        if self.oidc_issuer is not None:
            for name in ("oidc_client_id", "http_public_url"):
                if getattr(self, name) is None:
                    raise ValueError(f"{PREFIX}{name.upper()} is needed with FLEET_OIDC_ISSUER")
        return self

    @model_validator(mode="after")
    def _mail(self) -> Settings:
        if self.smtp_url is not None and self.mail_from is None:
            raise ValueError(f"{PREFIX}MAIL_FROM is needed with FLEET_SMTP_URL")
        return self

    @property
    def secure_cookies(self) -> bool:
        """Whether the console is reached over TLS only."""
        return self.http_public_url is not None and self.http_public_url.startswith("https://")

    def dsn(self) -> str:
        """The database's address; raises ConfigError when it is not set."""
        if self.database_url is None:
            raise ConfigError("FLEET_DATABASE_URL is not set: give postgresql://user:password@host:port/name")
        return self.database_url.get_secret_value()

    def endpoint(self) -> Endpoint:
        """The broker's address; raises ConfigError when it is not set."""
        if self.mqtt_url is None:
            raise ConfigError("FLEET_MQTT_URL is not set: give mqtt://host:port")
        return self._endpoint_of(self.mqtt_url)

    def admin_endpoint(self) -> Endpoint:
        """The broker's address for who administers its accounts; raises ConfigError when it is not set."""
        if self.mqtt_admin_url is None:
            raise ConfigError("FLEET_MQTT_ADMIN_URL is not set: give mqtts://user:password@host:port")
        return self._endpoint_of(self.mqtt_admin_url)

    def _endpoint_of(self, url: SecretStr) -> Endpoint:
        return Endpoint.parse(
            url.get_secret_value(),
            ca_file=self.mqtt_ca_file,
            cert_file=self.mqtt_cert_file,
            key_file=self.mqtt_key_file,
        )


def is_private_url(url: str) -> bool:
    """Whether what is sent to `url` can be read by nobody on the way: over TLS, or within this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1"))
    )


def is_smtp_url(url: str) -> bool:
    """Whether `url` names a mail server."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_conninfo(dsn: str) -> bool:
    from psycopg import ProgrammingError  # noqa: PLC0415 - only where there is an address to look at
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        conninfo_to_dict(dsn)
    except ProgrammingError:
        return False
    return True


def load_settings(config: Path | None = None, *, env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings; raises ConfigError with one line that names what is wrong."""
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    values = {**_from_toml(config, known), **_from_env_file(env_file, known)}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise ConfigError(f"{name} in the environment is not a setting; known are {', '.join(known)}")
    values = {field: value for field, value in values.items() if not os.environ.get(PREFIX + field.upper())}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(_first_line(error)) from None


def _from_toml(path: Path | None, known: dict[str, str]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"--config {path}: {error}") from None
    return _named(content, known, str(path))


def _from_env_file(path: Path | None, known: dict[str, str]) -> dict[str, Any]:
    if path is None or not path.is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 - only when there is a file

    content = {name: value for name, value in dotenv_values(path).items() if name.upper().startswith(PREFIX) and value}
    return _named(content, known, str(path))


def _named(content: dict[str, Any], known: dict[str, str], where: str) -> dict[str, Any]:
    """Accept both `FLEET_HTTP_PORT` and `http_port` as names."""
    values = {}
    for name, value in content.items():
        field = known.get(name.upper()) or known.get(PREFIX + name.upper())
        if field is None:
            raise ConfigError(f"{name} in {where} is not a setting; known are {', '.join(known)}")
        values[field] = value
    return values


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    return f"{PREFIX}{str(first['loc'][0]).upper()}: {message}"

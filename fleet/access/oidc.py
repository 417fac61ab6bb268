"""Logging in at an OpenID Connect provider: authorization code with PKCE, state and nonce, checked ID tokens.

OpenID Connect Core 1.0 (3.1), Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (issuer in the answer). The provider is asked
only while somebody logs in, every time with a deadline.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from fleet.access.roles import Role
from fleet.access.users import RoleAt
from fleet.config import Settings, is_private_url
from fleet.errors import ConfigError
from fleet.log import get_logger

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""Signatures with a key pair only: `none` proves nothing, and HMAC would make the client secret a signing key."""
CALLBACK = "/login/provider/return"
ASK_WITHIN_S = 10.0
KEEP_S = 3600.0
LEEWAY_S = 60
MAX_ANSWER_BYTES = 512 * 1024
MAX_ROLES = 50
_MAX_TEXT = 255
_PREFIX = "fleet"

T = TypeVar("T")
_LOG = get_logger("fleet.oidc")
_ROLE_AT = re.compile(r"(?P<role>[a-z_]+):(?P<organisation>\*|[a-z0-9][a-z0-9-]{0,62})", re.ASCII)


class Failure(StrEnum):
    """Why a login at the provider came to nothing."""

    UNREACHABLE = "provider_unreachable"
    DENIED = "provider_denied"
    STALE = "login_stale"
    BAD_ANSWER = "provider_bad_answer"
    BAD_TOKEN = "provider_bad_token"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Client:
    """What we are to the provider, and how its claims are read."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    redirect_uri: str
    name: str
    scopes: str = "openid"
    roles_claim: str = "roles"
    role_map: Mapping[str, frozenset[RoleAt]] = field(default_factory=dict)
    username_claim: str | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """One login under way; the browser brings it back."""

    state: str
    nonce: str
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider says it is."""

    issuer: str
    subject: str
    username: str | None
    roles: frozenset[RoleAt]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the provider tells about itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    basic: bool


def client_of(settings: Settings) -> Client | None:
    """The client that the settings describe; None without a provider. Raises ConfigError."""
    if settings.oidc_issuer is None:
        return None
    assert settings.oidc_client_id is not None
    return Client(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None,
        redirect_uri=f"{settings.http_public_url}{CALLBACK}",
        name=settings.oidc_name or urlsplit(settings.oidc_issuer).hostname or "OpenID Connect",
        scopes=settings.oidc_scopes,
        roles_claim=settings.oidc_roles_claim,
        role_map=parse_role_map(settings.oidc_role_map),
        username_claim=settings.oidc_username_claim,
    )


def parse_role_map(text: str) -> dict[str, frozenset[RoleAt]]:
    """Read `value=role:organisation;…`; a value may stand several times. Raises ConfigError."""
    found: dict[str, frozenset[RoleAt]] = {}
    for part in filter(None, (each.strip() for each in text.split(";"))):
        value, _, told = part.rpartition("=")
        role = parse_role(told.strip())
        if not value.strip() or role is None:
            raise ConfigError(f"FLEET_OIDC_ROLE_MAP: {part!r} is not like value=role:organisation or value=role:*")
        found[value.strip()] = found.get(value.strip(), frozenset()) | {role}
    return found


def parse_role(text: str) -> RoleAt | None:
    """Read `role:organisation` or `role:*`; None when it is neither."""
    match = _ROLE_AT.fullmatch(text)
    if match is None or match["role"] not in set(Role):
        return None
    return RoleAt(Role(match["role"]), None if match["organisation"] == "*" else match["organisation"])


def roles_in(claims: Mapping[str, Any], client: Client) -> frozenset[RoleAt]:
    """The roles that the claims give; values that say nothing to us are passed over."""
    found: set[RoleAt] = set()
    for value in _texts(_claim(claims, client.roles_claim))[:MAX_ROLES]:
        found |= client.role_map.get(value, frozenset())
        prefix, _, rest = value.partition(":")
        own = parse_role(rest) if prefix == _PREFIX else None
        if own is not None:
            found.add(own)
    return frozenset(found)


def check_id_token(
    token: str,
    keys: KeySet,
    client: Client,
    nonce: str,
    *,
    access_token: str | None = None,
    now: Callable[[], int] | None = None,
) -> dict[str, Any]:
    """The claims of an ID token meant for us and this login; raises JoseError.

    `access_token` is what came with it, which the token may vouch for (`at_hash`).
    """
    decoded = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
    claims = decoded.claims
    jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_S,
        iss={"essential": True, "value": client.issuer},
        sub={"essential": True},
        aud={"essential": True, "value": client.client_id},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    ).validate(claims)
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else client.client_id) != client.client_id:
        raise JoseError("the token was made for another party")
    if len(claims["sub"]) > _MAX_TEXT:
        raise JoseError("the subject is too long")
    if access_token is not None and "at_hash" in claims:
        expected = half_hash(access_token, decoded.header["alg"])
        if not secrets.compare_digest(str(claims["at_hash"]).encode(errors="replace"), expected.encode()):
            raise JoseError("the tokens do not belong together")
    return claims


def half_hash(text: str, algorithm: str) -> str:
    """The left half of a hash as long as that of the signature (OpenID Connect Core 1.0, 3.1.3.6)."""
    bits = algorithm[-3:] if algorithm[-3:] in ("256", "384", "512") else "512"
    digest = hashlib.new(f"sha{bits}", text.encode(errors="replace")).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class Provider:
    """The provider as one process of ours sees it; what it tells about itself is kept for KEEP_S."""

    def __init__(self, client: Client, http: httpx.AsyncClient) -> None:
        self.client = client
        self._http = http
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def begin(self) -> tuple[str, Flow] | Failure:
        """Where to send the browser, and what it must bring back."""
        return await self._within(self._begin)

    async def finish(self, flow: Flow, answer: Mapping[str, str]) -> Identity | Failure:
        """Whom the provider's answer in the browser's address tells of."""
        if not secrets.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
            return Failure.STALE
        if answer.get("iss", self.client.issuer) != self.client.issuer:
            return Failure.BAD_ANSWER
        if "error" in answer:
            _LOG.warning("the provider refused a login", error=answer["error"][:80])
            return Failure.DENIED
        if not answer.get("code"):
            return Failure.BAD_ANSWER
        return await self._within(lambda: self._identity(flow, answer["code"]))

    async def _within(self, work: Callable[[], Awaitable[T]]) -> T | Failure:
        """Do `work` within the deadline; what goes wrong with the provider is a value."""
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                return await work()
        except httpx.HTTPStatusError as error:
            _LOG.warning(
                "the provider refused a request", status=error.response.status_code, path=error.request.url.path
            )
            return Failure.BAD_ANSWER
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            _LOG.warning("the provider cannot be reached", error=type(error).__name__)
            return Failure.UNREACHABLE
        except JoseError as error:
            _LOG.warning("the provider's token was not accepted", error=str(error))
            return Failure.BAD_TOKEN
        except (KeyError, TypeError, ValueError) as error:
            _LOG.warning("the provider's answer makes no sense", error=f"{type(error).__name__}: {error}"[:200])
            return Failure.BAD_ANSWER

    async def _begin(self) -> tuple[str, Flow]:
        flow = Flow(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))
        query = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uri,
            "scope": self.client.scopes,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": challenge_of(flow.verifier),
            "code_challenge_method": "S256",
        }
        endpoint = (await self._about()).authorization_endpoint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}", flow

    async def _identity(self, flow: Flow, code: str) -> Identity:
        answer = await self._exchange(flow, code)
        token = _text(answer, "id_token")
        access = _text(answer, "access_token") if "access_token" in answer else None

        def check(keys: KeySet) -> dict[str, Any]:
            return check_id_token(token, keys, self.client, flow.nonce, access_token=access)

        try:
            claims = check(await self._signing_keys())
        except (InvalidKeyIdError, BadSignatureError):
            # The provider may have taken new keys since we last asked.
            claims = check(await self._signing_keys(fresh=True))
        named = _claim(claims, self.client.username_claim) if self.client.username_claim else None
        username = named if isinstance(named, str) else None
        return Identity(self.client.issuer, claims["sub"], username, roles_in(claims, self.client))

    async def _exchange(self, flow: Flow, code: str) -> Mapping[str, Any]:
        metadata = await self._about()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "code_verifier": flow.verifier,
        }
        headers = {"Accept": "application/json"}
        if self.client.client_secret is not None and metadata.basic:
            headers["Authorization"] = _basic(self.client.client_id, self.client.client_secret)
        else:
            form["client_id"] = self.client.client_id
            if self.client.client_secret is not None:
                form["client_secret"] = self.client.client_secret
        return await self._ask("POST", metadata.token_endpoint, data=form, headers=headers)

    async def _about(self) -> Metadata:
        if (kept := _fresh(self._metadata)) is None:
            url = self.client.issuer.rstrip("/") + "/.well-known/openid-configuration"
            kept = read_metadata(await self._ask("GET", url), self.client.issuer)
            self._metadata = time.monotonic(), kept
        return kept

    async def _signing_keys(self, *, fresh: bool = False) -> KeySet:
        if fresh or (kept := _fresh(self._keys)) is None:
            answer = await self._ask("GET", (await self._about()).jwks_uri)
            kept = KeySet.import_key_set({"keys": list(answer["keys"])})
            self._keys = time.monotonic(), kept
        return kept

    async def _ask(self, method: str, url: str, **more: Any) -> Mapping[str, Any]:
        """The JSON object at `url`, which must be of a bearable size."""
        async with self._http.stream(method, url, **more) as response:
            content = b""
            async for part in response.aiter_bytes():
                content += part
                if len(content) > MAX_ANSWER_BYTES:
                    raise ValueError("the answer is too large")
            response.raise_for_status()
        found = json.loads(content)
        if not isinstance(found, dict):
            raise TypeError("the answer is no JSON object")
        return found


def read_metadata(told: Mapping[str, Any], issuer: str) -> Metadata:
    """What the discovery document says; raises ValueError, KeyError or TypeError."""
    if told["issuer"] != issuer:
        raise ValueError(f"the provider calls itself {str(told['issuer'])[:100]!r}, not as in FLEET_OIDC_ISSUER")
    endpoints = {name: _text(told, name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
    for name, url in endpoints.items():
        if not is_private_url(url):
            raise ValueError(f"{name} is not https")
    methods = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(**endpoints, basic="client_secret_basic" in methods)


def _fresh(kept: tuple[float, T] | None) -> T | None:
    return None if kept is None or time.monotonic() - kept[0] > KEEP_S else kept[1]


def _basic(client_id: str, client_secret: str) -> str:
    # Both are form-encoded first (RFC 6749, 2.3.1).
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, which may itself hold dots, or by its way into inner objects."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _texts(value: Any) -> list[str]:
    values: Iterable[Any] = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [each for each in values if isinstance(each, str)]


def _text(told: Mapping[str, Any], name: str) -> str:
    if not isinstance(told[name], str):
        raise TypeError(f"{name} is no text")
    return str(told[name])

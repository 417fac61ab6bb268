"""What is read from a provider's tokens and documents, and everything that must not be believed."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from fleet.access import oidc
from fleet.access.oidc import Client, check_id_token, half_hash, parse_role_map, read_metadata, roles_in
from fleet.access.roles import Role
from fleet.access.users import RoleAt
from fleet.config import Settings
from fleet.errors import ConfigError

ISSUER = "https://login.example.dk"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
CURVE = ECKey.generate_key("P-256", {"kid": "two"})
KEYS = KeySet([RSAKey.import_key(KEY.as_dict(private=False)), ECKey.import_key(CURVE.as_dict(private=False))])
NONCE = "nonce of this login"
CLIENT = Client(ISSUER, "fleet", "secret", "https://fleet.example.dk/login/provider/return", "Login")


def claims(**other: Any) -> dict[str, Any]:
    """The claims of a good token, changed; None leaves one out."""
    now = int(time.time())
    good = {"iss": ISSUER, "sub": "s-1", "aud": "fleet", "exp": now + 300, "iat": now, "nonce": NONCE}
    return {name: value for name, value in (good | other).items() if value is not None}


def token(header: dict[str, Any] | None = None, key: Any = KEY, **other: Any) -> str:
    """A signed token."""
    known = ["RS256", "ES256", "HS256"]
    return jwt.encode(header or {"alg": "RS256", "kid": "one"}, claims(**other), key, algorithms=known)


@pytest.mark.parametrize(
    "good",
    [
        token,
        lambda: token({"alg": "ES256", "kid": "two"}, CURVE),
        lambda: token(aud=["fleet"]),
        lambda: token(aud=["fleet", "other"], azp="fleet"),
        lambda: token(exp=int(time.time()) - 30),
    ],
)
def test_a_good_token_tells_who_it_is(good: Callable[[], str]) -> None:
    # Made here and not with the list: a token does not live as long as a test run.
    assert check_id_token(good(), KEYS, CLIENT, NONCE)["sub"] == "s-1"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [("RS256", "77QmUPtjPfzWtF2AnpK9RQ"), ("ES256", "77QmUPtjPfzWtF2AnpK9RQ"), ("EdDSA", None), ("PS384", None)],
)
def test_the_access_token_belongs_to_the_id_token(algorithm: str, expected: str | None) -> None:
    """The example of OpenID Connect Core 1.0, A.4."""
    access = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
    made = half_hash(access, algorithm)
    assert expected is None or made == expected
    assert len(base64.urlsafe_b64decode(made + "==")) == {"PS384": 24, "EdDSA": 32}.get(algorithm, 16)
    good = token(at_hash=half_hash(access, "RS256"))
    assert check_id_token(good, KEYS, CLIENT, NONCE, access_token=access)
    assert check_id_token(token(), KEYS, CLIENT, NONCE, access_token=access)
    for bad in (good, token(at_hash=7)):
        with pytest.raises(JoseError, match="belong together"):
            check_id_token(bad, KEYS, CLIENT, NONCE, access_token="another")


_NOW = int(time.time())


@pytest.mark.parametrize(
    "other",
    [
        {"iss": "https://login.example.dk/"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"aud": ["other"]},
        {"aud": ["fleet", "other"]},
        {"aud": ["fleet", "other"], "azp": "other"},
        {"azp": "other"},
        {"nonce": "of another login"},
        {"nonce": None},
        {"nonce": ""},
        {"exp": _NOW - 120},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("1e400")},
        {"iat": _NOW + 3600},
        {"iat": None},
        {"nbf": _NOW + 3600},
        {"sub": None},
        {"sub": 7},
        {"sub": "s" * 300},
    ],
)
def test_a_token_for_another_or_of_another_time_is_not_believed(other: dict[str, Any]) -> None:
    with pytest.raises(JoseError):
        check_id_token(token(**other), KEYS, CLIENT, NONCE)


def unsigned() -> str:
    """A token that says it needs no signature."""
    _, body, _ = token().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').rstrip(b"=").decode()
    return f"{none}.{body}."


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x",
        "a.b.c",
        "\ud800",
        unsigned(),
        token({"alg": "HS256", "kid": "one"}, OctKey.import_key("the client's secret, which is no signing key")),
        token({"alg": "HS256", "kid": "one"}, OctKey.import_key(str(KEYS.keys[0].as_dict(private=False)["n"]))),
        token({"alg": "RS256", "kid": "one"}, RSAKey.generate_key(2048)),
        token({"alg": "RS256", "kid": "three"}),
        token({"alg": "ES256", "kid": "one"}, CURVE),
        token()[:-4] + "AAAA",
        ".".join([token().split(".")[0], token(sub="s-2").split(".")[1], token().split(".")[2]]),
    ],
)
def test_a_signature_that_proves_nothing_is_not_believed(bad: str) -> None:
    with pytest.raises((JoseError, ValueError)):
        check_id_token(bad, KEYS, CLIENT, NONCE)


def test_only_signatures_with_key_pairs_are_known() -> None:
    assert not {"none", "HS256", "HS384", "HS512"} & set(oidc.ALGORITHMS)


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        (["fleet:support:a-by", "fleet:admin:*"], {RoleAt(Role.SUPPORT, "a-by"), RoleAt(Role.ADMIN)}),
        ("fleet:service:nord", {RoleAt(Role.SERVICE, "nord")}),
        (["CN=Drift,OU=x", "else"], {RoleAt(Role.MDM_ADMIN, "nord"), RoleAt(Role.SERVICE)}),
        (["fleet:king:a-by", "fleet:admin", "fleet:admin:", "fleet:admin:A B", "admin:*", "Fleet:admin:*"], set()),
        ([7, None, {"fleet:admin:*": 1}, ["fleet:admin:*"]], set()),
        (None, set()),
        ({"fleet:admin:*": True}, set()),
    ],
)
def test_roles_are_read_from_a_claim(value: Any, roles: set[RoleAt]) -> None:
    role_map = parse_role_map("CN=Drift,OU=x=mdm_admin:nord; CN=Drift,OU=x=service:*;")
    for name, held in (("roles", {"roles": value}), ("realm.access.roles", {"realm": {"access": {"roles": value}}}),
                       ("https://x/roles", {"https://x/roles": value})):  # fmt: skip
        client = Client(ISSUER, "fleet", None, "", "", roles_claim=name, role_map=role_map)
        assert roles_in(held, client) == roles
    assert roles_in({"realm": "text"}, Client(ISSUER, "f", None, "", "", roles_claim="realm.access")) == set()


@pytest.mark.parametrize("text", ["x", "x=", "=admin:*", "x=king:*", "x=admin", "x=admin:A", "x=admin:*;y"])
def test_a_map_that_cannot_be_read_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match="FLEET_OIDC_ROLE_MAP"):
        parse_role_map(text)


GOOD = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}


@pytest.mark.parametrize(
    ("other", "basic"),
    [
        ({}, True),
        ({"token_endpoint_auth_methods_supported": ["client_secret_post"]}, False),
        ({"token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"]}, True),
    ],
)
def test_the_provider_tells_how_it_wants_the_secret(other: dict[str, Any], basic: bool) -> None:
    assert read_metadata(GOOD | other, ISSUER).basic is basic


@pytest.mark.parametrize(
    "other",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://login.example.dk/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"authorization_endpoint": 7},
    ],
)
def test_a_provider_that_is_another_or_in_the_clear_is_not_believed(other: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_metadata(GOOD | other, ISSUER)


def test_the_client_is_what_the_settings_say() -> None:
    assert oidc.client_of(Settings()) is None
    given: dict[str, Any] = {
        "oidc_issuer": ISSUER,
        "oidc_client_id": "fleet",
        "http_public_url": "https://fleet.example.dk/",
    }
    client = oidc.client_of(Settings(**given, oidc_client_secret="hidden"))
    assert client is not None
    assert client.redirect_uri == "https://fleet.example.dk/login/provider/return"
    assert client.name == "login.example.dk"
    assert "hidden" not in repr(client)


def test_the_challenge_is_that_of_the_standard() -> None:
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert oidc.challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

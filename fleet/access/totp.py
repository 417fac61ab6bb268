"""The second factor: time-based one-time codes (RFC 6238) from an app, and recovery codes for when the app is gone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

import segno
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_S = 30
DIGITS = 6
WINDOW_STEPS = 1
"""Steps before and after the present one that count too: clocks differ and people type slowly."""
SECRET_BYTES = 20
ISSUER = "fleet"
RECOVERY_CODES = 10
RECOVERY_BYTES = 10
_NONCE_BYTES = 12


def new_secret() -> bytes:
    """A secret for an app."""
    return secrets.token_bytes(SECRET_BYTES)


def code_at(secret: bytes, step: int) -> str:
    """The code of a time step. SHA-1, since that is what the apps know."""
    return _generator(secret).generate(step * STEP_S).decode()


def step_of(now: datetime) -> int:
    """The time step that `now` lies in."""
    return int(now.timestamp()) // STEP_S


def matching_step(secret: bytes, code: str, now: datetime, last_step: int | None) -> int | None:
    """The step whose code this is; None when it is none, or one not after `last_step`: a code counts once."""
    given = "".join(code.split()).encode(errors="replace")
    present = step_of(now)
    found = None
    # All are compared, so that the time taken tells nothing.
    for step in range(present - WINDOW_STEPS, present + WINDOW_STEPS + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), given):
            found = step
    return None if found is None or (last_step is not None and found <= last_step) else found


def provisioning_uri(secret: bytes, username: str) -> str:
    """What an app reads from the QR code: `otpauth://totp/…`."""
    return _generator(secret).get_provisioning_uri(username, ISSUER)


def typed_secret(secret: bytes) -> str:
    """The secret for typing in, in groups of four."""
    text = base64.b32encode(secret).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def qr_svg(uri: str) -> str:
    """The QR code as an SVG element to stand in a page."""
    return segno.make(uri, error="m").svg_inline(scale=5, border=4, light="white", svgclass="qr", lineclass=None)


def qr_data_uri(uri: str) -> str:
    """The QR code as an address that holds the SVG."""
    return segno.make(uri, error="m").svg_data_uri(scale=5, border=4, light="white")


def new_recovery_codes() -> list[str]:
    """Codes to write down: 80 random bits each, so a plain hash keeps them well enough."""
    return [_grouped(base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()) for _ in range(RECOVERY_CODES)]


def hash_recovery_code(code: str) -> bytes:
    """What is stored of a recovery code, however it is typed."""
    plain = "".join(sign for sign in code.upper() if sign.isalnum())
    return hashlib.sha256(plain.encode(errors="replace")).digest()


def looks_like_recovery_code(code: str) -> bool:
    """Whether it is no code of an app, going by its length."""
    return len("".join(code.split())) > DIGITS + 2


class Sealer:
    """Encrypts secrets of users with a key made of the installation's (AES-256-GCM), each bound to its user."""

    def __init__(self, secret_key: str) -> None:
        key = HKDF(SHA256(), length=32, salt=None, info=b"fleet second factor").derive(secret_key.encode())
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, user_id: int) -> bytes:
        """The secret encrypted."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, _bound_to(user_id))

    def open(self, sealed: bytes, user_id: int) -> bytes | None:
        """The secret; None when it was sealed with another key or for another user."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(user_id))
        except (InvalidTag, ValueError):
            return None


def _generator(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_S, enforce_key_length=False)  # noqa: S303 - HMAC-SHA-1 of RFC 6238


def _grouped(text: str) -> str:
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _bound_to(user_id: int) -> bytes:
    return b"user:%d" % user_id

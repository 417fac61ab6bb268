"""Passwords of tablets: made at random, hashed as Mosquitto keeps them, sealed until the broker has them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PASSWORD_BYTES = 24
HASH_BYTES, SALT_BYTES = 64, 12
"""What Mosquitto 2.0 takes; another length of salt makes it pass over the password."""
ITERATIONS = 101
"""Mosquitto's own number. A password of 192 random bits is not guessed, and the broker hashes on the one thread that
relays everything, for every tablet that reconnects."""
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Hashed:
    """A password as the broker keeps it: PBKDF2-HMAC-SHA512."""

    hash: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    iterations: int = ITERATIONS


def new_password() -> str:
    """192 random bits in letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def hash_password(password: str) -> Hashed:
    """The password with a salt of its own."""
    salt = secrets.token_bytes(SALT_BYTES)
    return Hashed(hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, HASH_BYTES), salt)


class Envelope:
    """Encrypts a password on its way to the broker with a key made of the installation's (AES-256-GCM).

    Each is bound to its kit, so that none opens as another's.
    """

    def __init__(self, secret_key: str) -> None:
        key = HKDF(SHA256(), length=32, salt=None, info=b"fleet password of a tablet").derive(secret_key.encode())
        self._cipher = AESGCM(key)

    def seal(self, password: str, kit_id: int) -> bytes:
        """The password encrypted."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, password.encode(), _bound_to(kit_id))

    def open(self, sealed: bytes, kit_id: int) -> str | None:
        """The password; None when it was sealed with another key or for another kit."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(kit_id)).decode()
        except (InvalidTag, ValueError):
            return None


def _bound_to(kit_id: int) -> bytes:
    return b"kit:%d" % kit_id

"""Sealing: secrets at rest under AES-256-GCM, bound to the row that they are in.

A sealed value is the key's id (8 octets), the nonce (12), then ciphertext and tag. The first key of
MAILBOAT_SEALING_KEY seals; all of them open, so that keys can be rotated.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailboat.errors import ConfigurationError

KEY, ID, NONCE = 32, 8, 12  # octets
VARIABLE = "MAILBOAT_SEALING_KEY"

Secrets = Mapping[str, Mapping[str, str]]
"""Secrets by name, each with its keys and values."""

_decode = msgspec.json.Decoder(dict[str, dict[str, str]]).decode


def new_key() -> str:
    """A key for MAILBOAT_SEALING_KEY."""
    return base64.b64encode(secrets.token_bytes(KEY)).decode()


class Sealer:
    """The keys of this process. Without any, only nothing can be sealed."""

    def __init__(self, keys: str) -> None:
        """From the setting. Raises ConfigurationError, which never shows a key."""
        raw = [_key(text.strip()) for text in keys.split(",") if text.strip()]
        self._keys = {_id(key): AESGCM(key) for key in raw}
        self._first = next(iter(self._keys), b"")
        self._mark = hmac.digest(raw[0], b"mailboat fingerprint", "sha256") if raw else b""

    def __repr__(self) -> str:
        return f"Sealer({len(self._keys)} keys)"

    def seal(self, found: Secrets, place: str) -> bytes | None:
        """The Secrets, readable only with the key and for the same place; None for none. Raises ConfigurationError."""
        if not found:
            return None
        nonce = os.urandom(NONCE)
        plain = msgspec.json.encode(found, order="sorted")
        return self._first + nonce + self._cipher(self._first).encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes | None, place: str) -> dict[str, dict[str, str]]:
        """What was sealed for this place. Raises ConfigurationError."""
        if sealed is None:
            return {}
        identifier, nonce, body = sealed[:ID], sealed[ID : ID + NONCE], sealed[ID + NONCE :]
        try:
            return _decode(self._cipher(identifier).decrypt(nonce, body, place.encode()))
        except InvalidTag:
            raise ConfigurationError(
                f"The sealed secrets of {place} have been tampered with: apply it again."
            ) from None

    def is_current(self, sealed: bytes | None) -> bool:
        """Whether it is sealed with the first key."""
        return sealed is None or sealed[:ID] == self._first

    def fingerprint(self, found: Secrets) -> str:
        """What changes when a Secret does, and tells nothing about it."""
        return hmac.digest(self._mark, msgspec.json.encode(found, order="sorted"), "sha256").hex() if found else ""

    def _cipher(self, identifier: bytes) -> AESGCM:
        if not self._keys:
            raise ConfigurationError(
                f"{VARIABLE} is not set, and there are secrets to seal: set it to `openssl rand -base64 32`, the same "
                "for every process."
            )
        if identifier not in self._keys:
            raise ConfigurationError(
                f"{VARIABLE} lacks the key {identifier.hex()} that a secret is sealed with: put it behind the first, "
                "after a comma."
            )
        return self._keys[identifier]


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY:
        raise ConfigurationError(
            f"{VARIABLE} is not a key: it has to be {KEY} octets in base64 (openssl rand -base64 32)."
        )
    return key


def _id(key: bytes) -> bytes:
    return hashlib.sha256(b"mailboat sealing key" + key).digest()[:ID]

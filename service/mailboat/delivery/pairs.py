"""Keys and their secrets: how they are made, and what is kept to verify them."""

from __future__ import annotations

import secrets

import bcrypt

ROUNDS = 5
"""bcrypt's cost, some 2 ms a hash. A higher one protects passwords, which can be guessed; our secrets have 256 random
bits, and it would only hold up their owners: a cluster's clients are declared, and later verified, in thousands."""


def new_pair() -> tuple[str, str, str]:
    """A new key, its secret, and the hash that is kept of the secret."""
    secret = secrets.token_urlsafe(32)
    return "mb_" + secrets.token_hex(10), secret, hashed(secret)


def hashed(secret: str) -> str:
    return bcrypt.hashpw(secret.encode(), bcrypt.gensalt(ROUNDS)).decode()


def matches(secret: str, stored: str) -> bool:
    """Whether a secret is the one whose hash is kept, at whatever cost that was made."""
    try:
        return bcrypt.checkpw(secret.encode(), stored.encode())
    except ValueError:  # longer than bcrypt reads, or a NUL: never one of ours
        return False

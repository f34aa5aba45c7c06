"""When a client's key is replaced, and what its Secret holds. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from mailboat.declare.outcome import stamp
from mailboat_crds.models import ClientCredentials, KeyStatus, seconds

KEY, SECRET, URL = "api-key", "api-secret", "url"
PREVIOUS_KEY, PREVIOUS_SECRET = "previous-api-key", "previous-api-secret"


class Kept(msgspec.Struct, frozen=True):
    """The row of `client_secrets`."""

    secret_name: str
    key: str
    secret_check: str
    previous_key: str | None
    rotated_at: datetime
    rotate_request: str


class Row(msgspec.Struct, frozen=True):
    """A row of `client_keys`, without its hash."""

    key: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def works(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


def reason_to_issue(
    spec: ClientCredentials,
    kept: Kept | None,
    rows: Sequence[Row],
    held: Mapping[str, str] | None,
    request: str,
    now: datetime,
) -> str | None:
    """KeyIssued, KeyLost or KeyRotated when a new key is needed; None when the one in the Secret does.

    `held` is what the Secret holds, None when it is not there; `request` is the annotation rotate-requested-at.
    """
    if kept is None:
        return "KeyIssued"
    if held is None or held.get(KEY) != kept.key or check(held.get(SECRET, "")) != kept.secret_check:
        return "KeyLost"
    if not any(row.key == kept.key and row.works(now) for row in rows):
        return "KeyLost"
    if request and request != kept.rotate_request:
        return "KeyRotated"
    interval = spec.rotation.interval
    return "KeyRotated" if interval and now - kept.rotated_at >= timedelta(seconds=seconds(interval)) else None


def next_rotation(spec: ClientCredentials, kept: Kept) -> datetime | None:
    """When the key is due to be replaced."""
    interval = spec.rotation.interval
    return kept.rotated_at + timedelta(seconds=seconds(interval)) if interval else None


def content(
    held: Mapping[str, str] | None,
    issued: tuple[str, str] | None,
    rows: Sequence[Row],
    url: str,
    now: datetime,
) -> dict[str, str]:
    """What the Secret has to hold: the key (`issued`, else the one it has), and the one before while it works."""
    held = held or {}
    key, secret = issued or (held[KEY], held[SECRET])
    wanted = {KEY: key, SECRET: secret, URL: url}
    names = (KEY, SECRET) if issued else (PREVIOUS_KEY, PREVIOUS_SECRET)
    before = held.get(names[0], "")
    if any(row.key == before != key and row.works(now) for row in rows) and held.get(names[1]):
        wanted |= {PREVIOUS_KEY: before, PREVIOUS_SECRET: held[names[1]]}
    return wanted


def ours(held: Mapping[str, str] | None) -> dict[str, str] | None:
    """What a Secret holds of ours; others may have put more there."""
    names = (KEY, SECRET, URL, PREVIOUS_KEY, PREVIOUS_SECRET)
    return None if held is None else {name: held[name] for name in names if name in held}


def check(secret: str) -> str:
    """What tells whether a Secret was changed; of 256 random bits it gives nothing away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def shown(rows: Sequence[Row], now: datetime) -> tuple[KeyStatus, ...]:
    """The keys that work, the newest first."""
    working = sorted((row for row in rows if row.works(now)), key=lambda row: row.created_at, reverse=True)
    return tuple(
        KeyStatus(
            id=row.key,
            state="overlap" if row.expires_at else "active",
            created_at=stamp(row.created_at),
            expires_at=stamp(row.expires_at) if row.expires_at else None,
        )
        for row in working[:20]
    )

"""Webhooks that Mailboat sends, as Standard Webhooks sign them: verify the bytes, then read them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mailboat.client.errors import ClientError

FRESH_SECONDS = 300
PREFIX = "whsec_"


class WebhookRefused(ClientError):
    """The sender is not proven. Answer 401 and say no more; the text is for your own log."""


def verify_webhook(
    payload: bytes | str, headers: Mapping[str, str], secret: str | Sequence[str], *, now: float | None = None
) -> dict[str, Any]:
    """The webhook's JSON, if it was signed with the secret (or one of several, while they rotate) within five minutes.

    `payload` is the raw body, never one that was parsed and written again. Raises WebhookRefused, and ValueError for a
    secret that is none.
    """
    body = payload.encode() if isinstance(payload, str) else payload
    given = {name.lower(): value for name, value in headers.items()}
    try:
        identifier, sent_at, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise WebhookRefused(f"the header {missing.args[0]} is missing") from None
    if not sent_at.isdecimal() or abs((time.time() if now is None else now) - int(sent_at)) > FRESH_SECONDS:
        raise WebhookRefused("it is not fresh: compare this machine's clock with the sender's")
    content = f"{identifier}.{sent_at}.".encode() + body
    expected = [_signature(one, content) for one in ([secret] if isinstance(secret, str) else secret)]
    offered = [value for version, _, value in (one.partition(",") for one in signatures.split()) if version == "v1"]
    # Every pair is compared, so that time tells nothing.
    matches = [hmac.compare_digest(ours.encode(), theirs.encode()) for ours in expected for theirs in offered]
    if not any(matches):
        raise WebhookRefused("no signature is right")
    return _object(body)


def _signature(secret: str, content: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("the secret is not base64, as whsec_… has it") from None
    if not key:
        raise ValueError("the secret is empty")
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise WebhookRefused(f"it is signed, but no JSON object: {error}") from None

"""POST /webhooks/{provider}/{name} and /webhooks/{provider}: what providers report. Plain ASGI, as `send` is.

read → verify → store → 204. What it means is found out later, in the worker (`delivery.record`). Whoever sends anything
that is not proven learns nothing but that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from mailboat import metrics
from mailboat.api.asgi import Receive, Scope, Send, read, respond
from mailboat.db import engine
from mailboat.delivery.record import Receipt
from mailboat.errors import ConfigurationError, Problem
from mailboat.webhooks.base import Forged, Malformed, Unreachable, Verified
from mailboat.webhooks.endpoints import Endpoint

if TYPE_CHECKING:
    from mailboat.api.context import Context

log = structlog.get_logger()
PREFIX = "/webhooks/"
READ_SECONDS = 5.0
CLOSE = {"Connection": "close"}


async def handle(context: Context, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one delivery. Problems are raised, for the front to answer."""
    kind, _, name = scope["path"].removeprefix(PREFIX).partition("/")
    expected = await _expected(context, kind, name)
    if not expected:
        raise Problem(404, "not_found", "No provider of this kind and name has a webhook here.", headers=CLOSE)
    if scope["method"] != "POST":
        raise Problem(405, "method_not_allowed", "Webhooks are sent with POST.", headers={"Allow": "POST", **CLOSE})
    headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
    body = await _body(headers, receive, expected[0].most_octets)
    named = {key.decode("latin-1"): value for key, value in headers.items()}
    endpoint, verified = await _verified(expected, body, named)
    if verified.confirm:
        await _confirm(endpoint, verified)
    if verified.facts:
        await _keep(context, endpoint, verified, body)
    metrics.WEBHOOKS.inc(endpoint.name, "taken")
    log.info("webhook", provider=endpoint.name, octets=len(body), facts=verified.facts)
    await respond(send, 204, b"", [])


async def _expected(context: Context, kind: str, name: str) -> list[Endpoint]:
    """Raises Problem 503, upon which providers try again, when the settings are broken."""
    try:
        return await context.expected.of(kind, name)
    except ConfigurationError as error:
        log.error("webhooks cannot be taken", error=str(error))
        detail = "The providers of this installation are misconfigured; its log says how."
        raise Problem(503, "unavailable", detail, headers={"Retry-After": "60", **CLOSE}) from None


async def _body(headers: dict[bytes, str], receive: Receive, most: int) -> bytes:
    """The body, if it comes in time. A connection whose body was not read to its end is closed."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await read(headers, receive, most)
    except TimeoutError:
        raise Problem(
            408, "too_slow", f"The body has to be here within {READ_SECONDS:.0f} seconds.", headers=CLOSE
        ) from None
    except Problem as problem:
        problem.headers |= CLOSE
        raise


async def _verified(expected: list[Endpoint], body: bytes, headers: Mapping[str, str]) -> tuple[Endpoint, Verified]:
    """The endpoint that knows the sender. Raises Problem."""
    for endpoint in expected:
        try:
            return endpoint, await endpoint.verify(body, headers)
        except Forged as error:
            log.warning("webhook refused", provider=endpoint.name, reason=str(error))
        except Malformed as error:
            metrics.WEBHOOKS.inc(endpoint.name, "malformed")
            log.warning("webhook malformed", provider=endpoint.name, reason=str(error))
            raise Problem(400, "malformed_webhook", f"This is no webhook of {endpoint.kind}: {error}.") from None
        except Unreachable as error:
            metrics.WEBHOOKS.inc(endpoint.name, "unverifiable")
            log.warning("webhook cannot be verified", provider=endpoint.name, reason=str(error))
            raise Problem(
                503, "unavailable", "The signature cannot be checked now. Try again.", headers={"Retry-After": "30"}
            ) from None
    raise _refusal(expected[0])


async def _confirm(endpoint: Endpoint, verified: Verified) -> None:
    """Tell Amazon that the subscription is wanted. Raises Problem 503, upon which SNS asks again."""
    try:
        await endpoint.confirm(verified.confirm)
    except Unreachable as error:
        log.warning("subscription not confirmed", provider=endpoint.name, reason=str(error))
        raise Problem(
            503, "unavailable", "The subscription cannot be confirmed now.", headers={"Retry-After": "30"}
        ) from None
    log.info("subscription confirmed", provider=endpoint.name)


async def _keep(context: Context, endpoint: Endpoint, verified: Verified, body: bytes) -> None:
    try:
        await context.receipts.keep(Receipt(endpoint.name, endpoint.kind, verified.key, verified.digest, body))
    except Forged as error:
        log.warning("webhook refused", provider=endpoint.name, reason=str(error))
        raise _refusal(endpoint) from None
    except engine.AWAY as error:
        log.warning("webhook not stored", provider=endpoint.name, error=str(error) or type(error).__name__)
        raise Problem(
            503, "unavailable", "Nothing was stored: the database is away.", headers={"Retry-After": "1"}
        ) from None


def _refusal(endpoint: Endpoint) -> Problem:
    """One answer for every kind of forgery."""
    metrics.WEBHOOKS.inc(endpoint.name, "forged")
    headers = {"WWW-Authenticate": 'Basic realm="webhooks"'} if endpoint.kind == "postmark" else {}
    return Problem(401, "forged", "The sender of this webhook is not proven.", headers=headers)

"""POST /v1/send: the hot endpoint, plain ASGI in front of the router.

authenticate → limit → validate → accept. FastAPI knows the same path for OpenAPI only (`routes.messages`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import UUID

import msgspec
import structlog

from mailboat import metrics
from mailboat.api import gate
from mailboat.api.asgi import Receive, Scope, Send, respond
from mailboat.api.bodies import Held
from mailboat.api.context import Context
from mailboat.db import engine
from mailboat.delivery import accept as accepting
from mailboat.delivery import attach, suppressions, validate
from mailboat.delivery.accept import Accepted, Answer, Draft, unavailable
from mailboat.delivery.attach import Decoded, Link
from mailboat.delivery.clients import Client
from mailboat.delivery.validate import SendRequest
from mailboat.domain.revision import Revision
from mailboat.errors import Problem, TemplateFault
from mailboat.limits.bucket import Decision, Rate
from mailboat.telemetry import trace_id

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


async def handle(context: Context, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one POST /v1/send. Problems are raised, for the front to answer."""
    begun = time.perf_counter()
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    client = await context.authenticator.client(headers.get(b"x-api-key"), headers.get(b"x-api-secret"))
    gate.check_json(headers.get(b"content-type"))
    decision = await context.take(Rate(client.id, client.rate_per_minute, client.rate_burst))
    if not decision.allowed:
        raise rate_limited(client, decision)
    key, parent, held = headers.get(b"idempotency-key"), headers.get(b"traceparent"), context.bodies.hold()
    try:
        body = await context.bodies.read(headers, receive, held)
        with context.traces.span("POST /v1/send", parent, "server", client=client.name) as traceparent:
            accepted = await accept(context, client, body, key, traceparent, held)
    finally:
        held.close()
    answer = [(b"content-type", b"application/json"), *rate_headers(client, decision)]
    if accepted.repeated:
        answer.append((b"idempotent-replayed", b"true"))
    await respond(send, 202, _encode({"id": accepted.id, "status": accepted.status}), answer)
    metrics.ACCEPT_SECONDS.observe(time.perf_counter() - begun)


async def accept(
    context: Context, client: Client, body: bytes, key: str | None, traceparent: str, held: Held
) -> Accepted:
    """Validate one request and store it. `held` is the room of what is fetched for it. Raises Problem."""
    request = validate.decode(body)
    draft, files = await draft_of(context, client, request, key, traceparent)
    accepted = await _store(context, draft, files, held)
    log.info(
        "accepted",
        message_id=str(accepted.id),
        trace_id=trace_id(traceparent),
        client=client.name,
        template=request.template,
        repeated=accepted.repeated,
    )
    return accepted


async def _store(context: Context, draft: Draft, files: Sequence[Decoded | Link], held: Held) -> Accepted:
    if files:
        if linked(files):
            known = (await earlier(context, [draft])).get(draft.id)
            if isinstance(known, Problem):
                raise known
            if known is not None:
                return known
            async with context.fetcher.round(draft.client_id, held.take) as round_:
                draft, files = await round_.complete(draft, files)
        await keep(context, [file for file in files if isinstance(file, Decoded)])
    return await context.acceptor.accept(draft)


def linked(files: Sequence[Decoded | Link]) -> bool:
    """Whether any of these has yet to be fetched."""
    return any(isinstance(file, Link) for file in files)


async def earlier(context: Context, drafts: Sequence[Draft]) -> dict[UUID, Answer]:
    """What repeats among these are answered, so that nothing is fetched for them. Raises Problem 503."""
    try:
        return await accepting.earlier(context.prompt, drafts)
    except engine.AWAY as error:
        raise unavailable(f"the database is away ({type(error).__name__})") from None


async def draft_of(
    context: Context, client: Client, request: SendRequest, key: str | None, traceparent: str
) -> tuple[Draft, list[Decoded | Link]]:
    """A checked request as it is stored, and the files it carries, of which those that are linked are not in the draft
    yet. Raises Problem."""
    key = validate.idempotency_key(key)
    name = validate.check_template(client, request)
    revision = await resolve(context, client, name) if name is not None else None
    files = attach.decode(request.attachments)
    draft = validate.draft(
        client,
        request,
        revision,
        [file for file in files if isinstance(file, Decoded)],
        key=key,
        traceparent=traceparent,
        max_recipients=context.settings.max_recipients,
        unsubscribable=bool(context.settings.unsubscribe_key),
    )
    await context.guard.check(client.id, suppressions.recipients(request))
    return draft, files


async def keep(context: Context, files: Sequence[Decoded]) -> None:
    """Store the contents of attachments, before the messages that carry them. Raises Problem 503."""
    try:
        await context.attachments.keep(files)
    except engine.AWAY as error:
        raise unavailable(f"the database is away ({type(error).__name__})") from None


async def resolve(context: Context, client: Client, name: str) -> Revision:
    """The live revision of a template. Raises Problem 422 or 503."""
    try:
        revision = await context.catalog.resolve(client.namespace, name)
    except TemplateFault as fault:
        raise Problem(422, "template_broken", f"Template {name!r} cannot be read: {fault}", field="template") from None
    except engine.AWAY as error:
        raise unavailable(f"the database is away ({type(error).__name__})") from None
    if revision is None:
        raise Problem(422, "template_not_found", f"There is no template {name[:100]!r}.", field="template")
    return revision


def rate_limited(client: Client, decision: Decision) -> Problem:
    """429 with the time until the next token."""
    return Problem(
        429,
        "rate_limited",
        f"This client may send {client.rate_per_minute} messages a minute, {client.rate_burst} at once. "
        f"Try again in {decision.retry_after} s.",
        headers={
            "Retry-After": str(decision.retry_after),
            **{name.decode(): value.decode() for name, value in rate_headers(client, decision)},
        },
    )


def rate_headers(client: Client, decision: Decision) -> list[tuple[bytes, bytes]]:
    """RateLimit fields of draft-ietf-httpapi-ratelimit-headers."""
    seconds = -(-client.rate_burst * 60 // client.rate_per_minute)
    return [
        (b"ratelimit-policy", b'"client";q=%d;w=%d' % (client.rate_burst, seconds)),
        (b"ratelimit", b'"client";r=%d;t=%d' % (decision.remaining, decision.retry_after)),
    ]

"""POST /v1/batch: up to a thousand messages in one request, all or each.

A fault in one message is named by its place (`messages[3].to`). In mode `all` nothing is stored then; in mode `each`
the others are, and the answer says which.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from mailboat import metrics
from mailboat.api import problems, send
from mailboat.api.asgi import Receive, Scope, Send, read, respond
from mailboat.api.context import Context
from mailboat.delivery import validate
from mailboat.delivery.accept import Accepted, Answer, Draft
from mailboat.delivery.attach import Decoded
from mailboat.delivery.clients import Client
from mailboat.delivery.validate import BatchItem
from mailboat.errors import Problem
from mailboat.limits.bucket import Rate
from mailboat.telemetry import trace_id

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


async def handle(context: Context, scope: Scope, receive: Receive, respond_with: Send) -> None:
    """Answer one POST /v1/batch. Problems are raised, for the front to answer."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    client = await context.authenticator.client(headers.get(b"x-api-key"), headers.get(b"x-api-secret"))
    body = await read(headers, receive, context.settings.max_body_bytes)
    answer = await accept(context, client, body, headers.get(b"traceparent"))
    await respond(respond_with, 202, _encode(answer), [(b"content-type", b"application/json")])


async def accept(context: Context, client: Client, body: bytes, parent: str | None) -> dict[str, Any]:
    """Validate a batch and store it. Raises Problem for the batch as a whole; see `handle` for the rest."""
    request = validate.decode_batch(body)
    rate = Rate(client.id, client.rate_per_minute, client.rate_burst, whole=len(request.messages))
    decision = await context.take(rate)
    if not decision.allowed:
        raise send.rate_limited(client, decision)
    with context.traces.span("POST /v1/batch", parent, "server", client=client.name) as traceparent:
        drafts, files, faults = await _drafts(context, client, request.messages, traceparent)
        if faults and request.mode == "all":
            raise _refusal(faults, len(request.messages))
        if files:
            await send.keep(context, files)
        answers = await _store(context, drafts, faults, request.mode)
    outcome = _outcome(answers, len(request.messages))
    log.info("batch accepted", trace_id=trace_id(traceparent), client=client.name, messages=outcome["accepted"])
    return outcome


async def _drafts(
    context: Context, client: Client, items: list[BatchItem], traceparent: str
) -> tuple[dict[int, Draft], list[Decoded], dict[int, Problem]]:
    """The valid messages by their place, the files they carry, and the faults of the others."""
    drafts: dict[int, Draft] = {}
    files: list[Decoded] = []
    faults: dict[int, Problem] = {}
    for place, item in enumerate(items):
        try:
            drafts[place], own_files = await _draft(context, client, item, traceparent)
            files += own_files
        except Problem as problem:
            if problem.status == 503:
                raise
            faults[place] = _placed(problem, place)
    return drafts, files, faults


async def _draft(context: Context, client: Client, item: BatchItem, traceparent: str) -> tuple[Draft, list[Decoded]]:
    validate.check_depth(item)
    return await send.draft_of(context, client, item, item.idempotency_key, traceparent)


async def _store(
    context: Context, drafts: dict[int, Draft], faults: dict[int, Problem], mode: str
) -> dict[int, Answer]:
    """Every message's answer by its place. Raises Problem when a batch of mode `all` was not stored."""
    answers: dict[int, Answer] = dict(faults)
    if not drafts:
        return answers
    accept = context.acceptor.accept_all if mode == "all" else context.acceptor.accept_each
    for place, answer in zip(drafts, await accept(list(drafts.values())), strict=True):
        answers[place] = _placed(answer, place) if isinstance(answer, Problem) else answer
    refused = {place: answer for place, answer in answers.items() if isinstance(answer, Problem)}
    if refused and mode == "all":
        raise _refusal(refused, len(answers))
    return answers


def _placed(problem: Problem, place: int) -> Problem:
    """The same problem, its field named from the top of the batch."""
    field = "idempotency_key" if problem.field == "Idempotency-Key" else problem.field
    path = f"messages[{place}].{field}" if field else f"messages[{place}]"
    return Problem(problem.status, problem.code, problem.detail, field=path, headers=problem.headers, **problem.extra)


def _refusal(faults: dict[int, Problem], count: int) -> Problem:
    """The whole batch is refused: as its first fault, with all of them listed."""
    first = faults[min(faults)]
    return Problem(
        first.status,
        first.code,
        f"Nothing was stored: {len(faults)} of {count} messages cannot be. The first: {first.detail}",
        field=first.field,
        headers=first.headers,
        errors=[_fault(faults[place]) for place in sorted(faults)],
    )


def _fault(problem: Problem) -> dict[str, Any]:
    return {"field": problem.field, "code": problem.code, "detail": problem.detail}


def _outcome(answers: dict[int, Answer], count: int) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for place in range(count):
        answer = answers[place]
        if isinstance(answer, Accepted):
            items.append({"id": answer.id, "status": answer.status})
        else:
            metrics.REFUSED.inc(answer.code)
            items.append({"problem": msgspec.json.decode(problems.body(answer))})
    accepted = sum("id" in item for item in items)
    return {"accepted": accepted, "refused": count - accepted, "messages": items}

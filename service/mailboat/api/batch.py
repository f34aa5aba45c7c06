"""POST /v1/batch: up to a thousand messages in one request, all or each.

A fault in one message is named by its place (`messages[3].to`). In mode `all` nothing is stored then; in mode `each`
the others are, and the answer says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from mailboat import metrics
from mailboat.api import gate, problems, send
from mailboat.api.asgi import Receive, Scope, Send, respond
from mailboat.api.bodies import Held
from mailboat.api.context import Context
from mailboat.delivery import validate
from mailboat.delivery.accept import Accepted, Answer, Draft
from mailboat.delivery.attach import Decoded, Link
from mailboat.delivery.clients import Client
from mailboat.delivery.validate import BatchItem, BatchRequest
from mailboat.errors import Problem
from mailboat.limits.bucket import Decision, Rate
from mailboat.telemetry import trace_id

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


async def handle(context: Context, scope: Scope, receive: Receive, respond_with: Send) -> None:
    """Answer one POST /v1/batch. Problems are raised, for the front to answer."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    client = await context.authenticator.client(headers.get(b"x-api-key"), headers.get(b"x-api-secret"))
    gate.check_json(headers.get(b"content-type"))
    held = context.bodies.hold()
    try:
        body = await context.bodies.read(headers, receive, held)
        answer, decision = await accept(context, client, body, headers.get(b"traceparent"), held)
    finally:
        held.close()
    said = [(b"content-type", b"application/json"), *send.rate_headers(client, decision)]
    await respond(respond_with, 202, _encode(answer), said)


async def accept(
    context: Context, client: Client, body: bytes, parent: str | None, held: Held
) -> tuple[dict[str, Any], Decision]:
    """Validate a batch and store it: the answer, and what is left of the bucket. `held` is the room of what is fetched
    for it. Raises Problem for the batch as a whole."""
    request = validate.decode_batch(body)
    rate = Rate(client.id, client.rate_per_minute, client.rate_burst, whole=len(request.messages))
    decision = await context.take(rate)
    if not decision.allowed:
        raise send.rate_limited(client, decision)
    with context.traces.span("POST /v1/batch", parent, "server", client=client.name) as traceparent:
        valid, answers = await _check(context, client, request.messages, traceparent)
        _refuse(answers, request)
        if any(send.linked(item.files) for item in valid.values()):
            valid = await _fetch(context, valid, answers, held)
            _refuse(answers, request)
        if files := [file for item in valid.values() for file in item.files if isinstance(file, Decoded)]:
            await send.keep(context, files)
        answers |= await _store(context, {place: item.draft for place, item in valid.items()}, request.mode)
        _refuse(answers, request)
    outcome = _outcome(answers, len(request.messages))
    log.info("batch accepted", trace_id=trace_id(traceparent), client=client.name, messages=outcome["accepted"])
    return outcome, decision


class _Valid(NamedTuple):
    """A message that may be stored, and its files."""

    draft: Draft
    files: Sequence[Decoded | Link]


async def _check(
    context: Context, client: Client, items: list[BatchItem], traceparent: str
) -> tuple[dict[int, _Valid], dict[int, Answer]]:
    """The valid messages by their place, and the faults of the others."""
    valid: dict[int, _Valid] = {}
    faults: dict[int, Answer] = {}
    for place, item in enumerate(items):
        try:
            validate.check_depth(item)
            valid[place] = _Valid(*await send.draft_of(context, client, item, item.idempotency_key, traceparent))
        except Problem as problem:
            if problem.status == 503:
                raise
            faults[place] = _placed(problem, place)
    return valid, faults


async def _fetch(
    context: Context, valid: dict[int, _Valid], answers: dict[int, Answer], held: Held
) -> dict[int, _Valid]:
    """The messages with the files that they name by URL; those that are not to be stored get their answer."""
    whole = {place: item for place, item in valid.items() if not send.linked(item.files)}
    rest = {place: item for place, item in valid.items() if place not in whole}
    known = await send.earlier(context, [item.draft for item in rest.values()])
    client_id = next(iter(rest.values())).draft.client_id
    async with context.fetcher.round(client_id, held.take) as round_:
        for item in rest.values():
            if item.draft.id not in known:
                round_.begin(item.files)
        for place, item in rest.items():
            if (answer := known.get(item.draft.id)) is not None:
                answers[place] = _placed(answer, place) if isinstance(answer, Problem) else answer
                continue
            try:
                whole[place] = _Valid(*await round_.complete(item.draft, item.files))
            except Problem as problem:
                if problem.status == 503:
                    raise
                answers[place] = _placed(problem, place)
    return whole


async def _store(context: Context, drafts: dict[int, Draft], mode: str) -> dict[int, Answer]:
    """Every message's answer by its place."""
    if not drafts:
        return {}
    accept = context.acceptor.accept_all if mode == "all" else context.acceptor.accept_each
    answers = zip(drafts, await accept(list(drafts.values())), strict=True)
    return {place: _placed(answer, place) if isinstance(answer, Problem) else answer for place, answer in answers}


def _refuse(answers: dict[int, Answer], request: BatchRequest) -> None:
    """Raises Problem when something in a batch of mode `all` is refused."""
    faults = {place: answer for place, answer in answers.items() if isinstance(answer, Problem)}
    if faults and request.mode == "all":
        raise _refusal(faults, len(request.messages))


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

"""Plain ASGI: reading a body, giving one whole answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mailboat.api import problems
from mailboat.errors import Problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def read(
    headers: dict[bytes, str], receive: Receive, most: int, take: Callable[[int], None] | None = None
) -> bytes:
    """The body. Raises Problem 413 as soon as it is known to be too large.

    `take` is told of octets before they are kept, of all at once where their number is declared; it may raise.
    """
    declared = headers.get(b"content-length", "")
    if declared.isdecimal():
        if int(declared) > most:
            raise too_large(most)
        if take is not None:
            take(int(declared))
            take = None
    chunks, size = [], 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Problem(400, "malformed_json", "The connection closed before the body was complete.")
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > most:
            raise too_large(most)
        if take is not None:
            take(len(chunk))
        chunks.append(chunk)
        if not event.get("more_body"):
            return b"".join(chunks)


def again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for who reads it once more; then what comes after it."""
    events = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> MutableMapping[str, Any]:
        return next(events, None) or await receive()

    return replay


async def respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """One whole answer."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_problem(send: Send, problem: Problem) -> None:
    """A problem as the answer."""
    headers = [(b"content-type", problems.MEDIA_TYPE.encode())]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    await respond(send, problem.status, problems.body(problem), headers)


def internal_error() -> Problem:
    return Problem(500, "internal_error", "A fault of the server; it is in its log.")


def too_large(most: int) -> Problem:
    """413; what was not read of the body is not waited for."""
    return Problem(413, "body_too_large", f"The body may have {most} octets at most.")

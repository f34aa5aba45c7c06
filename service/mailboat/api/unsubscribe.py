"""/unsubscribe/{token}: GET shows a page with a button and changes nothing, POST takes the recipient off (RFC 8058).

Plain ASGI, as `send` is. Mail programs POST `List-Unsubscribe=One-Click` without a person; the page's button POSTs to
the same place. Link scanners only GET.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import structlog

from mailboat.api.asgi import Receive, Scope, Send, read, respond
from mailboat.db import engine
from mailboat.delivery import unsubscribe
from mailboat.delivery.unsubscribe import PATH, Subscriber
from mailboat.errors import Problem

if TYPE_CHECKING:
    from mailboat.api.context import Context

log = structlog.get_logger()
MOST_OCTETS = 4096  # of a body that says nothing but List-Unsubscribe=One-Click
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),  # the link is a secret
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
)
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem; color: #1c2733 }}
h1 {{ font-size: 1.4rem }} strong {{ overflow-wrap: anywhere }}
button {{ font: inherit; padding: .6rem 1.2rem; border: 0; border-radius: .4rem; background: #0b5cad; color: #fff }}
</style></head>
<body><main><h1>{title}</h1>{body}</main></body>
</html>
"""


async def handle(context: Context, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request. Problems are raised, for the front to answer."""
    links, method = context.links, scope["method"]
    if links is None:
        raise Problem(404, "not_found", "There are no unsubscribe links here: set MAILBOAT_UNSUBSCRIBE_KEY.")
    if method not in ("GET", "HEAD", "POST"):
        raise Problem(405, "method_not_allowed", "Links are followed with GET or POST.", headers={"Allow": "GET, POST"})
    if method == "POST":
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        await read(headers, receive, MOST_OCTETS)
    try:
        subscriber = await links.follow(context.pool, scope["path"].removeprefix(PATH))
        if subscriber is not None and method == "POST":
            await unsubscribe.leave(context.pool, subscriber)
            log.info("unsubscribed", message_id=str(subscriber.message_id), client_id=subscriber.client_id)
    except engine.AWAY as error:
        raise Problem(
            503,
            "unavailable",
            f"Nothing was changed: the database is away ({type(error).__name__}). Try again.",
            headers={"Retry-After": "1"},
        ) from None
    status, page = _answer(subscriber, method)
    await respond(send, status, b"" if method == "HEAD" else page.encode(), list(_HEADERS))


def _answer(subscriber: Subscriber | None, method: str) -> tuple[int, str]:
    if subscriber is None:
        return 404, _page("This link does not work", "<p>It is incomplete, or older than the mail that we keep.</p>")
    recipient = f"<strong>{html.escape(subscriber.recipient.email)}</strong>"
    sender = f"<strong>{html.escape(subscriber.sender.name or subscriber.sender.email)}</strong>"
    if method == "POST":
        return 200, _page("You are unsubscribed", f"<p>{sender} will not write to {recipient} any more.</p>")
    return 200, _page(
        "Unsubscribe?",
        f"<p>{sender} will not write to {recipient} any more.</p>"
        '<form method="post"><button name="List-Unsubscribe" value="One-Click">Unsubscribe</button></form>',
    )


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=title, body=body)

"""GET /metrics on the API's own port: open where only this machine can ask, else for the admin token.

The port of MAILBOAT_METRICS_PORT answers without a token; see `mailboat.probes`.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from mailboat.api.asgi import Scope, Send, respond
from mailboat.errors import Problem
from mailboat.probes import Probes
from mailboat.settings import Settings

if TYPE_CHECKING:
    from mailboat.api.front import Front

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def probes(front: Front) -> Probes:
    """What this process answers those who look after it."""
    return Probes("api", front.unready, front.refresh)


async def handle(front: Front, settings: Settings, scope: Scope, send: Send) -> None:
    """Answer one scrape. Raises Problem 401, and 404 where no token is set."""
    if not _is_local(settings, scope):
        _check_token(settings, scope)
    status, kind, body = await probes(front).answer("/metrics")
    await respond(send, status, body, [(b"content-type", kind.encode())])


def _is_local(settings: Settings, scope: Scope) -> bool:
    """Whether we listen on loopback alone and no proxy says that it asks for somebody else."""
    forwarded = {b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"}
    return settings.host in LOOPBACK and not any(name in forwarded for name, _ in scope["headers"])


def _check_token(settings: Settings, scope: Scope) -> None:
    if not settings.admin_token:
        raise Problem(404, "not_found", "/metrics is off here: set MAILBOAT_ADMIN_TOKEN, or use MAILBOAT_METRICS_PORT.")
    given = dict(scope["headers"]).get(b"authorization", b"")
    scheme, _, token = given.partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), settings.admin_token.encode()):
        raise Problem(
            401,
            "unauthorized",
            "/metrics wants the admin token: Authorization: Bearer TOKEN.",
            headers={"WWW-Authenticate": "Bearer"},
        )

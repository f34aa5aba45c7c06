"""What FastAPI's endpoints depend on."""

from __future__ import annotations

import hmac
from typing import Annotated, cast

from fastapi import Header, Request

from mailboat.api.context import Context
from mailboat.delivery.clients import Client
from mailboat.errors import Problem


def context_of(request: Request) -> Context:
    """The process's connections."""
    return cast("Context", request.app.state.context)


async def authenticated(
    request: Request,
    x_api_key: Annotated[str | None, Header()] = None,
    x_api_secret: Annotated[str | None, Header()] = None,
) -> Client:
    """The client that calls. Raises Problem 401, 403 or 503."""
    return await context_of(request).authenticator.client(x_api_key, x_api_secret)


async def administrator(
    request: Request,
    authorization: Annotated[str | None, Header()] = None,
    x_admin_token: Annotated[str | None, Header()] = None,
) -> None:
    """Lets the holder of the admin token pass. Raises Problem 401; 404 where no token is set."""
    token = context_of(request).settings.admin_token
    if not token:
        raise Problem(404, "not_found", "The admin side is off: set MAILBOAT_ADMIN_TOKEN.")
    scheme, _, bearer = (authorization or "").partition(" ")
    given = x_admin_token or (bearer if scheme.lower() == "bearer" else "")
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise Problem(
            401,
            "unauthorized",
            "The admin token is missing or wrong. Send it as Authorization: Bearer TOKEN.",
            headers={"WWW-Authenticate": "Bearer"},
        )

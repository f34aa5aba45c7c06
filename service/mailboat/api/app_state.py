"""What FastAPI's endpoints depend on."""

from __future__ import annotations

import hmac
from typing import Annotated, cast

from fastapi import Header, Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from mailboat.api.context import Context
from mailboat.delivery.clients import Client
from mailboat.errors import Problem

LOOKING = frozenset({"GET", "HEAD"})  # what changes nothing


def context_of(request: Request) -> Context:
    """The process's connections."""
    return cast("Context", request.app.state.context)


async def authenticated(
    request: Request,
    x_api_key: Annotated[str | None, Header()] = None,
    x_api_secret: Annotated[str | None, Header()] = None,
) -> Client:
    """The client that calls, with a query that is known. Raises Problem 401, 403, 422 or 503."""
    client = await context_of(request).authenticator.client(x_api_key, x_api_secret)
    check_query(request)
    return client


async def administrator(
    request: Request,
    authorization: Annotated[str | None, Header()] = None,
    x_admin_token: Annotated[str | None, Header()] = None,
) -> None:
    """Lets the holder of the admin token pass, and that of the viewer token where nothing is changed, with a query that
    is known. Raises Problem 401, 403, 404 (off) and 422."""
    settings = context_of(request).settings
    if not settings.admin_token:
        raise Problem(404, "not_found", "The admin side is off: set MAILBOAT_ADMIN_TOKEN.")
    scheme, _, bearer = (authorization or "").partition(" ")
    given = x_admin_token or (bearer if scheme.lower() == "bearer" else "")
    may_act = hmac.compare_digest(given.encode(), settings.admin_token.encode())
    may_look = hmac.compare_digest(given.encode(), settings.viewer_token.encode()) and settings.viewer_token != ""
    if not may_act and not may_look:
        raise Problem(
            401,
            "unauthorized",
            "The admin token is missing or wrong. Send it as Authorization: Bearer TOKEN.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if not may_act and request.method not in LOOKING:
        raise Problem(403, "role_required", "The viewer token may look; this needs the role admin: the admin token.")
    check_query(request)


def check_query(request: Request) -> None:
    """Raises Problem 422 for a query parameter that this path does not know: a misspelt filter would narrow nothing."""
    if not request.query_params:
        return
    known = _known(request.scope["route"].dependant)
    for name in request.query_params:
        if name not in known:
            raise Problem(
                422,
                "unknown_field",
                f"{name[:80]!r} is not a query parameter here; {', '.join(sorted(known)) or 'none'} can be given.",
                field=name[:80],
            )


def _known(dependant: Dependant) -> set[str]:
    names: set[str] = set().union(*(_known(inner) for inner in dependant.dependencies))
    for field in dependant.query_params:
        kind = field.field_info.annotation
        names |= set(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else {field.alias}
    return names

"""The FastAPI application: every endpoint but the hot one, and the OpenAPI document for all of them."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from mailboat import __version__, dashboard, telemetry
from mailboat.api import document, problems, resend
from mailboat.api.app_state import administrator
from mailboat.api.asgi import internal_error
from mailboat.api.context import Context
from mailboat.api.gate import Gate, not_json
from mailboat.api.routes import (
    admin,
    emails,
    messages,
    probes,
    providers,
    reference,
    stopped,
    suppressions,
    templates,
    usage,
    webhook_endpoints,
)
from mailboat.db import engine
from mailboat.delivery.accept import unavailable
from mailboat.errors import Problem


def create(context: Context) -> FastAPI:
    """The application over these connections."""
    app = FastAPI(
        title="Mailboat",
        version=__version__,
        description="A self-hosted transactional email platform.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=document.identify,
        telemetry=telemetry.FRAMEWORKS_OWN,
    )
    app.add_middleware(Gate)
    app.state.context = context
    app.include_router(probes.router)
    app.include_router(messages.router)
    app.include_router(templates.router)
    app.include_router(usage.router)
    app.include_router(emails.router)
    app.include_router(admin.router)
    app.include_router(stopped.router)
    app.include_router(suppressions.router)
    app.include_router(suppressions.admin_router)
    app.include_router(providers.router)
    app.include_router(webhook_endpoints.router)
    client_file = Path(context.settings.client_file) if context.settings.client_file else None
    inbox = APIRouter(dependencies=[Depends(administrator)])
    inbox.include_router(dashboard.api_router(pool=context.pool))
    app.include_router(inbox)
    app.include_router(
        dashboard.router(
            pool=context.pool,
            settings=context.settings,
            feed=context.feed,
            catalog=context.catalog,
            renderer=lambda: context.renderer,
            doorbell=context.doorbell,
            orm=lambda: context.orm,
            client_file=client_file,
        )
    )
    app.include_router(reference.router())
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for away in engine.AWAY:
        app.add_exception_handler(away, _away)
    app.add_exception_handler(Exception, _fault)
    app.openapi = lambda: document.of(app)  # type: ignore[method-assign]
    return app


def _answer(request: Request, problem: Problem) -> Response:
    """In the form of Resend where its SDKs call, else as RFC 9457 has it."""
    body, kind = problems.body(problem), problems.MEDIA_TYPE
    if resend.speaks(request.url.path):
        problem = resend.refusal(problem)
        body, kind = resend.body(problem), "application/json"
    return Response(body, problem.status, media_type=kind, headers=dict(problem.headers))


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(request, error)


async def _fault(request: Request, __: Exception) -> Response:
    return _answer(request, internal_error())


async def _invalid(request: Request, error: Exception) -> Response:
    """The first fault is named; all of them are listed in `errors`."""
    assert isinstance(error, RequestValidationError)
    faults = [{"field": _path(fault["loc"]), "detail": fault["msg"]} for fault in error.errors()]
    first, kind = faults[0], error.errors()[0]["type"]
    if kind == "json_invalid":
        return _answer(request, Problem(400, "malformed_json", "The body is not valid JSON."))
    if isinstance(error.body, bytes):
        return _answer(request, not_json(request.headers.get("content-type")))
    code = {"missing": "missing_field", "extra_forbidden": "unknown_field"}.get(kind, "invalid_field")
    detail = f"{first['field']}: {first['detail'].removeprefix('Value error, ')}."
    return _answer(request, Problem(422, code, detail, field=first["field"], errors=faults))


def _path(place: tuple[int | str, ...]) -> str:
    path = ""
    for part in place[1:] if len(place) > 1 and place[0] in ("body", "query", "path", "header") else place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "body"


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(request, _of_starlette(request, error))


def _of_starlette(request: Request, error: HTTPException) -> Problem:
    """What Starlette and FastAPI say by status alone."""
    path, cause = request.url.path, error.__cause__
    if error.status_code == 405:
        allowed = ", ".join(_methods(request))
        detail = f"{path} has no {request.method[:20]}; it has {allowed}."
        return Problem(405, "method_not_allowed", detail, headers={"Allow": allowed})
    if error.status_code == 404:
        hint = " Try it without the slash at the end." if path.endswith("/") else ""
        return Problem(404, "not_found", f"There is no path {path[:200]!r}; /docs lists them.{hint}")
    if isinstance(cause, RecursionError):
        return Problem(400, "too_deep", "The body is nested too deep.")
    reason = f": {cause}" if isinstance(cause, ValueError) else ""
    return Problem(400, "malformed_json", f"The body is not JSON that can be read{reason}.")


def _methods(request: Request) -> list[str]:
    """Every method that this path has, HEAD included where GET is."""
    found = {
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    }
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


async def _away(request: Request, error: Exception) -> Response:
    return _answer(request, unavailable(f"the database is away ({type(error).__name__})"))

"""The FastAPI application: every endpoint but the hot one, and the OpenAPI document for all of them."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from mailboat import __version__, dashboard
from mailboat.api import problems
from mailboat.api.app_state import administrator
from mailboat.api.asgi import internal_error
from mailboat.api.context import Context
from mailboat.api.routes import admin, messages, probes, providers, stopped, suppressions, templates, webhook_endpoints
from mailboat.db import engine
from mailboat.delivery.accept import unavailable
from mailboat.delivery.validate import BatchRequest, SendRequest
from mailboat.errors import Problem


def create(context: Context) -> FastAPI:
    """The application over these connections."""
    app = FastAPI(
        title="Mailboat",
        version=__version__,
        description="A self-hosted transactional email platform.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = context
    app.include_router(probes.router)
    app.include_router(messages.router)
    app.include_router(templates.router)
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
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for away in engine.AWAY:
        app.add_exception_handler(away, _away)
    app.add_exception_handler(Exception, _fault)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _answer(problem: Problem) -> Response:
    return Response(
        problems.body(problem), problem.status, media_type=problems.MEDIA_TYPE, headers=dict(problem.headers)
    )


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(error)


async def _fault(_: Request, __: Exception) -> Response:
    return _answer(internal_error())


async def _invalid(_: Request, error: Exception) -> Response:
    """The first fault is named; all of them are listed in `errors`."""
    assert isinstance(error, RequestValidationError)
    faults = [{"field": _path(fault["loc"]), "detail": fault["msg"]} for fault in error.errors()]
    first, kind = faults[0], error.errors()[0]["type"]
    if kind == "json_invalid":
        return _answer(Problem(400, "malformed_json", "The body is not valid JSON."))
    code = {"missing": "missing_field", "extra_forbidden": "unknown_field"}.get(kind, "invalid_field")
    detail = f"{first['field']}: {first['detail'].removeprefix('Value error, ')}."
    return _answer(Problem(422, code, detail, field=first["field"], errors=faults))


def _path(place: tuple[int | str, ...]) -> str:
    path = ""
    for part in place[1:] if len(place) > 1 and place[0] in ("body", "query", "path", "header") else place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "body"


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}.get(error.status_code, "invalid_field")
    detail = HTTPStatus(error.status_code).description or str(error.detail)
    return _answer(Problem(error.status_code, code, detail, headers=dict(error.headers or {})))


async def _away(_: Request, error: Exception) -> Response:
    return _answer(unavailable(f"the database is away ({type(error).__name__})"))


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        references, components = msgspec.json.schema_components(
            [SendRequest, BatchRequest], ref_template="#/components/schemas/{name}"
        )
        document["components"]["schemas"] |= components | {"Problem": PROBLEM}
        document["components"]["schemas"].pop("HTTPValidationError", None)
        document["components"]["schemas"].pop("ValidationError", None)
        examples = {"/v1/send": EXAMPLE, "/v1/batch": {"mode": "each", "messages": [EXAMPLE]}}
        for (path, example), reference in zip(examples.items(), references, strict=True):
            document["paths"][path]["post"]["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": reference, "example": example}},
            }
        send = document["paths"]["/v1/send"]["post"]
        send["parameters"] = [*send.get("parameters", []), IDEMPOTENCY_KEY]
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = {
                    "description": "A problem (RFC 9457); `code` says which.",
                    "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
        app.openapi_schema = document
    return app.openapi_schema


PROBLEM = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(problems.CODES)},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "The part of the request at fault."},
    },
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 255},
    "description": "Makes a repeat of the request safe.",
}
EXAMPLE = {"template": "receipt", "to": "Ada <ada@example.com>", "data": {"order": "A-1042"}}

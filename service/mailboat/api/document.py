"""The OpenAPI document: what FastAPI knows of its routes, and what it cannot know added from tables.

Added are the endpoints that answer in front of FastAPI, who may call what, every problem that an operation answers
with, headers, and an example of every body.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from mailboat.api import problems, resend, samples
from mailboat.delivery.validate import MOST_IN_BATCH, BatchRequest, SendRequest
from mailboat.errors import Problem

JSON = "application/json"
METHODS = ("get", "put", "post", "delete", "patch")
DESCRIPTION = """\
A self-hosted transactional email platform.

Clients send their key and secret in `X-Api-Key` and `X-Api-Secret`; `/admin` takes the admin token as a bearer token.
Refusals are problems (RFC 9457) with a stable `code`, and nothing was stored then.
"""
TAGS = {
    "messages": "Send mail, and see what became of it.",
    "templates": "What a client may send with.",
    "suppressions": "Addresses that must not be mailed again.",
    "usage": "What a client has used of its quota and has left.",
    "webhook endpoints": "URLs that are told what happens to a client's mail.",
    "resend": "A drop-in for Resend's SDKs: their requests, their answers, their errors.",
    "admin": "Clients and their keys.",
    "stopped mail": "Dead letters and held mail.",
    "providers": "Whom mail goes out through, and how their circuits stand.",
    "inbox": "What the development provider keeps.",
    "feedback": "What providers report, and the way out for recipients.",
    "probes": "Is it alive, is it ready, how is it doing.",
}

# ── Who may call ─────────────────────────────────────────────────────────────────────────────────────────────────────

SCHEMES = {
    "ClientKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "A client's key."},
    "ClientSecret": {"type": "apiKey", "in": "header", "name": "X-Api-Secret", "description": "The key's secret."},
    "ClientBearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "Key and secret in one, with a dot between: `mb_….SECRET`. It is what Resend's SDKs send.",
    },
    "AdminToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "MAILBOAT_ADMIN_TOKEN; to look, MAILBOAT_VIEWER_TOKEN.",
    },
    "AdminHeader": {"type": "apiKey", "in": "header", "name": "X-Admin-Token", "description": "The same as a header."},
}
CLIENT: list[dict[str, list[str]]] = [{"ClientKey": [], "ClientSecret": []}]
SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "/v1/": CLIENT,
    "/admin/": [{"AdminToken": []}, {"AdminHeader": []}],
    "/emails": [{"ClientBearer": []}],
    "/metrics": [{}, {"AdminToken": []}],
}
INBOX = {
    "index": "list_inbox",
    "clear": "clear_inbox",
    "read": "get_mail",
    "raw": "get_mail_source",
    "delete": "delete_mail",
}
CREDENTIALS = frozenset({"x-api-key", "x-api-secret", "authorization", "x-admin-token"})

# ── What may be answered ─────────────────────────────────────────────────────────────────────────────────────────────

GATED = {
    "/v1/": ("unauthorized", "client_suspended", "unknown_field", "internal_error", "unavailable"),
    "/admin/": ("unauthorized", "not_found", "unknown_field", "internal_error", "unavailable"),
}
WITH_BODY = (
    "malformed_json", "too_deep", "too_slow", "body_too_large", "unsupported_media_type", "missing_field",
    "unknown_field", "invalid_field",
)  # fmt: skip
SENDING = (
    "malformed_json", "too_deep", "invalid_idempotency_key", "too_slow", "idempotency_key_reused", "body_too_large",
    "unsupported_media_type", "missing_field", "unknown_field", "invalid_field", "invalid_data", "invalid_address",
    "invalid_header", "invalid_attachment", "suppressed", "too_many_recipients", "sender_not_allowed",
    "template_not_allowed", "template_not_found", "template_broken", "unstorable", "rate_limited", "quota_exceeded",
    "outcome_unknown",
)  # fmt: skip
SPECIAL: dict[str, tuple[str, ...]] = {
    "POST /v1/messages/{message_id}/cancel": ("not_cancellable",),
    "GET /v1/templates/{name}": ("template_broken",),
    "POST /v1/templates/{name}/render": ("template_broken", "template_failed", "invalid_data"),
    "POST /v1/suppressions": ("invalid_address",),
    "POST /admin/suppressions": ("invalid_address",),
    "POST /admin/clients": ("already_exists",),
    "POST /admin/dead-letters/{message_id}/replay": ("wrong_state",),
    "GET /admin/dead-letters/{message_id}/raw": ("wrong_state",),
    "GET /admin/held/{message_id}/raw": ("wrong_state",),
    "POST /admin/held/{message_id}/release": ("wrong_state",),
    "POST /admin/held/{message_id}/fail": ("wrong_state",),
    "GET /admin/inbox": ("invalid_cursor",),
    "POST /v1/webhook-endpoints": ("already_exists",),
    "PATCH /v1/webhook-endpoints/{endpoint}": ("already_exists", "wrong_state"),
    "POST /v1/webhook-endpoints/{endpoint}/rotate": ("wrong_state",),
    "POST /v1/webhook-endpoints/{endpoint}/resume": ("wrong_state",),
    "POST /v1/webhook-endpoints/{endpoint}/test": ("wrong_state",),
    "POST /v1/webhook-endpoints/{endpoint}/replay": ("wrong_state",),
    "POST /v1/webhook-endpoints/{endpoint}/deliveries/{delivery}/replay": ("wrong_state",),
    "GET /readyz": ("unavailable",),
}
FIXED: dict[str, tuple[str, ...]] = {
    "POST /v1/send": (*GATED["/v1/"], *SENDING),
    "POST /v1/batch": (*GATED["/v1/"], *SENDING),
    "POST /v1/suppressions/import": (*GATED["/v1/"], "malformed_csv", "body_too_large", "missing_field"),
    "POST /admin/suppressions/import": (
        *GATED["/admin/"],
        "role_required",
        "malformed_csv",
        "body_too_large",
        "missing_field",
    ),
}
HEADERS = {
    "Retry-After": ("Seconds until it is worth trying again.", {"type": "string", "pattern": "^[0-9]+$"}),
    "RateLimit-Policy": (
        "The client's bucket: `q` messages in `w` seconds (draft-ietf-httpapi-ratelimit-headers).",
        {"type": "string", "examples": ['"client";q=100;w=10']},
    ),
    "RateLimit": (
        "What is left of it: `r` messages now; after `t` seconds there is one.",
        {"type": "string", "examples": ['"client";r=99;t=0']},
    ),
    "Idempotent-Replayed": ("`true` when this is the first answer again.", {"type": "string", "enum": ["true"]}),
    "WWW-Authenticate": ("How to prove who you are.", {"type": "string"}),
}
HEADERS_OF = {"401": ("WWW-Authenticate",), "429": ("Retry-After", "RateLimit-Policy", "RateLimit")}
HEADERS_OF_SUCCESS = {
    "POST /v1/send": ("RateLimit-Policy", "RateLimit", "Idempotent-Replayed"),
    "POST /v1/batch": ("RateLimit-Policy", "RateLimit"),
    "POST /emails": ("RateLimit-Policy", "RateLimit"),
    "POST /emails/batch": ("RateLimit-Policy", "RateLimit"),
}
PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "A refusal (RFC 9457): `code` is for programs, `detail` for people.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "enum": sorted(problems.CODES)},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "The part of the request at fault."},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "All faults, where several are known."},
    },
}

# ── What FastAPI does not see ────────────────────────────────────────────────────────────────────────────────────────

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$"},
    "description": "Makes a repeat of the request safe: the same key with the same body gives the first answer again.",
}
TRACEPARENT = {
    "name": "traceparent",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Puts the mail into the caller's trace (W3C Trace Context).",
}
_TOKEN = {"name": "token", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_KIND = {
    "name": "provider",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": ["ses", "sendgrid", "mailgun", "postmark"]},
    "description": "The kind of provider.",
}
_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "description": "The provider's name; a declared one is called namespace/name.",
}
_HOOK_CODES = (
    "malformed_webhook",
    "forged",
    "not_found",
    "too_slow",
    "body_too_large",
    "internal_error",
    "unavailable",
)
_HTML = {"text/html": {"schema": {"type": "string"}}}
_FORM = {
    "required": False,
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "properties": {"List-Unsubscribe": {"const": "One-Click"}}},
            "example": {"List-Unsubscribe": "One-Click"},
        }
    },
}


def _hook(named: bool) -> dict[str, Any]:
    return {
        "tags": ["feedback"],
        "summary": "What a provider reports" if named else "The same, for every provider of the kind",
        "description": "The signature decides (SES: SNS; SendGrid: ECDSA; Mailgun: HMAC; Postmark: basic auth). "
        "What is proven is stored and answered with 204; what it means is found out later. The body is theirs.",
        "operationId": "receive_webhook" if named else "receive_webhook_of_kind",
        "parameters": [_KIND, _NAME] if named else [_KIND],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {}, "example": {"RecordType": "Delivery", "MessageID": "883953f4"}},
                "text/plain": {"schema": {"type": "string"}, "example": '{"Type": "Notification"}'},
            },
        },
        "responses": {"204": {"description": "Taken."}},
    }


FRONT: dict[str, dict[str, Any]] = {
    "/webhooks/{provider}/{name}": {"post": _hook(named=True)},
    "/webhooks/{provider}": {"post": _hook(named=False)},
    "/unsubscribe/{token}": {
        "get": {
            "tags": ["feedback"],
            "summary": "A page with a button",
            "description": "Changes nothing: link scanners follow links.",
            "operationId": "show_unsubscribe",
            "parameters": [_TOKEN],
            "responses": {
                "200": {"description": "The page.", "content": _HTML},
                "404": {"description": "The link does not work: a page, too.", "content": _HTML},
            },
        },
        "post": {
            "tags": ["feedback"],
            "summary": "Unsubscribe with one click (RFC 8058)",
            "description": "Suppresses the recipient for this client and adds the event `unsubscribed` to the message.",
            "operationId": "unsubscribe",
            "parameters": [_TOKEN],
            "requestBody": _FORM,
            "responses": {
                "200": {"description": "Done: a page.", "content": _HTML},
                "404": {"description": "The link does not work: a page, too.", "content": _HTML},
            },
        },
    },
    "/metrics": {
        "get": {
            "tags": ["probes"],
            "summary": "Prometheus metrics",
            "description": "Open where only this machine can ask; elsewhere for the admin token.",
            "operationId": "metrics",
            "responses": {
                "200": {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
            },
        }
    },
}
FRONT_CODES = {
    "POST /webhooks/{provider}/{name}": _HOOK_CODES,
    "POST /webhooks/{provider}": _HOOK_CODES,
    "GET /unsubscribe/{token}": ("not_found", "unavailable", "internal_error"),
    "POST /unsubscribe/{token}": ("not_found", "body_too_large", "unavailable", "internal_error"),
    "GET /metrics": ("unauthorized", "not_found", "internal_error"),
}


def identify(route: APIRoute) -> str:
    """The operationId: the function's name, but where two have one."""
    if route.path.startswith("/admin/suppressions"):
        return f"{route.name}_for_all"
    return INBOX.get(route.name, route.name)


def of(app: FastAPI) -> dict[str, Any]:
    """The document of this application, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _complete(
            get_openapi(title="Mailboat", version=app.version, description=DESCRIPTION, routes=app.routes)
        )
    return app.openapi_schema


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    document["servers"] = [{"url": "/", "description": "This server."}]
    document["paths"] |= copy.deepcopy(FRONT)
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {"Problem": PROBLEM, "ResendError": resend.ERROR}
    document["components"]["securitySchemes"] = SCHEMES
    _describe_bodies(document)
    for name, operation in operations(document):
        _describe(name, operation, schemas)
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation by its method and path."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def _describe_bodies(document: dict[str, Any]) -> None:
    """The bodies that msgspec decodes."""
    types = {
        "POST /v1/send": SendRequest,
        "POST /v1/batch": BatchRequest,
        "POST /emails": resend.ResendEmail,
        "POST /emails/batch": list[resend.ResendEmail],
        "PATCH /emails/{email_id}": resend.ResendChange,
    }
    references, components = msgspec.json.schema_components(
        list(types.values()), ref_template="#/components/schemas/{name}"
    )
    document["components"]["schemas"] |= components
    named = dict(operations(document))
    for (name, _), reference in zip(types.items(), references, strict=True):
        named[name]["requestBody"] = {"required": True, "content": {JSON: {"schema": reference}}}
    for title in ("SendRequest", "BatchItem"):
        for field, schema in components[title]["properties"].items():
            schema |= samples.SEND_FIELDS.get(field, {})
    named["POST /v1/send"]["parameters"] += [IDEMPOTENCY_KEY, TRACEPARENT]
    named["POST /v1/batch"]["parameters"] += [TRACEPARENT]
    for name in ("POST /emails", "POST /emails/batch"):
        named[name]["parameters"] += [IDEMPOTENCY_KEY, TRACEPARENT]
    named["POST /v1/batch"]["description"] += f" At most {MOST_IN_BATCH} messages."


def _describe(name: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    path = name.partition(" ")[2]
    parameters = [p for p in operation.get("parameters", []) if p["name"].lower() not in CREDENTIALS]
    operation.pop("parameters", None)
    if parameters:
        operation["parameters"] = parameters
    if operation["summary"].istitle():  # made from the name of the function
        operation["summary"] = operation["summary"].capitalize()
    security = next((given for prefix, given in SECURITY.items() if path.startswith(prefix)), None)
    operation["security"] = security if security is not None else []
    _answers(name, path, operation)
    samples.add(operation, schemas)


def _answers(name: str, path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    for status, response in responses.items():
        if response["description"] == "Successful Response":
            response["description"] = HTTPStatus(int(status)).phrase + "."
        for content in response.get("content", {}).values():
            content.setdefault("schema", {"type": "string"})
        if headers := HEADERS_OF_SUCCESS.get(name):
            response["headers"] = _headers(headers)
    for status, refusal in _refusals(name, path, operation).items():
        if status in responses:  # a page, at the same status
            responses[status]["content"] |= refusal["content"]
        else:
            responses[status] = refusal
        if headers := HEADERS_OF.get(status):
            responses[status]["headers"] = _headers(headers)
    responses["default"] = {
        "description": "Any other problem; `code` says which.",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"description": HEADERS[name][0], "schema": HEADERS[name][1]} for name in names}


def _refusals(name: str, path: str, operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What an operation answers when it refuses, by status."""
    if resend.speaks(path):
        return resend.answers()
    by_status = _by_status(codes_of(name, path, operation))
    return {status: _refusal(status, by_status[status]) for status in sorted(by_status)}


def codes_of(name: str, path: str, operation: dict[str, Any]) -> set[str]:
    """The code of every problem that an operation answers with."""
    if given := FIXED.get(name) or FRONT_CODES.get(name):
        return set(given)
    codes = set(next((given for prefix, given in GATED.items() if path.startswith(prefix)), ("internal_error",)))
    codes |= set(SPECIAL.get(name, ()))
    parameters = operation.get("parameters", [])
    if path.startswith("/admin/") and not name.startswith("GET "):
        codes.add("role_required")
    if "requestBody" in operation:
        codes |= set(WITH_BODY)
    if parameters:
        codes.add("invalid_field")
    if any(p["in"] == "path" for p in parameters):
        codes.add("not_found")
    if any(p["name"] == "cursor" and p["schema"].get("format") != "uuid" for p in parameters):
        codes.add("invalid_cursor")
    return codes


def _by_status(codes: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for code in problems.CODES:
        if code in codes:
            found.setdefault(str(problems.CODES[code][0]), []).append(code)
    return found


def _refusal(status: str, codes: list[str]) -> dict[str, Any]:
    examples = {
        code: {"value": msgspec.json.decode(problems.body(Problem(int(status), code, problems.CODES[code][1])))}
        for code in codes
    }
    return {
        "description": f"{HTTPStatus(int(status)).phrase}: " + ", ".join(f"`{code}`" for code in codes) + ".",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
    }

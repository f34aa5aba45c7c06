"""Examples for the OpenAPI document: one plausible value for each name, put together along the schemas."""

from __future__ import annotations

from typing import Any

ID = "01a20b42-7c1e-7d3a-9a55-0f4e1c2d3b4a"
AT = "2026-11-24T14:31:40Z"
NAMES: dict[str, Any] = {
    "accepted": 1,
    "accepted_this_month": 1042,
    "address": "ada@example.com",
    "after": "shop/storefront",
    "attempt_count": 1,
    "client": "shop/storefront",
    "content": "JVBERi0xLjQK",
    "content_id": None,
    "content_type": "application/pdf",
    "cursor": None,
    "data": {"order": "A-1042"},
    "data_schema": {"type": "object", "required": ["order"]},
    "detail": "250 2.0.0 OK",
    "diagnosis": None,
    "error": None,
    "event": "delivered",
    "events": ["delivered", "bounced"],
    "example": {"order": "A-1042"},
    "expires_at": None,
    "filename": "invoice.pdf",
    "from": "Northwind <orders@shop.example.com>",
    "headers": {"X-Order": "A-1042"},
    "html": "<p>Order A-1042</p>",
    "id": ID,
    "key": "mb_0f4e1c2d3b4a5f6e7d8c",
    "kind": "to",
    "last_event": "delivered",
    "locale": "de",
    "locales": ["de"],
    "metadata": {},
    "month": "2026-11",
    "name": "storefront",
    "namespace": "shop",
    "next": None,
    "origin": "api",
    "outcome": "sent",
    "paused_at": None,
    "paused_reason": None,
    "provider": "ses-eu",
    "provider_message_id": "0102018c-1",
    "quota_monthly": 50000,
    "rate_burst": 100,
    "rate_per_minute": 600,
    "reason": "manual",
    "recipient": "ada@example.com",
    "resets_at": "2026-12-01T00:00:00Z",
    "revision": "9f3c2b1a",
    "route": ["ses-eu", "backup"],
    "scheduled_at": None,
    "schema": {"type": "object", "required": ["order"]},
    "secret": "x5Jb…",
    "send_at": None,
    "senders": ["Northwind <orders@shop.example.com>", "*@shop.example.com"],
    "size": 1204,
    "source": "api",
    "state": "active",
    "subject": "Receipt A-1042",
    "tags": {"flow": "checkout"},
    "template": "receipt",
    "templates": ["receipt", "order-*"],
    "text": "Order A-1042",
    "to": ["ada@example.com"],
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "url": "https://shop.example.com/hooks/email",
    "warnings": [],
    "word": "Delivery",
}
"""By the name of a property; a value is used where the property's schema allows it."""

EMAIL = {
    "from": "Northwind <orders@shop.example.com>",
    "to": ["ada@example.com"],
    "subject": "Receipt A-1042",
    "html": "<p>Order A-1042</p>",
    "tags": [{"name": "flow", "value": "checkout"}],
}
SEND = {"template": "receipt", "to": "Ada <ada@example.com>", "data": {"order": "A-1042"}}
BODIES: dict[str, Any] = {
    "SendRequest": SEND,
    "BatchRequest": {"mode": "each", "messages": [SEND]},
    "ResendEmail": EMAIL,
    "ClientChange": {"rate_per_minute": 1200, "quota_monthly": None},
    "Wanted": {"status": "dead", "error": "452"},
    "EndpointChange": {"events": ["bounced"]},
    "RenderRequest": {"data": {"order": "A-1042"}, "locale": "de"},
    "BatchOutcome": {"id": ID, "status": "queued"},
    "BatchAccepted": {"accepted": 1, "refused": 0, "messages": [{"id": ID, "status": "queued"}]},
}
"""By the name of a schema; what names alone would not make."""

_RECIPIENT = {"type": "array", "items": {"type": "string"}, "minItems": 1}
SEND_FIELDS: dict[str, dict[str, Any]] = {
    "to": {
        "anyOf": [{"type": "string"}, _RECIPIENT],
        "description": "One address or a list: `Ada <ada@example.com>` or `ada@example.com`.",
    },
    "cc": {"description": "One address or a list."},
    "bcc": {"description": "One address or a list; no other recipient sees it."},
    "reply_to": {"description": "One address or a list."},
    "from": {"description": "One of the client's senders; without it the first of them that is an address."},
    "template": {"description": "The template's name; or subject with html, text or both in its place."},
    "data": {"description": "The template's variables; they have to fit its schema."},
    "subject": {"description": "At most 2,000 characters; beside a template, in place of the template's own."},
    "html": {"description": "Without a template: the HTML."},
    "text": {"description": "Without a template: the plain text; it is made from the HTML when there is none."},
    "headers": {"description": "Headers of your own, at most 50; those that mail itself is made of are refused."},
    "locale": {"description": "Chooses the template's translations: `de`, `pt-BR`."},
    "lane": {"description": "Which messages go first. Without it the client's."},
    "send_at": {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
        "description": "Not before this time, at most 365 days ahead: `2026-12-01T09:00:00Z`.",
    },
    "tags": {"description": "At most 20 words to find messages by."},
    "metadata": {"description": "Any object; it is kept with the message and given back."},
    "attachments": {"description": "At most 50 files."},
    "unsubscribe": {"description": "The one recipient can leave with one click (RFC 8058)."},
    "idempotency_key": {"description": "Makes a repeat of this message safe."},
}
"""What msgspec's schema of a message does not say."""

_CSV = "address,reason,detail,expires_at\nada@example.com,manual,asked by phone,\n"
_LINES = '{"address": "ada@example.com", "reason": "manual"}\n'
TEXTS = {
    "text/csv": _CSV,
    "application/x-ndjson": _LINES,
    "text/plain": "ok\n",
    "message/rfc822": "Subject: Receipt A-1042\r\nTo: ada@example.com\r\n\r\nOrder A-1042\r\n",
}


def add(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Give the body of an operation, and of its success, an example where they have none."""
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    bodies += [response for status, response in operation["responses"].items() if status.startswith("2")]
    for body in bodies:
        for kind, content in body.get("content", {}).items():
            if "example" in content or "examples" in content or kind == "text/html":
                continue
            if kind == "application/json" and content.get("schema"):
                content["example"] = of(content["schema"], schemas)
            elif kind in TEXTS:
                content["example"] = TEXTS[kind]


def of(schema: dict[str, Any], schemas: dict[str, Any], name: str = "") -> Any:
    """A value that fits the schema; `name`: of the property that it is for."""
    if "$ref" in schema:
        title = schema["$ref"].rpartition("/")[2]
        return BODIES[title] if title in BODIES else of(schemas[title], schemas, name)
    if name in NAMES and _fits(NAMES[name], schema, schemas):
        return NAMES[name]
    if "anyOf" in schema:
        return of(schema["anyOf"][0], schemas, name)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {key: of(inner, schemas, key) for key, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [of(schema["items"], schemas, name)]
    if kind == "string":
        return {"date-time": AT, "uuid": ID}.get(schema.get("format", ""), "…")
    return {"boolean": False, "null": None}.get(kind or "", schema.get("default") or schema.get("minimum", 1))


def _fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    if "$ref" in schema:
        return _fits(value, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return any(_fits(value, one, schemas) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, list):
        return schema.get("type") == "array" and all(_fits(one, schema["items"], schemas) for one in value)
    if isinstance(value, dict):
        return schema.get("type") == "object" and "properties" not in schema
    kinds = {"string": str, "integer": int, "number": float, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds.get(schema.get("type", ""), ())) and not (
        schema.get("format") == "uuid" and value != ID
    )

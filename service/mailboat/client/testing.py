"""A test double: `Recorder` stands in Mailboat's place in your program's tests, and keeps what it was told to send.

It answers as the API does, over the client's own code, as far as one process can know: idempotency keys, cancelling,
lists, suppressions. Templates are taken on trust unless they are named.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec

from mailboat.client.aio import AsyncMailboat
from mailboat.client.retry import Policy
from mailboat.client.sync import Mailboat

URL = "http://mailboat.test"
AT_ONCE = Policy(base=0.0, cap=0.0, patience=0.0)


class Refusal(Exception):
    """An answer that is a problem."""

    def __init__(self, status: int, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.field = status, code, field


class Recorder:
    """`client` and `async_client` are the doubles. `sent` are the bodies that were accepted, in order, as the API would
    have read them, each with its `id`. `templates`: those that exist, by name with the HTML that they render; None:
    any name is right."""

    def __init__(self, templates: Mapping[str, str] | None = None) -> None:
        self.templates = templates
        self.sent: list[dict[str, Any]] = []
        self._keys: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._suppressed: dict[str, dict[str, Any]] = {}
        self._failures: list[httpx.Response] = []
        transport = httpx.MockTransport(self._answer)
        self.client = Mailboat(URL, "key", "secret", retry=AT_ONCE, transport=transport)
        self.async_client = AsyncMailboat(URL, "key", "secret", retry=AT_ONCE, transport=transport)

    def fail(self, status: int, code: str, *, times: int = 1) -> None:
        """Answer the next calls with this problem; what can be retried is retried, without waiting."""
        self._failures += [_problem(Refusal(status, code, "As the test asked for."))] * times

    def to(self, address: str) -> list[dict[str, Any]]:
        """What was sent to this address, in `to`, `cc` or `bcc`."""
        return [body for body in self.sent if address in _addresses(body)]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self._failures:
            return self._failures.pop(0)
        path = [unquote(part) for part in request.url.raw_path.decode().partition("?")[0].split("/")[2:]]
        try:
            return self._route(request, path)
        except Refusal as refusal:
            return _problem(refusal)

    def _route(self, request: httpx.Request, path: Sequence[str]) -> httpx.Response:
        body = msgspec.json.decode(request.content) if request.content else {}
        match request.method, *path:
            case "POST", "send":
                return _json(202, self._accept(body, request.headers.get("idempotency-key")))
            case "POST", "batch":
                return _json(202, self._batch(body))
            case "GET", "messages":
                items = [_listed(message) for message in reversed(self.sent) if _fits(message, request.url.params)]
                return _json(200, {"items": items, "next": None})
            case "GET", "messages", identifier:
                return _json(200, _shown(self._find(identifier)))
            case "POST", "messages", identifier, "cancel":
                return _json(200, self._cancel(self._find(identifier)))
            case "GET", "usage":
                return _json(200, _usage(len(self.sent)))
            case _, "templates", *rest:
                return self._template(rest, body)
            case method, "suppressions", *rest:
                return self._suppression(method, rest, body)
        raise Refusal(404, "not_found", f"The double has no {request.method} {request.url.path}.")

    def _accept(self, body: dict[str, Any], key: str | None) -> dict[str, Any]:
        if key in self._keys:
            first, answer = self._keys[key]
            if first != body:
                raise Refusal(409, "idempotency_key_reused", "This key was used with another body.", "Idempotency-Key")
            return answer
        self._check(body)
        message = {**body, "id": str(uuid.uuid4()), "status": "scheduled" if "send_at" in body else "queued"}
        message["created_at"] = datetime.now(UTC).isoformat()
        self.sent.append(message)
        answer = {"id": message["id"], "status": message["status"]}
        if key is not None:
            self._keys[key] = (body, answer)
        return answer

    def _check(self, body: dict[str, Any]) -> None:
        if not body.get("to"):
            raise Refusal(422, "missing_field", "to is missing.", "to")
        name = body.get("template")
        if name is None and not ("subject" in body and ("html" in body or "text" in body)):
            raise Refusal(422, "missing_field", "Give a template, or a subject with html or text.", "template")
        if name is not None and self.templates is not None and name not in self.templates:
            raise Refusal(422, "template_not_found", f"There is no template {name!r}.", "template")
        for address in _addresses(body):
            if address in self._suppressed:
                raise Refusal(422, "suppressed", f"{address} must not be mailed again.", "to")

    def _batch(self, body: dict[str, Any]) -> dict[str, Any]:
        messages, items = body["messages"], []
        if body["mode"] == "all":
            for message in messages:
                self._check(message)
        for message in messages:
            try:
                items.append(self._accept(message, message.get("idempotency_key")))
            except Refusal as refusal:
                items.append({"problem": {"code": refusal.code, "detail": str(refusal), "field": refusal.field}})
        accepted = sum("id" in item for item in items)
        return {"accepted": accepted, "refused": len(items) - accepted, "messages": items}

    def _find(self, identifier: str) -> dict[str, Any]:
        for message in self.sent:
            if message["id"] == identifier:
                return message
        raise Refusal(404, "not_found", f"There is no message {identifier}.")

    def _cancel(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["status"] not in ("scheduled", "cancelled"):
            raise Refusal(409, "not_cancellable", "Only scheduled messages can be cancelled.")
        message["status"] = "cancelled"
        return _shown(message)

    def _template(self, rest: Sequence[str], body: dict[str, Any]) -> httpx.Response:
        known = self.templates or {}
        if not rest:
            return _json(200, {"items": [{"name": name} for name in sorted(known)]})
        if rest[0] not in known:
            raise Refusal(404, "not_found", f"There is no template {rest[0]!r}.")
        name, html = rest[0], known[rest[0]]
        revision = "0" * 64
        if len(rest) > 1:
            preview = {"subject": name, "html": html, "text": html, "size": len(html.encode()), "warnings": []}
            return _json(200, {**preview, "revision": revision})
        detail = {"name": name, "engine": "jinja", "revision": revision, "subject": name}
        return _json(200, {**detail, "example": {}, "locales": [], "schema": None})

    def _suppression(self, method: str, rest: Sequence[str], body: dict[str, Any]) -> httpx.Response:
        if method == "POST":
            entry = {"scope": "client", "source": "api", "created_at": datetime.now(UTC).isoformat(), **body}
            self._suppressed[body["address"]] = entry
            return _json(201, entry)
        if not rest:
            items = [self._suppressed[address] for address in sorted(self._suppressed)]
            return _json(200, {"items": items, "next": None})
        if rest[0] not in self._suppressed:
            raise Refusal(404, "not_found", f"{rest[0]!r} is not suppressed here.")
        if method == "DELETE":
            del self._suppressed[rest[0]]
            return httpx.Response(204)
        return _json(200, self._suppressed[rest[0]])


def _usage(accepted: int) -> dict[str, Any]:
    """Of a client without a quota; the month is none that ever was."""
    limit = {"per_minute": 600, "burst": 100}
    month = {"month": "2000-01", "resets_at": "2000-02-01T00:00:00Z"}
    return {**month, "accepted": accepted, "quota": None, "remaining": None, "rate_limit": limit}


def _json(status: int, content: Any) -> httpx.Response:
    return httpx.Response(status, content=msgspec.json.encode(content), headers={"Content-Type": "application/json"})


def _problem(refusal: Refusal) -> httpx.Response:
    return _json(
        refusal.status,
        {"status": refusal.status, "code": refusal.code, "detail": str(refusal), "field": refusal.field},
    )


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _addresses(body: Mapping[str, Any]) -> list[str]:
    """Without their display names."""
    every = [address for field in ("to", "cc", "bcc") for address in _list(body.get(field))]
    return [address.rpartition("<")[2].rstrip(">").strip() for address in every]


def _fits(message: Mapping[str, Any], parameters: httpx.QueryParams) -> bool:
    wanted = {name: parameters[name] for name in ("status", "template", "lane") if name in parameters}
    tags = {f"{name}:{value}" for name, value in message.get("tags", {}).items()}
    recipient = parameters.get("recipient")
    return (
        all(message.get(name) == value for name, value in wanted.items())
        and set(parameters.get_list("tag")) <= tags
        and (recipient is None or recipient in _addresses(message))
    )


def _summary(message: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("id", "status", "created_at", "template", "send_at", "tags", "metadata")
    found = {name: message[name] for name in kept if name in message}
    return {**found, "lane": message.get("lane", "normal"), "from": message.get("from", "")}


def _listed(message: Mapping[str, Any]) -> dict[str, Any]:
    return {**_summary(message), "to": _addresses({"to": message["to"]})}


def _shown(message: Mapping[str, Any]) -> dict[str, Any]:
    recipients = [
        {"address": address, "kind": kind, "status": message["status"]}
        for kind in ("to", "cc", "bcc")
        for address in _addresses({"to": message.get(kind)})
    ]
    return {**_summary(message), "recipients": recipients}

"""Each call of the API as a value: what to ask and how to read the answer. Pure; `sync` and `aio` make the calls."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from mailboat.client import types
from mailboat.client.types import Addresses, BatchMessage, Fields, Filters

Answer = TypeVar("Answer")
PAGE = 100
Parameters = list[tuple[str, str]]


class Call(msgspec.Struct, Generic[Answer], frozen=True):
    """One request. Every one of them may be repeated without harm; `may_be_gone`: a repeat that finds nothing left to
    do (404) did its work the first time."""

    method: str
    path: str
    reads: Any
    parameters: Parameters = []
    body: bytes | None = None
    headers: dict[str, str] = {}
    may_be_gone: bool = False

    def read(self, content: bytes) -> Answer:
        """The answer's body, typed."""
        found: Answer = msgspec.json.decode(content, type=self.reads) if content else msgspec.convert(None, self.reads)
        return found


def send(to: Addresses, fields: Fields) -> Call[types.Sent]:
    """With an idempotency key of its own if the caller has none: a retry never sends twice."""
    body = _message({**fields, "to": to})
    key = body.pop("idempotency_key", None) or new_key()
    return Call("POST", "/v1/send", types.Sent, body=_json(body), headers={"Idempotency-Key": key})


def batch(messages: Sequence[BatchMessage], mode: str) -> Call[types.BatchOutcome]:
    """Each message has an idempotency key, given or its own."""
    items = [{"idempotency_key": new_key(), **_message(message)} for message in messages]
    return Call("POST", "/v1/batch", types.BatchOutcome, body=_json({"mode": mode, "messages": items}))


def get(identifier: uuid.UUID | str) -> Call[types.Message]:
    return Call("GET", f"/v1/messages/{_part(identifier)}", types.Message)


def cancel(identifier: uuid.UUID | str) -> Call[types.Message]:
    return Call("POST", f"/v1/messages/{_part(identifier)}/cancel", types.Message)


def messages(filters: Filters, cursor: str | None) -> Call[types.MessagePage]:
    rest: dict[str, Any] = dict(filters)
    tags: Mapping[str, str] = rest.pop("tags", {})
    parameters = _parameters({**rest, "limit": PAGE, "cursor": cursor})
    parameters += [("tag", f"{name}:{value}") for name, value in tags.items()]
    return Call("GET", "/v1/messages", types.MessagePage, parameters=parameters)


def templates() -> Call[types.TemplateNames]:
    return Call("GET", "/v1/templates", types.TemplateNames)


def template(name: str) -> Call[types.Template]:
    return Call("GET", f"/v1/templates/{_part(name)}", types.Template)


def render(name: str, data: Mapping[str, Any] | None, locale: str | None) -> Call[types.Preview]:
    body = _json(_given({"data": data, "locale": locale}))
    return Call("POST", f"/v1/templates/{_part(name)}/render", types.Preview, body=body)


def usage() -> Call[types.Usage]:
    return Call("GET", "/v1/usage", types.Usage)


def suppressions(reason: str | None, cursor: str | None) -> Call[types.SuppressionPage]:
    parameters = _parameters({"reason": reason, "limit": PAGE, "cursor": cursor})
    return Call("GET", "/v1/suppressions", types.SuppressionPage, parameters=parameters)


def suppression(address: str) -> Call[types.Suppression]:
    return Call("GET", f"/v1/suppressions/{_part(address)}", types.Suppression)


def suppress(address: str, reason: str, detail: str, expires_at: datetime | None) -> Call[types.Suppression]:
    body = _given({"address": address, "reason": reason, "detail": detail, "expires_at": expires_at})
    return Call("POST", "/v1/suppressions", types.Suppression, body=_json(body))


def unsuppress(address: str) -> Call[None]:
    return Call("DELETE", f"/v1/suppressions/{_part(address)}", None, may_be_gone=True)


def new_key() -> str:
    """An idempotency key that nobody else has."""
    return f"py-{uuid.uuid4()}"


def _message(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The API's JSON of a message."""
    body = _given({("from" if name == "sender" else name): value for name, value in fields.items()})
    if "attachments" in body:
        body["attachments"] = [_attachment(file) for file in body["attachments"]]
    return body


def _attachment(file: Mapping[str, Any]) -> dict[str, Any]:
    content = file.get("content")
    return dict(file) if content is None else {**file, "content": _base64(content)}


def _base64(content: bytes | str) -> str:
    return content if isinstance(content, str) else base64.b64encode(content).decode()


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _parameters(fields: Mapping[str, Any]) -> Parameters:
    return [
        (name, value.isoformat() if isinstance(value, datetime) else str(value))
        for name, value in _given(fields).items()
    ]


def _part(value: object) -> str:
    return quote(str(value), safe="")


_json = msgspec.json.encode

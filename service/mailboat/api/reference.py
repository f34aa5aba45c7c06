"""What the page /docs shows, out of the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from mailboat.api import document

CALLERS = {
    "ClientKey": "a client: X-Api-Key and X-Api-Secret",
    "ClientBearer": "a client: Authorization: Bearer KEY.SECRET",
    "AdminToken": "the administrator: Authorization: Bearer TOKEN",
    "": "anybody",
}


def groups(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Tags in their order, each with its operations as the page shows them."""
    found = {tag["name"]: {**tag, "operations": []} for tag in described["tags"]}
    for name, operation in document.operations(described):
        found[operation["tags"][0]]["operations"].append(_operation(name, operation, described))
    return [group for group in found.values() if group["operations"]]


def _operation(name: str, operation: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    method, _, path = name.partition(" ")
    ways = [next(iter(way), "") for way in operation["security"]] or [""]
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "callers": [CALLERS[way] for way in ways if way in CALLERS],
        "parameters": [_parameter(one) for one in operation.get("parameters", [])],
        "bodies": list(_bodies(operation.get("requestBody", {}), described)),
        "answers": [
            _answer(status, answer, described) for status, answer in sorted(operation["responses"].items())
            if status != "default"
        ],
    }  # fmt: skip


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": parameter["name"],
        "place": parameter["in"],
        "type": kind(parameter["schema"]),
        "required": parameter["required"],
        "description": parameter.get("description", ""),
    }


def _bodies(body: dict[str, Any], described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for media, content in body.get("content", {}).items():
        schema = _resolved(content.get("schema", {}), described)
        item = _resolved(schema["items"], described) if schema.get("type") == "array" else schema
        required = item.get("required", [])
        yield {
            "media": media,
            "example": _text(content.get("example")),
            "fields": [
                {"name": name, "type": kind(one), "required": name in required, "description": _about(one)}
                for name, one in item.get("properties", {}).items()
            ],
        }


def _answer(status: str, answer: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    bodies = list(_bodies(answer, described)) if status.startswith("2") else []
    return {
        "status": status,
        "phrase": HTTPStatus(int(status)).phrase,
        "codes": [code for content in answer.get("content", {}).values() for code in content.get("examples", {})],
        "headers": list(answer.get("headers", {})),
        "example": next((body["example"] for body in bodies if body["example"]), ""),
    }


def _resolved(schema: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:  # a body that may be left out
        schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
    if "$ref" in schema:
        found: dict[str, Any] = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def kind(schema: dict[str, Any]) -> str:
    """A schema in a few words: `string, or list of string`."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return ", or ".join(kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    words = [schema.get("format") or schema.get("type", "anything")]
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        words.append(f"{least:g} to {most:g}")
    if "maxLength" in schema:
        words.append(f"at most {schema['maxLength']} characters")
    return ", ".join(words)


def _about(schema: dict[str, Any]) -> str:
    text = str(schema.get("description", ""))
    if schema.get("default") not in (None, "", [], {}):
        text = f"{text} Default: {schema['default']}.".strip()
    return text


def _text(example: Any) -> str:
    if example is None or isinstance(example, str):
        return example or ""
    return json.dumps(example, indent=2, ensure_ascii=False)

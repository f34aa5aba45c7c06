"""A schema of a few lines that would look at its data a billion times is refused; those that people write are not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mailboat.registry.schemas import DEEPEST, BrokenSchema, Misfit, Schema


def chain(keyword: str, length: int, prefix: str = "#/$defs/", **leaf: Any) -> dict[str, Any]:
    """Definitions of which each names the next one twice."""
    definitions: dict[str, Any] = {
        f"a{n}": {"$anchor": f"a{n}", keyword: [{"$ref": f"{prefix}a{n + 1}"}] * 2} for n in range(length)
    }
    return {"$defs": definitions | {f"a{length}": {"$anchor": f"a{length}", **leaf}}}


def nested(levels: int, leaf: Any = None, name: str = "a") -> Any:
    value = {} if leaf is None else leaf
    for _ in range(levels):
        value = {name: value}
    return value


BOMBS = {
    "all of": chain("allOf", 40, type="object") | {"$ref": "#/$defs/a0"},
    "any of": chain("anyOf", 40, type="string") | {"$ref": "#/$defs/a0"},
    "one of, by anchor": chain("oneOf", 40, "#", type="string") | {"$ref": "#a0"},
    "below a property": chain("anyOf", 40, type="string") | {"properties": {"a": {"$ref": "#/$defs/a0"}}},
    "in each item": chain("anyOf", 40, type="string") | {"properties": {"a": {"items": {"$ref": "#/$defs/a0"}}}},
    "under an id": chain("anyOf", 40, "urn:x#/$defs/", type="string") | {"$id": "urn:x", "$ref": "#/$defs/a0"},
    "with escapes": chain("anyOf", 40, "#/%24defs/", type="string") | {"$ref": "#/%24defs/a0"},
    "under each other name": {
        **chain("anyOf", 40, type="string"),
        "patternProperties": {"^a": {"$ref": "#/$defs/a0"}},
        "additionalProperties": {"$ref": "#/$defs/a0"},
    },
}
USUAL = {
    "a tree": {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "children": {"items": {"$ref": "#"}}}},
    "a list": {"$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
    "any JSON": {
        "anyOf": [
            {"type": ["string", "number", "boolean", "null"]},
            {"type": "array", "items": {"$ref": "#"}},
            {"type": "object", "additionalProperties": {"$ref": "#"}},
        ]
    },
    "an address used often": {
        "$defs": {"address": {"type": "object", "properties": {"street": {"type": "string"}}}},
        "properties": {f"a{n}": {"$ref": "#/$defs/address"} for n in range(200)},
    },
}


def verdict(schema: dict[str, Any], data: Any) -> str:
    """What is said of the schema, or else of the data."""
    try:
        misfit = Schema(schema).misfit(data)
    except BrokenSchema as error:
        return error.misfit.reason
    return misfit.reason if misfit else ""


@pytest.mark.parametrize("name", BOMBS)
def test_a_schema_that_would_never_end_is_broken_or_says_how_deep_its_data_may_be(name: str) -> None:
    """Not a second is spent on it; before, the process ran out of memory."""
    assert re.search("more than 5,000,000 times|nested more than", verdict(BOMBS[name], nested(3, [1])))


@pytest.mark.parametrize("name", USUAL)
def test_what_people_write_takes_data_as_deep_as_any(name: str) -> None:
    schema = Schema(USUAL[name])
    for member in ("left", "next", "anything", "a1"):
        assert schema.misfit(nested(DEEPEST - 1, name=member)) is None


def test_a_definition_that_names_itself_twice_takes_shallow_data_and_refuses_deep_ones() -> None:
    schema = Schema({"properties": {"a": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}, "type": "object"})
    assert schema.misfit(nested(8)) is None
    assert schema.misfit(nested(8, 1)) is not None
    misfit = schema.misfit(nested(DEEPEST))
    assert misfit is not None
    assert "levels deep" in misfit.reason


def test_where_too_much_would_have_to_be_told_nothing_but_that_is() -> None:
    schema = Schema({"anyOf": [{"type": "string"}, {"properties": {"a": {"allOf": [{"$ref": "#"}] * 2}}}]})
    assert schema.misfit(nested(3, [])) is None
    strict = Schema({"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#"}] * 2}}})
    assert strict.misfit(nested(19, 1)) == Misfit((), "it does not fit the schema")


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(5000)} | {"a5000": {}}, "$ref": "#/$defs/a0"},
        {
            "$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}]} for n in range(300)}
            | {"a300": {"properties": {f"p{n}": {} for n in range(500)}}},
            "$ref": "#/$defs/a0",
        },
    ],
)
def test_a_schema_that_is_too_intricate_is_broken(schema: dict[str, Any]) -> None:
    with pytest.raises(BrokenSchema, match="references"):
        Schema(schema)

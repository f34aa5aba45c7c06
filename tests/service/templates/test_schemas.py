"""Data against a template's JSON Schema."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mailboat.domain.revision import Revision, Sources, revise
from mailboat.registry import schemas
from mailboat.registry.schemas import BrokenSchema

ITEM = {
    "type": "object",
    "required": ["price"],
    "properties": {"price": {"type": "number"}},
    "additionalProperties": False,
}
ORDER = {
    "type": "object",
    "required": ["order"],
    "properties": {
        "order": {"type": "string", "pattern": "^A-[0-9]+$"},
        "items": {"type": "array", "items": ITEM, "minItems": 1},
        "to": {"$ref": "#/$defs/person"},
        "sizes": {"prefixItems": [{"const": "S"}], "items": False},
    },
    "$defs": {"person": {"type": "object", "dependentRequired": {"city": ["zip"]}}},
}  # fmt: skip


def revision(schema: dict[str, Any] | None) -> Revision:
    return revise("mail", Sources(engine="jinja", entry="a", files={"a": ""}, schema=schema))


MISFITS = [
    ({}, "order", "required"),
    ({"order": "B-1"}, "order", "does not match"),
    ({"order": "A-1", "items": []}, "items", "less than 1"),
    ({"order": "A-1", "items": [{"price": "free"}]}, "items[0].price", "is not of type"),
    ({"order": "A-1", "items": [{"price": 1}, {}]}, "items[1].price", "required"),
    ({"order": "A-1", "items": [{"price": 1, "x": 2}]}, "items[0].x", "not allowed"),
    ({"order": "A-1", "to": {"city": "X"}}, "to.zip", "required"),
    ({"order": "A-1", "sizes": ["S", "M"]}, "sizes[1]", ""),
]  # fmt: skip


@pytest.mark.parametrize(("data", "field", "reason"), MISFITS)
def test_the_first_misfit_is_named_by_its_path(data: dict[str, Any], field: str, reason: str) -> None:
    found = schemas.misfit(revision(ORDER), data)
    assert found is not None
    assert found.field == field
    assert reason in found.reason


@pytest.mark.parametrize("data", [{"order": "A-1"}, {"order": "A-1", "items": [{"price": 1.5}], "more": None}])
def test_what_fits_is_no_misfit(data: dict[str, Any]) -> None:
    assert schemas.misfit(revision(ORDER), data) is None


def test_without_a_schema_everything_fits() -> None:
    assert schemas.misfit(revision(None), {"a": object()}) is None


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "objekt"}, "type"),
        ({"properties": {"a": {"minimum": "x"}}}, "properties.a.minimum"),
        ({"pattern": "("}, "pattern"),
        ({"$ref": "#/nowhere"}, ""),
        ({"$ref": "file:///etc/passwd"}, ""),
        ({"$schema": "https://example.com/mine"}, ""),
    ],
)
def test_a_broken_schema_says_where(schema: dict[str, Any], field: str) -> None:
    with pytest.raises(BrokenSchema) as caught:
        schemas.misfit(revision(schema), {})
    assert caught.value.misfit.field == field


def test_a_misfit_does_not_repeat_a_large_value() -> None:
    found = schemas.misfit(revision({"properties": {"a": {"type": "number"}}}), {"a": "x" * 100_000})
    assert found is not None
    assert len(found.reason) < 400


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"^(?=(a+)+$)(?!b)", r"^(a|aa)+(?<!c)$"])
def test_a_pattern_cannot_take_long(pattern: str) -> None:
    began = time.process_time()
    schemas.misfit(revision({"properties": {"a": {"pattern": pattern}}}), {"a": "a" * 5000 + "!"})
    assert time.process_time() - began < 0.5


def test_compiled_schemas_do_not_pile_up() -> None:
    for number in range(schemas.KEPT + 10):
        schemas.misfit(revision({"minProperties": 0, "title": str(number)}), {})
    assert len(schemas._known) <= schemas.KEPT

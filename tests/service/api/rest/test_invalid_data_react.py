"""A React template's data are checked by the schema that it exports, before anything is stored or rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ORDER = """
export const schema = {
  type: 'object',
  required: ['order'],
  properties: { items: { type: 'array', items: { type: 'object', properties: { price: { type: 'number' } } } } },
} as const;
export default function Order({ order }: { order: number }) {
  return <p>{order}</p>;
}
"""


@pytest.fixture(scope="module", autouse=True)
def order(templates: Path) -> None:
    (templates / "react-order.tsx").write_text(ORDER)
    (templates / "react-broken.tsx").write_text(ORDER.replace("type: 'object',", "type: 'objekt',", 1))


@pytest.mark.parametrize(
    ("data", "field"), [({}, "data.order"), ({"order": 1, "items": [{"price": "free"}]}, "data.items[0].price")]
)
def test_the_field_that_does_not_fit_is_named(
    data: dict[str, Any], field: str, caller: Any, problem: Any, stored: Any
) -> None:
    answer = caller.post("/v1/send", json={"to": "ada@example.com", "template": "react-order", "data": data})
    problem(answer, 422, "invalid_data", field)
    assert stored() == 0


def test_data_that_fit_are_accepted(caller: Any, stored: Any) -> None:
    body = {"to": "ada@example.com", "template": "react-order", "data": {"order": 1, "items": [{"price": 1.5}]}}
    assert caller.post("/v1/send", json=body).status_code == 202
    assert stored() == 1


def test_the_schema_is_shown(caller: Any) -> None:
    assert caller.get("/v1/templates/react-order").json()["schema"]["required"] == ["order"]


def test_a_template_with_a_broken_schema_says_where(caller: Any, problem: Any) -> None:
    answer = caller.post("/v1/send", json={"to": "ada@example.com", "template": "react-broken"})
    assert "react-broken.tsx:3:9: schema.type" in problem(answer, 422, "template_broken", "template")["detail"]

"""Data that do not fit a template's schema are refused before anything is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ORDER = """---
schema:
  type: object
  required: [order]
  properties:
    items: {type: array, items: {type: object, properties: {price: {type: number}}}}
---
<p>{{ order }}</p>
"""


@pytest.fixture(scope="module", autouse=True)
def order(templates: Path) -> None:
    (templates / "order.html.j2").write_text(ORDER)
    (templates / "broken.html.j2").write_text("---\nschema: {type: objekt}\n---\n")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "data.order"),
        ({"order": 1, "items": [{"price": "free"}]}, "data.items[0].price"),
        ({"order": 1, "items": {}}, "data.items"),
    ],
)
def test_the_field_that_does_not_fit_is_named(
    data: dict[str, Any], field: str, caller: Any, problem: Any, stored: Any
) -> None:
    answer = caller.post("/v1/send", json={"to": "ada@example.com", "template": "order", "data": data})
    problem(answer, 422, "invalid_data", field)
    assert stored() == 0


@pytest.mark.parametrize(
    ("data", "field"), [({}, "data.order"), ({"order": 1, "items": [{"price": "free"}]}, "data.items[0].price")]
)
def test_a_preview_names_the_field_that_does_not_fit_as_a_mail_does(
    data: dict[str, Any], field: str, caller: Any, problem: Any
) -> None:
    problem(caller.post("/v1/templates/order/render", json={"data": data}), 422, "invalid_data", field)


def test_a_preview_with_data_that_fit_is_rendered(caller: Any) -> None:
    answer = caller.post("/v1/templates/order/render", json={"data": {"order": 7}})
    assert (answer.status_code, answer.json()["html"].strip()) == (200, "<p>7</p>")


def test_data_that_fit_are_accepted(caller: Any, stored: Any) -> None:
    body = {"to": "ada@example.com", "template": "order", "data": {"order": 1, "items": [{"price": 1.5}], "more": None}}
    assert caller.post("/v1/send", json=body).status_code == 202
    assert stored() == 1


def test_in_a_batch_the_message_is_named_too(caller: Any, problem: Any, stored: Any) -> None:
    messages = [{"to": "ada@example.com", "template": "order", "data": data} for data in ({"order": 1}, {})]
    problem(caller.post("/v1/batch", json={"messages": messages}), 422, "invalid_data", "messages[1].data.order")
    assert stored() == 0


def test_a_template_with_a_broken_schema_says_where(caller: Any, problem: Any) -> None:
    answer = caller.post("/v1/send", json={"to": "ada@example.com", "template": "broken"})
    assert (
        "broken.html.j2:2:10: front matter: schema.type"
        in problem(answer, 422, "template_broken", "template")["detail"]
    )


FAULTS = {
    "wrong-props.html.j2": (
        "---\nsubject: S\n---\n<p>\n{{ a.b }}\n",
        "template_failed", 5, "> 5 | {{ a.b }}\n    |    ^",
    ),
    "thrown.tsx": (
        "export default function Mail() {\n  throw new Error('no stock');\n}\n",
        "template_failed", 2, "> 2 |   throw new Error('no stock');",
    ),
    "outside.html.j2": (
        "{% include '../secret' %}\n",
        "template_broken", 1, "> 1 | {% include '../secret' %}\n    |             ^",
    ),
    "yaml.html.j2": (
        "---\nsubject: [\n---\n",
        "template_broken", 3, "  2 | subject: [\n> 3 | ---\n    | ^",
    ),
}  # fmt: skip
FIELDS = {"template_failed": "data", "template_broken": "template"}


@pytest.mark.parametrize(("file", "source", "code", "line", "shown"), [(name, *rest) for name, rest in FAULTS.items()])
def test_a_preview_of_a_faulty_template_has_the_place_and_the_lines_around_it(
    file: str, source: str, code: str, line: int, shown: str, templates: Path, caller: Any, problem: Any
) -> None:
    (templates / file).write_text(source)
    answer = caller.post(f"/v1/templates/{file.partition('.')[0]}/render", json={"data": {}})
    found = problem(answer, 422, code, FIELDS[code])
    assert (found["file"], found["line"]) == (file, line)
    assert shown in found["frame"]
    assert "Traceback" not in str(found)
    assert "    at " not in str(found)


EXAMPLES = {
    "free-total.html.j2": (
        "---\nsubject: S\nschema: {properties: {total: {type: number}}}\nexample:\n  total: free\n---\n<p>x</p>\n",
        5, "example.total: \"free\" is not of type \"number\"",
    ),
    "no-total.tsx": (
        "export const schema = { properties: { total: { type: 'number' } } };\n"
        "export default function Mail() { return <p>x</p>; }\nMail.PreviewProps = {\n  total: 'free',\n};\n",
        4, "PreviewProps.total: \"free\" is not of type \"number\"",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("file", "source", "line", "words"), [(name, *rest) for name, rest in EXAMPLES.items()])
def test_a_bad_example_is_said_with_its_place_and_stops_no_mail(
    file: str, source: str, line: int, words: str, templates: Path, caller: Any, problem: Any
) -> None:
    (templates / file).write_text(source)
    name = file.partition(".")[0]
    found = problem(caller.post(f"/v1/templates/{name}/render"), 422, "template_broken", "template")
    assert (found["file"], found["line"]) == (file, line)
    assert words in found["detail"]
    assert f"> {line} |   total: " in found["frame"]
    assert caller.post(f"/v1/templates/{name}/render", json={"data": {"total": 1}}).status_code == 200
    message = {"to": "ada@example.com", "template": name, "data": {"total": 1}}
    assert caller.post("/v1/send", json=message).status_code == 202


def test_a_preview_has_the_warnings_that_take_time_to_find(templates: Path, caller: Any) -> None:
    (templates / "logo.html.j2").write_text("---\nsubject: S\n---\n<img alt='' src='/static/logo.png'>")
    warnings = caller.post("/v1/templates/logo/render").json()["warnings"]
    assert any("The address of an image is relative, '/static/logo.png'" in each for each in warnings)
    assert any("preview text" in each for each in warnings)

"""The OpenAPI document says what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

OPERATIONS = ("get", "put", "post", "delete", "patch")
SEND_FIELDS = {"to", "template", "data", "from", "cc", "bcc", "reply_to", "subject", "html", "text", "headers"}
SEND_FIELDS |= {"locale", "lane", "send_at", "tags", "metadata", "attachments"}
IN_FRONT = ["POST /v1/send", "POST /v1/batch", "GET /livez", "GET /readyz", "GET /metrics", "GET /unsubscribe/{token}",
            "POST /unsubscribe/{token}", "POST /webhooks/{provider}", "POST /webhooks/{provider}/{name}"]  # fmt: skip


@pytest.fixture(scope="module")
def document(api: Any) -> Any:
    import httpx

    answer = httpx.get(f"{api.url}/openapi.json", timeout=30)
    assert answer.status_code == 200
    return answer.json()


def operations(document: Any) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": item[method]
        for path, item in document["paths"].items()
        for method in OPERATIONS
        if method in item
    }


def every(value: Any, name: str) -> Iterator[Any]:
    """Every value under this name, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from every(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner, name)


def test_it_is_openapi_3_1_with_a_title_and_a_version(document):
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] == "Mailboat"
    assert document["info"]["version"]


def test_every_reference_leads_somewhere(document):
    references = [ref for ref in every(document, "$ref") if isinstance(ref, str)]
    assert len(references) > 30
    for reference in set(references):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_every_schema_is_used(document):
    used = {ref.rpartition("/")[2] for ref in every(document, "$ref") if isinstance(ref, str)}
    assert set(document["components"]["schemas"]) == used


def test_every_part_of_a_path_is_described_as_required(document):
    for name, operation in operations(document).items():
        described = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path" and p["required"]}
        assert described == set(re.findall(r"{(\w+)}", name)), name


def test_every_operation_has_words_a_name_of_its_own_and_says_what_a_refusal_looks_like(document):
    named = operations(document)
    assert len({operation["operationId"] for operation in named.values()}) == len(named)
    for name, operation in named.items():
        assert operation.get("description") or operation["summary"], name
        problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert problem == {"$ref": "#/components/schemas/Problem"}, name
        assert any(re.fullmatch("2..", status) for status in operation["responses"]), name


def test_the_endpoints_in_front_of_fastapi_are_described_too(document):
    assert set(IN_FRONT) <= set(operations(document))


def test_the_body_of_send_is_described_with_its_fields_and_nothing_else(document):
    body = operations(document)["POST /v1/send"]["requestBody"]
    assert body["required"]
    schema = document["components"]["schemas"][body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]
    assert set(schema["properties"]) >= SEND_FIELDS
    assert (schema["required"], schema["additionalProperties"]) == (["to"], False)


def test_its_example_is_accepted(document, caller):
    example = operations(document)["POST /v1/send"]["requestBody"]["content"]["application/json"]["example"]
    assert caller.post("/v1/send", json=example).status_code == 202


def test_the_codes_of_problems_are_those_that_the_api_knows(document):
    from mailboat.api import problems

    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(problems.CODES)


def test_a_validator_finds_nothing_wrong(document):
    openapi_spec_validator.OpenAPIV31SpecValidator(document).validate()


def test_every_body_has_an_example_that_fits(document):
    """Of requests and of answers, and of each refusal."""
    for name, operation in operations(document).items():
        for body in [operation.get("requestBody", {}), *operation["responses"].values()]:
            for kind, content in body.get("content", {}).items():
                given = [content["example"]] if "example" in content else []
                given += [one["value"] for one in content.get("examples", {}).values()]
                assert given or kind == "text/html" or body is operation["responses"].get("default"), (name, kind)
                for example in given:
                    schema = content["schema"] | {"components": document["components"]}
                    faults = [fault.message for fault in jsonschema.Draft202012Validator(schema).iter_errors(example)]
                    assert faults == [], (name, kind)


def test_every_operation_says_who_may_call_it(document):
    schemes = set(document["components"]["securitySchemes"])
    for name, operation in operations(document).items():
        path = name.partition(" ")[2]
        assert {one for way in operation["security"] for one in way} <= schemes, name
        assert bool(operation["security"]) == path.startswith(("/v1/", "/admin/", "/emails", "/metrics")), name


def test_every_code_of_a_problem_belongs_to_an_operation(document):
    named = {
        code
        for operation in operations(document).values()
        for response in operation["responses"].values()
        for code in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    # Any path may be asked with a method that it has not; a body may come too slowly anywhere.
    assert set(document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) - named == {
        "method_not_allowed"
    }


def test_every_get_that_needs_a_key_answers_without_one_with_401_or_a_plain_refusal(document, http):
    for name in operations(document):
        method, _, path = name.partition(" ")
        if method == "GET" and path.startswith(("/v1/", "/admin/")):
            path = re.sub(r"{\w+}", "00000000-0000-0000-0000-000000000000", path)
            answer = http.get(path)
            assert answer.status_code == 401, (name, answer.text)

"""Schemathesis tries every operation of the OpenAPI document: nothing breaks, and every answer is one that it names."""

from __future__ import annotations

import base64
import copy
import os
import time
from typing import Any

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "2"))
ANSWERS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# What only looks wrong: a body that is not described is read as whatever it is.
ANY_BODY = ("/webhooks/", "/unsubscribe/", "/v1/suppressions/import", "/admin/suppressions/import")


@pytest.fixture(scope="module")
def api_settings(api_settings: Any) -> Any:
    """With all that there is to switch on."""
    return msgspec.structs.replace(
        api_settings, sealing_key=base64.b64encode(bytes(32)).decode(), unsubscribe_key="u" * 32
    )


@pytest.fixture
def document(http: httpx.Client) -> dict[str, Any]:
    """Without `default`, under which any answer would be a documented one."""
    document = copy.deepcopy(http.get("/openapi.json").json())
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"].pop("default", None)
    return document


@pytest.fixture
def headers(client: Any) -> dict[str, dict[str, str]]:
    return {
        "/v1/": client.headers,
        "/admin/": {"Authorization": "Bearer admin-token"},
        "/emails": {"Authorization": f"Bearer {client.key}.{client.secret}"},
    }


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_the_document_names(mode, document, headers, api):
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=api.url)
    found: dict[str, str] = {}
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        own = next((given for prefix, given in headers.items() if operation.path.startswith(prefix)), {})
        try:
            tried += _try(operation, mode, own)
        except Unsatisfiable:  # nothing in it could be wrong
            continue
        except BaseExceptionGroup as group:
            found[operation.label] = "\n".join(str(one) for one in group.exceptions)
    assert not found, "\n\n".join(f"--- {name}\n{text[:1500]}" for name, text in found.items())
    assert tried > 50


def _try(operation: Any, mode: GenerationMode, own: dict[str, str]) -> int:
    checked = list(ANSWERS)
    if mode == GenerationMode.NEGATIVE and not operation.path.startswith(ANY_BODY):
        checked.append(negative_data_rejection)
    tried = 0

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def exchange(case: Any) -> None:
        nonlocal tried
        tried += 1
        case.validate_response(_answer(case, own), checks=checked)

    exchange()
    return tried


def _answer(case: Any, own: dict[str, str]) -> Any:
    """On a machine that is busy the first answer may be that it is too busy: as callers do, ask again."""
    for _ in range(20):
        answer = case.call(headers=own, timeout=60)
        if answer.status_code != 503:
            break
        time.sleep(0.5)
    return answer

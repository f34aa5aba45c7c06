"""/docs is a page of our own that names every operation and loads nothing from elsewhere."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import msgspec
import pytest


@pytest.fixture(scope="module")
def api_settings(api_settings: Any) -> Any:
    """With the dashboard closed: the reference is not a part of it."""
    return msgspec.structs.replace(api_settings, dashboard="closed")


def test_it_shows_every_operation_with_its_codes_and_examples(http):
    document, page = http.get("/openapi.json").json(), http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "sandbox" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    text = html.unescape(page.text)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            section = re.search(rf'<section class="card" id="{operation["operationId"]}".*?</section>', text, re.DOTALL)
            assert section, operation["operationId"]
            assert f"{method.upper()} {path}" in section[0]
            assert all(status in section[0] for status in operation["responses"] if status != "default")
    assert "idempotency_key_reused" in text
    assert '"order": "A-1042"' in text


def test_it_loads_nothing_from_elsewhere_and_what_it_loads_is_there(http):
    page = http.get("/docs").text
    loaded = re.findall(r'<(?:script|link|img|use|iframe)\b[^>]*(?:src|href)="([^"#]+)', page)
    assert len(loaded) >= 4
    for place in set(loaded):
        assert place.startswith("/ui/static/"), place
        answer = http.get(place)
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff"), place
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page)
    assert http.get("/ui/static/000000000000/style.css").status_code == 404


def test_its_links_lead_to_its_sections(http):
    page = http.get("/docs").text
    places = set(re.findall(r'\bid="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page)) - {"i"}
    assert len(links) > 50
    assert links <= places


def test_no_other_page_loads_scripts_from_elsewhere(http):
    assert http.get("/redoc").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/send", "POST"),
        ("PUT", "/v1/suppressions", "GET, HEAD, POST"),
        ("DELETE", "/admin/clients/a/b", "GET, HEAD, PATCH"),
        ("POST", "/v1/usage", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_lacks_is_answered_with_those_that_it_has(method, path, allowed, caller, problem):
    answer = caller.request(method, path)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


def test_head_is_answered_as_get_is_without_the_body(caller):
    got, headed = caller.get("/v1/messages"), caller.head("/v1/messages")
    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["content-length"] == got.headers["content-length"]
    assert caller.head("/v1/messages/nonsense").status_code == 422


def test_a_slash_too_many_is_a_path_that_is_not_there(caller, body_of, problem):
    answer = caller.post("/v1/send/", json=body_of())
    assert "without the slash" in problem(answer, 404, "not_found")["detail"]


@pytest.mark.parametrize("path", ["/v1/messages?statsu=dead", "/v1/usage?month=1", "/v1/suppressions/a@b.c?x=1"])
def test_a_query_parameter_that_does_not_exist_is_named(path, caller, problem):
    problem(caller.get(path), 422, "unknown_field", re.search(r"\?(\w+)", path)[1])


def test_an_unknown_query_parameter_of_the_admin_side_is_named(admin, http, problem):
    problem(admin.get("/admin/dead-letters?sttus=dead"), 422, "unknown_field", "sttus")
    problem(http.get("/admin/dead-letters?sttus=dead"), 401, "unauthorized")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_a_body_of_another_type_is_refused(kind, admin, problem):
    answer = admin.post("/admin/clients", content=b'{"name": "a"}', headers={"Content-Type": kind})
    problem(answer, 415, "unsupported_media_type")
    assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize("value", ["0", "1767225600", "-1.5", "1e", "now", "2026-13-01T00:00:00Z"])
def test_a_time_is_no_number(value, caller, admin, problem):
    problem(caller.get("/v1/messages", params={"since": value}), 422, "invalid_field", "since")
    problem(admin.get("/admin/dead-letters", params={"until": value}), 422, "invalid_field", "until")
    expiry = {"address": "ada@example.com", "expires_at": value}
    problem(caller.post("/v1/suppressions", json=expiry), 422, "invalid_field", "expires_at")


def test_usage_counts_this_month_and_what_is_left(api, new_client, body_of):
    client = new_client(quota_monthly=3, rate_per_minute=600, rate_burst=50)
    with httpx.Client(base_url=api.url, headers=client.headers, timeout=30) as http:
        before = http.get("/v1/usage").json()
        assert http.post("/v1/send", json=body_of()).status_code == 202
        after = http.get("/v1/usage").json()
    assert (before["accepted"], before["quota"], before["remaining"]) == (0, 3, 3)
    assert (after["accepted"], after["quota"], after["remaining"]) == (1, 3, 2)
    assert after["rate_limit"] == {"per_minute": 600, "burst": 50}
    assert re.fullmatch(r"\d{4}-\d{2}", after["month"])
    assert after["resets_at"].endswith("-01T00:00:00Z")


def test_usage_without_a_quota_has_no_end(caller):
    used = caller.get("/v1/usage").json()
    assert (used["quota"], used["remaining"]) == (None, None)


def test_the_bucket_is_told_with_every_answer_and_when_it_is_empty(api, new_client, body_of):
    client = new_client(rate_per_minute=1, rate_burst=2)
    with httpx.Client(base_url=api.url, headers=client.headers, timeout=30) as http:
        answers = [http.post("/v1/send", json=body_of()) for _ in range(2)]
        refused = http.post("/v1/send", json=body_of())
        batch = http.post("/v1/batch", json={"messages": [body_of()]})
    assert [answer.status_code for answer in answers] == [202, 202]
    for answer, left in zip(answers, ("1", "0"), strict=True):
        assert answer.headers["ratelimit-policy"] == '"client";q=2;w=120'
        assert re.fullmatch(rf'"client";r={left};t=\d+', answer.headers["ratelimit"])
    for answer in (refused, batch):
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert answer.headers["ratelimit-policy"] == '"client";q=2;w=120'
        assert answer.headers["ratelimit"] == f'"client";r=0;t={answer.headers["retry-after"]}'
        assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_a_batch_says_what_is_left_of_the_bucket(api, new_client, body_of):
    client = new_client(rate_per_minute=1, rate_burst=5)
    with httpx.Client(base_url=api.url, headers=client.headers, timeout=30) as http:
        answer = http.post("/v1/batch", json={"messages": [body_of(), body_of()]})
    assert answer.headers["ratelimit-policy"] == '"client";q=5;w=300'
    assert answer.headers["ratelimit"].startswith('"client";r=3;')

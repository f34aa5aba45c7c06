"""Buckets and quotas, as a caller meets them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from redis import Redis


@pytest.fixture(autouse=True)
def counted_in_valkey(http: httpx.Client, body_of: Any, client: Any, redis_url: str, until: Any) -> None:
    """An API that has just begun counts for itself until it has connected to Valkey."""
    with Redis.from_url(redis_url) as redis:

        def counted() -> bool:
            http.post("/v1/send", json=body_of(), headers=client.headers)
            return bool(redis.exists(f"mailboat:bucket:{client.id}"))

        until(counted)


@pytest.fixture
def limited(new_client: Any) -> Any:
    """limited(**columns): a client's headers."""
    return lambda **columns: new_client(**columns).headers


def test_a_full_bucket_lets_its_burst_through_and_says_what_is_left(limited, http, body_of):
    headers = limited(rate_per_minute=1, rate_burst=3)
    answers = [http.post("/v1/send", json=body_of(), headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert [answer.headers["RateLimit"] for answer in answers] == [f'"client";r={left};t=0' for left in (2, 1, 0)]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"client";q=3;w=180'}


def test_an_empty_bucket_is_429_with_the_time_until_the_next_token(limited, http, body_of, problem, query):
    headers = limited(rate_per_minute=1, rate_burst=1)
    assert http.post("/v1/send", json=body_of(), headers=headers).status_code == 202
    before = query("select count(*) from messages")
    answer = http.post("/v1/send", json=body_of(), headers=headers)
    problem(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert re.fullmatch(r'"client";r=0;t=\d+', answer.headers["RateLimit"])
    assert answer.headers["RateLimit-Policy"] == '"client";q=1;w=60'
    assert query("select count(*) from messages") == before


def test_the_bucket_fills_again(limited, http, body_of, until):
    headers = limited(rate_per_minute=600, rate_burst=1)
    until(lambda: http.post("/v1/send", json=body_of(), headers=headers).status_code == 429)
    until(lambda: http.post("/v1/send", json=body_of(), headers=headers).status_code == 202)


def test_the_bucket_of_one_client_is_not_that_of_another(limited, http, body_of):
    one, other = limited(rate_per_minute=1, rate_burst=1), limited(rate_per_minute=1, rate_burst=1)
    assert [http.post("/v1/send", json=body_of(), headers=h).status_code for h in (one, one, other)] == [202, 429, 202]


def test_an_empty_quota_is_429_until_the_month_ends(limited, http, body_of, problem, admin, new_client):
    client = new_client(quota_monthly=2)
    for _ in range(2):
        assert http.post("/v1/send", json=body_of(), headers=client.headers).status_code == 202
    answer = http.post("/v1/send", json=body_of(), headers=client.headers)
    problem(answer, 429, "quota_exceeded")
    assert 1 <= int(answer.headers["Retry-After"]) <= 31 * 86400 + 1
    shown = admin.get(f"/admin/clients/default/{client.name}").json()
    assert (shown["quota_monthly"], shown["accepted_this_month"]) == (2, 2)
    admin.patch(f"/admin/clients/default/{client.name}", json={"quota_monthly": None})
    assert http.post("/v1/send", json=body_of(), headers=client.headers).status_code == 202


def test_a_repeat_is_answered_with_the_first_answer_and_marked(caller, body_of, stored):
    headers, before = {"Idempotency-Key": "order-1042-receipt"}, stored()
    first = caller.post("/v1/send", json=body_of(), headers=headers)
    again = caller.post("/v1/send", json=body_of(), headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert stored() == before + 1


def test_a_repeat_written_in_another_order_is_the_same_and_one_with_another_word_is_not(
    caller, body_of, stored, problem
):
    headers, before = {"Idempotency-Key": "order-1043-receipt"}, stored()
    body = body_of(data={"a": 1, "b": 2}, tags={"x": "1", "y": "2"})
    turned = {name: dict(reversed(v.items())) if isinstance(v, dict) else v for name, v in reversed(body.items())}
    assert caller.post("/v1/send", json=body, headers=headers).status_code == 202
    assert caller.post("/v1/send", json=turned, headers=headers).headers["Idempotent-Replayed"] == "true"
    answer = caller.post("/v1/send", json=body | {"text": "Hello!"}, headers=headers)
    problem(answer, 409, "idempotency_key_reused", "Idempotency-Key")
    assert stored() == before + 1

"""POST /v1/batch: all or each, every message its own answer, and a fault named by its place."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest


@pytest.fixture
def post(caller: Any) -> Any:
    """post(messages, mode=…): the answer."""

    def post(messages: Any, headers: Any = None, **fields: Any) -> Any:
        return caller.post("/v1/batch", json={"messages": messages} | fields, headers=headers)

    return post


def test_a_batch_is_stored_and_answered_in_order(post, body_of, stored, query):
    answer = post([body_of(subject=f"Ahoy {n}") for n in range(300)])
    assert answer.status_code == 202
    shown = answer.json()
    assert (shown["accepted"], shown["refused"], stored()) == (300, 0, 300)
    subjects = {str(row[0]): row[1] for row in query("select id, content ->> 'subject' from messages")}
    assert [subjects[one["id"]] for one in shown["messages"]] == [f"Ahoy {n}" for n in range(300)]


def test_one_fault_refuses_a_batch_of_all_and_is_named_by_its_place(post, body_of, stored, problem):
    answer = post([body_of(), body_of(to="nobody"), body_of(subject="a\nb")])
    members = problem(answer, 422, "invalid_address", "messages[1].to")
    assert [fault["field"] for fault in members["errors"]] == ["messages[1].to", "messages[2].subject"]
    assert stored() == 0


def test_one_fault_leaves_the_others_of_a_batch_of_each_alone(post, body_of, stored):
    answer = post([body_of(), body_of(to="nobody"), body_of(template="nowhere", subject=None, text=None)], mode="each")
    assert answer.status_code == 202
    shown = answer.json()
    assert (shown["accepted"], shown["refused"], stored()) == (1, 2, 1)
    assert [one.get("status") for one in shown["messages"]] == ["queued", None, None]
    faults = [(one["problem"]["code"], one["problem"]["field"]) for one in shown["messages"][1:]]
    assert faults == [("invalid_address", "messages[1].to"), ("template_not_found", "messages[2].template")]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 422, "missing_field", "messages"),
        ({"messages": []}, 422, "invalid_field", "messages"),
        ({"messages": [{"to": "a@b.c"}] * 1001}, 422, "invalid_field", "messages"),
        ({"messages": {}}, 422, "invalid_field", "messages"),
        ({"messages": [7]}, 422, "invalid_field", "messages[0]"),
        ({"messages": [{"to": "a@b.c", "colour": "red"}]}, 422, "unknown_field", "messages[0].colour"),
        ({"messages": [{"to": "a@b.c"}], "mode": "some"}, 422, "invalid_field", "mode"),
        ({"messages": [{"to": "a@b.c"}], "colour": "red"}, 422, "unknown_field", "colour"),
    ],
)
def test_what_is_no_batch_is_refused(body, status, code, field, caller, stored, problem):
    problem(caller.post("/v1/batch", json=body), status, code, field)
    assert stored() == 0


@pytest.mark.parametrize("content", [b"", b"[", b"null", b'{"messages":[' + b"[" * 100_000, b"\xff"])
def test_what_is_no_json_is_refused(content, caller, stored):
    answer = caller.post("/v1/batch", content=content)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert stored() == 0


def test_data_that_is_nested_too_deep_is_named_by_its_place(post, body_of, stored, problem):
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    problem(post([body_of(), body_of(data={"a": deep})]), 400, "too_deep", "messages[1].data")
    assert stored() == 0


def test_a_batch_takes_its_tokens_together_or_not_at_all(new_client, http, body_of, problem, query):
    client = new_client(rate_per_minute=1, rate_burst=10)
    batch = {"messages": [body_of()] * 6}
    assert http.post("/v1/batch", json=batch, headers=client.headers).status_code == 202
    answer = http.post("/v1/batch", json=batch, headers=client.headers)
    problem(answer, 429, "rate_limited")
    assert int(answer.headers["Retry-After"]) >= 1
    assert http.post("/v1/batch", json={"messages": [body_of()] * 4}, headers=client.headers).status_code == 202
    assert query("select count(*) from messages where client_id = $1", client.id)[0][0] == 10


def test_a_quota_refuses_the_whole_or_the_rest(new_client, http, body_of, problem, query):
    client = new_client(quota_monthly=5)
    batch = {"messages": [body_of()] * 6}
    problem(http.post("/v1/batch", json=batch, headers=client.headers), 429, "quota_exceeded", "messages[5]")
    answer = http.post("/v1/batch", json=batch | {"mode": "each"}, headers=client.headers)
    assert (answer.json()["accepted"], answer.json()["refused"]) == (5, 1)
    assert answer.json()["messages"][5]["problem"]["code"] == "quota_exceeded"
    assert query("select accepted from usage where client_id = $1", client.id)[0][0] == 5


def test_each_message_may_have_an_idempotency_key(post, body_of, stored, problem):
    first = post([body_of(idempotency_key="a"), body_of(idempotency_key="b"), body_of(idempotency_key="a")]).json()
    ids = [one["id"] for one in first["messages"]]
    assert (ids[0] == ids[2], stored()) == (True, 2)
    again = post([body_of(idempotency_key="b"), body_of(idempotency_key="c")]).json()
    assert (again["messages"][0]["id"], stored()) == (ids[1], 3)
    reused = post([body_of(idempotency_key="a", text="another"), body_of()])
    problem(reused, 409, "idempotency_key_reused", "messages[0].idempotency_key")
    assert stored() == 3
    problem(post([body_of(idempotency_key="ü")]), 400, "invalid_idempotency_key", "messages[0].idempotency_key")


def test_a_key_used_alone_is_known_in_a_batch(post, caller, body_of, stored):
    alone = caller.post("/v1/send", json=body_of(), headers={"Idempotency-Key": "x"}).json()
    assert post([body_of(idempotency_key="x")]).json()["messages"][0]["id"] == alone["id"]
    assert stored() == 1


def test_many_lanes_and_times_go_in_one_batch(post, body_of, query, client):
    lanes = ["high", "normal", "bulk"]
    answer = post([body_of(lane=lane) for lane in lanes] + [body_of(send_at="2026-12-31T09:00:00Z")])
    assert [one["status"] for one in answer.json()["messages"]] == ["queued"] * 3 + ["scheduled"]
    rows = query("select lane, state from queue where client_id = $1", client.id)
    assert Counter(map(tuple, rows)) == {(0, 1): 1, (1, 1): 1, (2, 1): 1, (1, 0): 1}


def test_without_a_key_nothing_is_read(http, body_of, problem):
    problem(http.post("/v1/batch", json={"messages": [body_of()]}), 401, "unauthorized")

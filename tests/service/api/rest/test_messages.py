"""What became of a message: one with its timeline, pages of them, and stopping one."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@pytest.fixture
def send(caller: httpx.Client, body_of: Any) -> Any:
    """send(**fields): the id of an accepted message."""

    def send(**changes: Any) -> str:
        answer = caller.post("/v1/send", json=body_of(**changes))
        assert answer.status_code == 202, answer.text
        message_id: str = answer.json()["id"]
        return message_id

    return send


def ids(page: httpx.Response) -> list[str]:
    assert page.status_code == 200, page.text
    return [item["id"] for item in page.json()["items"]]


def test_a_message_is_shown_with_all_that_the_caller_gave(caller, send):
    message_id = send(
        template="receipt",
        subject=None,
        text=None,
        to=["Ada <ada@example.com>"],
        cc="bob@example.com",
        bcc=["cy@example.com"],
        data={"order": "A-1042"},
        tags={"flow": "checkout"},
        metadata={"cart": [1, 2]},
        lane="high",
        send_at=LATER,
    )
    shown = caller.get(f"/v1/messages/{message_id}").json()
    assert (shown["id"], shown["status"], shown["template"], shown["lane"]) == (
        message_id,
        "scheduled",
        "receipt",
        "high",
    )
    assert datetime.fromisoformat(shown["send_at"]) == datetime.fromisoformat(LATER)
    assert len(shown["revision"]) == 64
    assert shown["from"] == '"Northwind" <orders@shop.example.com>'
    assert (shown["tags"], shown["metadata"]) == ({"flow": "checkout"}, {"cart": [1, 2]})
    assert [(one["address"], one["kind"], one["status"]) for one in shown["recipients"]] == [
        ("ada@example.com", "to", "scheduled"),
        ("bob@example.com", "cc", "scheduled"),
        ("cy@example.com", "bcc", "scheduled"),
    ]
    assert (shown["attempts"], shown["attempt_count"], shown["error"]) == ([], 0, None)


def test_the_callers_trace_is_the_messages(caller, body_of):
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    message_id = caller.post("/v1/send", json=body_of(), headers=headers).json()["id"]
    assert caller.get(f"/v1/messages/{message_id}").json()["trace_id"] == trace


@pytest.mark.parametrize("traceparent", ["nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", ""])
def test_a_trace_that_is_none_is_replaced_by_a_new_one(traceparent, caller, body_of):
    answer = caller.post("/v1/send", json=body_of(), headers={"traceparent": traceparent})
    trace = caller.get(f"/v1/messages/{answer.json()['id']}").json()["trace_id"]
    assert len(trace) == 32
    assert set(trace) != {"0"}


def test_what_is_not_there_is_404(caller, problem):
    problem(caller.get(f"/v1/messages/{uuid.uuid4()}"), 404, "not_found")
    problem(caller.get("/v1/nothing"), 404, "not_found")
    problem(caller.get("/v1/messages/nonsense"), 422, "invalid_field", "message_id")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/send"), ("PUT", "/v1/send"), ("DELETE", "/v1/messages"), ("HEAD", "/v1/send"),
                         ("OPTIONS", "/v1/send"), ("PATCH", "/v1/messages"), ("GET", "/admin/clients/a/b/suspend")]
)  # fmt: skip
def test_a_method_that_is_not_there_is_405_and_names_those_that_are(method, path, caller):
    answer = caller.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["Allow"]
    if method != "HEAD":
        assert answer.json()["code"] == "method_not_allowed"


def test_head_of_the_probes_is_their_status_without_a_body(http):
    for path in ("/livez", "/readyz"):
        answer = http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_who_opens_the_bare_address_is_led_to_the_dashboard(http):
    answer = http.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "/ui")


def test_pages_are_newest_first_and_end(caller, send):
    sent = [send() for _ in range(5)]
    first = caller.get("/v1/messages", params={"limit": 2})
    second = caller.get("/v1/messages", params={"limit": 2, "cursor": first.json()["next"]})
    third = caller.get("/v1/messages", params={"limit": 2, "cursor": second.json()["next"]})
    assert ids(first) + ids(second) + ids(third) == sorted(sent, reverse=True)
    assert third.json()["next"] is None
    assert first.json()["items"][0]["to"] == ["ada@example.com"]


def test_a_reader_of_pages_misses_nothing_and_sees_nothing_twice_while_mail_arrives(caller, send):
    before = [send() for _ in range(25)]
    seen, cursor, new = [], None, []
    while True:
        page = caller.get("/v1/messages", params={"limit": 4} | ({"cursor": cursor} if cursor else {}))
        seen += ids(page)
        new.append(send())
        if (cursor := page.json()["next"]) is None:
            break
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)
    assert not set(seen) & set(new)


@pytest.fixture
def mixed(send: Any) -> dict[str, str]:
    """Some messages that differ."""
    return {
        "plain": send(),
        "receipt": send(template="receipt", subject=None, text=None),
        "high": send(lane="high"),
        "later": send(send_at=LATER),
        "cc": send(cc="Bob <BOB@example.com>", reply_to="replies@example.com"),
        "tagged": send(tags={"flow": "checkout", "step": "2"}),
        "other": send(to="a_b@example.com", tags={"flow": "checkout"}),
    }


FILTERS = [
    ({"status": "scheduled"}, {"later"}),
    ({"template": "receipt"}, {"receipt"}),
    ({"lane": "high"}, {"high"}),
    ({"recipient": "bob@example.com"}, {"cc"}),
    ({"recipient": "a_b@example.com"}, {"other"}),
    ({"recipient": "axb@example.com"}, set()),
    ({"recipient": "example.com"}, set()),
    ({"recipient": "%"}, set()),
    ({"recipient": "orders@shop.example.com"}, set()),
    ({"recipient": "replies@example.com"}, set()),
    ({"tag": "flow:checkout"}, {"tagged", "other"}),
    ({"tag": ["flow:checkout", "step:2"]}, {"tagged"}),
    ({"tag": "flow:check"}, set()),
    ({"until": "2020-01-01T00:00:00Z"}, set()),
    ({"since": "0001-01-01T00:00:00Z", "template": "receipt"}, {"receipt"}),
    ({"until": "9999-12-31T23:59:59Z", "template": "receipt"}, {"receipt"}),
    ({"since": LATER}, set()),
    ({"status": "scheduled", "lane": "high"}, set()),
]


@pytest.mark.parametrize(("params", "names"), FILTERS, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_a_filter_keeps_what_it_says(params, names, mixed, caller):
    assert set(ids(caller.get("/v1/messages", params=params))) == {mixed[name] for name in names}


def test_since_and_until_divide_the_messages(mixed, caller):
    at = caller.get(f"/v1/messages/{mixed['high']}").json()["created_at"]
    parts = [set(ids(caller.get("/v1/messages", params={name: at}))) for name in ("until", "since")]
    assert parts[0] | parts[1] == set(mixed.values())
    assert not parts[0] & parts[1]


WRONG = {
    "a status that is none": ({"status": "lost"}, 422, "invalid_field", "status"),
    "a lane that is none": ({"lane": "urgent"}, 422, "invalid_field", "lane"),
    "no messages per page": ({"limit": 0}, 422, "invalid_field", "limit"),
    "too many per page": ({"limit": 101}, 422, "invalid_field", "limit"),
    "a number beyond every integer": ({"limit": "9" * 30}, 422, "invalid_field", "limit"),
    "a foreign cursor": ({"cursor": "nonsense"}, 400, "invalid_cursor", "cursor"),
    "a cursor in another alphabet": ({"cursor": "ümlaut"}, 400, "invalid_cursor", "cursor"),
    "a tag without a value": ({"tag": "flow"}, 422, "invalid_field", "tag"),
    "a time that is none": ({"since": "yesterday"}, 422, "invalid_field", "since"),
    "a template with a NUL": ({"template": "a\0"}, 422, "invalid_field", "template"),
    "a recipient with a NUL": ({"recipient": "a\0@b.c"}, 422, "invalid_field", "recipient"),
    "a tag with a NUL": ({"tag": "flow:\0"}, 422, "invalid_field", "tag"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_filter_that_is_none_is_refused_by_its_name(name, caller, problem):
    params, status, code, field = WRONG[name]
    problem(caller.get("/v1/messages", params=params), status, code, field)


def test_a_scheduled_message_can_be_stopped_once_and_for_all(caller, send, query):
    message_id = send(send_at=LATER)
    for _ in range(2):
        answer = caller.post(f"/v1/messages/{message_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert query("select state from queue where id = $1", message_id)[0][0] == 6


@pytest.mark.parametrize(("state", "attempts"), [(1, 0), (2, 1), (3, 1), (4, 1), (0, 1)])
def test_what_is_no_longer_waiting_for_its_time_cannot_be_stopped(state, attempts, caller, send, query, problem):
    message_id = send(send_at=LATER)
    query("update queue set state = $2, attempts = $3 where id = $1", message_id, state, attempts)
    problem(caller.post(f"/v1/messages/{message_id}/cancel"), 409, "not_cancellable")
    assert query("select state from queue where id = $1", message_id)[0][0] == state


def test_the_timeline_shows_every_attempt_and_every_recipient_its_own_fate(caller, send, query):
    message_id = send(to=["a@example.com", "b@example.com", "c@example.com"])
    query("update queue set state = 3, attempts = 2, provider = 'smtp' where id = $1", message_id)
    query(
        """insert into attempts (message_id, number, provider, outcome, detail, recipients, seconds) values
        ($1, 2, 'smtp', 'sent', '250 OK', '{"b@example.com": {"status": "sent", "detail": "250 OK"}}', 0.25),
        ($1, 1, 'smtp', 'retryable', '250 OK', '{"a@example.com": {"status": "sent", "detail": "250 OK"},
          "b@example.com": {"status": "deferred", "detail": "450 later"},
          "c@example.com": {"status": "failed", "detail": "550 never"}}', 0.5)""",
        message_id,
    )
    shown = caller.get(f"/v1/messages/{message_id}").json()
    assert [(a["number"], a["outcome"], a["seconds"]) for a in shown["attempts"]] == [
        (1, "retryable", 0.5),
        (2, "sent", 0.25),
    ]
    assert [(one["status"], one["detail"]) for one in shown["recipients"]] == [
        ("sent", "250 OK"),
        ("sent", "250 OK"),
        ("failed", "550 never"),
    ]

"""Attackers with a socket of their own: whatever they send is answered or cut off, stores nothing, and hurts nobody."""

from __future__ import annotations

import hmac
import json
import socket
import time

import httpx
import pytest
import yaml

OPENED = {"event": "opened", "recipient": "ada@example.com", "timestamp": 1534108637.15}
GENUINE = [
    {"email": "a\0@example.com", "event": "bounce", "reason": "\0", "sg_event_id": "\0", "timestamp": 1600112492},
    {"email": ["x"], "event": {"x": 1}, "sg_event_id": 7, "timestamp": "1e999", "sg_message_id": None},
    {"email": "x" * 70_000, "event": "deferred", "response": "é" * 70_000, "timestamp": -(10**30)},
    None,
    "x",
    {"email": "ada@example.com", "event": "delivered", "sg_event_id": "good", "timestamp": 1600112492},
]


@pytest.fixture(scope="module")
def listed(sendgrid, tmp_path_factory):
    file = tmp_path_factory.mktemp("attacks") / "providers.yaml"
    providers = [
        {"name": "grid", "sendgrid": {}, "webhook": {"public-key": sendgrid.public_key}},
        {"name": "gun", "mailgun": {"domain": "x"}, "webhook": {"signing-key": "key-of-mailgun"}},
        {"name": "mark", "postmark": {}, "webhook": {"username": "postmark", "password": "s3cret"}},
    ]
    file.write_text(yaml.safe_dump(providers))
    return str(file)


@pytest.fixture
def api(settings_of, start_role, free_port, listed):
    return start_role("api", settings_of(port=free_port(), providers_file=listed))


def say(api, raw: bytes) -> bytes:
    """The beginning of the answer to these octets, b"" when the connection just ends."""
    with socket.create_connection((api.settings.host, api.settings.port), 20) as peer:
        peer.settimeout(20)
        peer.sendall(raw)
        try:
            return peer.recv(4096).split(b"\r\n", 1)[0]
        except ConnectionResetError:
            return b""


def head(path: bytes, *more: bytes) -> bytes:
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: x", *more, b"", b""])


def test_no_request_is_too_strange_for_an_answer(api, query, mailgun):
    good = mailgun(OPENED)
    length = b"Content-Length: %d" % len(good.body)
    named = (b"", b"/", b"mailgun/" + b"a" * 5000, b"mailgun/%00", b"%ff/x", b"mailgun/../../admin/clients",
             b"mailgun/gun/", b"mailgun/gun/x", b"Mailgun", b"mailgun/'%20or%201=1--")  # fmt: skip
    for name in named:
        answer = say(api, head(b"/webhooks/" + name, length) + good.body)
        assert answer.split()[1:2] in ([b"404"], [b"401"], [b"400"], [b"414"]), name
    odd = [
        head(b"/webhooks/mailgun/gun", length, b"Transfer-Encoding: chunked") + good.body,
        head(b"/webhooks/mailgun/gun", b"Content-Length: -1") + good.body,
        head(b"/webhooks/mailgun/gun", b"Content-Length: 1", b"Content-Length: 2") + good.body,
        head(b"/webhooks/mailgun/gun", b"Content-Length: 99999999999999999999"),
        head(b"/webhooks/mailgun/gun", b"Transfer-Encoding: chunked") + b"fffffffffffffffff\r\n",
        head(b"/webhooks/mailgun/gun", b"Transfer-Encoding: chunked") + b"zz\r\n\r\n",
        head(b"/webhooks/mailgun/gun", b"Content-Encoding: gzip", length) + b"\x1f\x8b" + b"\0" * (len(good.body) - 2),
        head(b"/webhooks/mailgun/gun", b"Content-Length: %d" % (len(good.body) - 1)) + good.body,
        b"\0" * 1000,
        b"POST /webhooks/mailgun/gun\r\n\r\n",
    ]
    for raw in odd:
        assert say(api, raw).split()[1:2] in ([], [b"400"], [b"401"], [b"413"], [b"411"]), raw[:200]
    assert query("select count(*) from webhook_receipts")[0][0] == 0
    assert say(api, head(b"/webhooks/mailgun", length) + good.body).split()[1] == b"204"


def test_a_token_is_good_for_one_body_however_it_is_cut(api, query):
    """Mailgun signs timestamp and token in a row: the border between them may not be moved."""
    stamp, token = str(int(time.time())), "0123456789" * 5
    signature = hmac.digest(b"key-of-mailgun", (stamp + token).encode(), "sha256").hex()
    row = stamp + token

    def post(cut: int, event: str) -> int:
        signed = {"timestamp": row[:cut], "token": row[cut:], "signature": signature}
        body = {"signature": signed, "event-data": {"event": event, "recipient": "ada@example.com"}}
        return httpx.post(f"{api.url}/webhooks/mailgun/gun", content=json.dumps(body)).status_code

    assert post(len(stamp), "opened") == 204
    assert post(len(stamp), "opened") == 204
    assert {post(cut, "complained") for cut in range(len(row))} == {401}
    assert query("select count(*) from webhook_receipts")[0][0] == 1


def test_a_header_given_twice_proves_nothing_that_one_would_not(api, query, sendgrid):
    good = sendgrid.post([{"email": "a@example.com", "event": "open", "sg_event_id": "1", "timestamp": 1600112492}])
    genuine = list(good.headers.items())
    with httpx.Client(base_url=api.url) as http:
        for body, headers in (
            (good.body.replace(b"open", b"drop"), [*genuine, *genuine]),
            (good.body + b" ", genuine),
            (good.body, [(name, value[::-1]) for name, value in genuine]),
            (good.body, [*genuine, *((name, "0") for name, _ in genuine)]),
        ):
            assert http.post("/webhooks/sendgrid", content=body, headers=headers).status_code == 401
    assert query("select count(*) from webhook_receipts")[0][0] == 0


def test_genuine_nonsense_is_kept_and_read_and_holds_up_nothing(api, query, sendgrid, start_role, settings, until):
    """A provider passes on what recipients and their servers say: that may be anything."""
    post = sendgrid.post(GENUINE)
    assert httpx.post(f"{api.url}/webhooks/sendgrid/grid", content=post.body, headers=post.headers).status_code == 204
    start_role("worker", settings)
    until(lambda: query("select count(*) from webhook_receipts where parsed_at is null")[0][0] == 0)
    rows = query("select event, recipient from events order by id")
    assert ("delivered", "ada@example.com") in [tuple(row) for row in rows]
    assert len(rows) == len(GENUINE)

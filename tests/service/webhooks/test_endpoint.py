"""POST /webhooks/… as the network sees it: every kind of answer, over real sockets."""

from __future__ import annotations

import socket

import httpx
import msgspec
import pytest
import yaml

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
OPENED = {"event": "opened", "recipient": "ada@example.com", "timestamp": 1534108637.15}
DROPPED = [{"email": "a@example.com", "event": "dropped", "sg_event_id": "1", "timestamp": 1600112492}]
DELIVERED = {"RecordType": "Delivery", "MessageID": "883953f4", "Recipient": "ada@example.com"}
SENT = {"eventType": "Send", "mail": {"messageId": "0102", "destination": ["ada@example.com"]}}


@pytest.fixture
def api(settings_of, start_role, free_port, sendgrid, amazon, tmp_path):
    """An API that expects the webhooks of five providers; two are Mailgun's, with one key."""
    listed = [
        {"name": "ses-eu", "ses": {"region": "eu-west-1", "snsOrigin": amazon.url}, "webhook": {"topic-arns": TOPIC}},
        {"name": "sendgrid", "sendgrid": {}, "webhook": {"public-key": sendgrid.public_key}},
        {"name": "mailgun-eu", "mailgun": {"domain": "x"}, "webhook": {"signing-key": "key-of-mailgun"}},
        {"name": "mailgun-us", "mailgun": {"domain": "y"}, "webhook": {"signing-key": "key-of-mailgun"}},
        {"name": "postmark", "postmark": {}, "webhook": {"username": "postmark", "password": "s3cret"}},
        {"name": "relay", "smtp": {"host": "x"}},
        {"name": "deaf", "postmark": {}},
    ]
    file = tmp_path / "providers.yaml"
    file.write_text(yaml.safe_dump(listed))
    return start_role("api", settings_of(port=free_port(), providers_file=str(file), simulators=True))


def test_each_kind_of_delivery_has_its_answer(api, query, topic, amazon, sendgrid, mailgun, postmark):
    posts = {
        "ses": topic.post(SENT),
        "sendgrid": sendgrid.post(DROPPED),
        "mailgun": mailgun(OPENED),
        "postmark": postmark(DELIVERED),
    }
    names = {"ses": "ses-eu", "sendgrid": "sendgrid", "mailgun": "mailgun-eu", "postmark": "postmark"}
    with httpx.Client(base_url=api.url, timeout=20) as http:

        def deliver(path, post, method="POST", **headers):
            return http.request(method, f"/webhooks/{path}", content=post.body, headers=post.headers | headers)

        for kind, post in posts.items():
            for path in (f"{kind}/{names[kind]}", kind, f"{kind}/{names[kind]}"):
                assert deliver(path, post).status_code == 204, path
            assert deliver(f"{kind}/{names[kind]}", post, "GET").status_code == 405
            for path in (f"{kind}/other", f"{kind}/relay", f"{kind}/deaf", f"smtp/{names[kind]}", f"x/{names[kind]}"):
                assert deliver(path, post).status_code == 404, path
            tampered = post._replace(body=post.body.replace(b"example.com", b"evil.example"))
            if kind == "mailgun":  # its signature does not cover the event: the token is spent
                answers = [deliver(path, tampered) for path in ("mailgun", "mailgun/mailgun-eu", "mailgun/mailgun-us")]
                assert {answer.status_code for answer in answers} == {401}
            elif kind != "postmark":  # nothing is signed there
                assert deliver(kind, tampered).status_code == 401
            assert deliver(kind, post._replace(headers={})).status_code == (204 if kind in ("ses", "mailgun") else 401)
            huge = deliver(kind, post._replace(body=post.body + b" " * 11_000_000))
            assert (huge.status_code, huge.json()["code"]) == (413, "body_too_large")

        for kind in ("ses", "mailgun"):
            for raw in (b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 300_000, b'{"a":' * 100_000):
                answer = deliver(kind, posts[kind]._replace(body=raw))
                assert (answer.status_code, answer.json()["code"]) == (400, "malformed_webhook"), raw[:20]
        for raw in (b"{", b"{}", b"[" * 300_000):
            assert deliver("sendgrid", sendgrid.post(raw)).status_code == 400

        refusals = [deliver("ses", topic.post(SENT, TopicArn="arn:aws:sns:eu-west-1:6:x")),
                    deliver("ses", topic.post(SENT, after_Message="{}")),
                    deliver("ses", topic.post(SENT, Timestamp="2020-01-01T00:00:00Z"))]  # fmt: skip
        # One answer for every kind of forgery.
        assert len({answer.content for answer in refusals}) == 1
        assert (
            deliver("postmark", posts["postmark"]._replace(headers={})).headers["www-authenticate"].startswith("Basic")
        )

        for meaningless in (b"{}", b'{"RecordType": [1]}', b"[]"):
            refused = deliver("postmark", posts["postmark"]._replace(body=meaningless))
            assert (refused.status_code, refused.json()["code"]) == (400, "malformed_webhook")

        subscribed = deliver("ses/ses-eu", topic.subscription())
        assert subscribed.status_code == 204
        assert amazon.asked[-1].startswith("/?Action=ConfirmSubscription")

    kept = query("select provider, kind, body from webhook_receipts order by id")
    assert [row["kind"] for row in kept] == ["ses", "sendgrid", "mailgun", "postmark"]
    assert [bytes(row["body"]) for row in kept] == [post.body for post in posts.values()]
    logged = api.log.read_text()
    for secret in ("s3cret", "key-of-mailgun", "evil.example"):
        assert secret not in logged


def test_a_slow_body_is_cut_off_and_the_others_go_on(api, mailgun):
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(b"POST /webhooks/mailgun HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
        post = mailgun(OPENED)
        assert httpx.post(f"{api.url}/webhooks/mailgun", content=post.body).status_code == 204
        answer = b""
        while chunk := slow.recv(65536):  # until the server closes the connection
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_what_was_answered_survives_the_death_of_the_process_and_is_read_by_a_worker(
    api, settings_of, start_role, query, mailgun, until
):
    posts = [mailgun(OPENED | {"timestamp": 1534108637 + n}, token=f"{n:050}") for n in range(20)]
    for post in posts:
        assert httpx.post(f"{api.url}/webhooks/mailgun/mailgun-eu", content=post.body).status_code == 204
    api.stop(9)
    start_role("worker", settings_of())
    until(lambda: query("select count(*) from events")[0][0] == 20)
    events = query("select provider, event, recipient, event_id from events order by event_id")
    assert {row["provider"] for row in events} == {"mailgun-eu"}
    assert [row["event_id"] for row in events] == [f"{n:050}" for n in range(20)]


def test_without_postgres_nothing_is_promised(
    own_postgres, settings_of, start_role, free_port, postmark, tmp_path, until
):
    file = tmp_path / "providers.yaml"
    webhook = {"username": "postmark", "password": "s3cret"}
    file.write_text(yaml.safe_dump([{"name": "postmark", "postmark": {}, "webhook": webhook}]))
    settings = settings_of(database_url=own_postgres.dsn(), port=free_port(), providers_file=str(file))
    api = start_role("api", settings)
    post = postmark(DELIVERED)

    def deliver():
        return httpx.post(
            f"{api.url}/webhooks/postmark", content=post.body, headers=post.headers, timeout=20
        ).status_code

    assert deliver() == 204
    own_postgres.stop()
    assert deliver() == 503
    own_postgres.start()
    until(lambda: deliver() == 204)


def test_an_unreadable_list_of_providers_is_told_in_the_log_and_not_to_the_caller(
    settings_of, start_role, free_port, mailgun, tmp_path
):
    file = tmp_path / "providers.yaml"
    file.write_text("- name: mailgun\n  mailgun: {}\n  webhook: {signing-kye: s3cret}\n")
    api = start_role("api", settings_of(port=free_port(), providers_file=str(file)))
    answer = httpx.post(f"{api.url}/webhooks/mailgun", content=mailgun(OPENED).body)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "signing-kye" in api.log.read_text()
    assert "s3cret" not in api.log.read_text() + answer.text
    assert msgspec.json.decode(answer.content)["code"] == "unavailable"

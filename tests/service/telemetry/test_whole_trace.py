"""The whole way of a mail in one trace: caller, API, worker, provider, and the webhooks of a day later."""

from __future__ import annotations

import hmac
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml

from mailboat.declare.seal import new_key

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE}-{SPAN}-01"
KEY = "signing-key-of-mailgun"
KINDS = {"server": 2, "client": 3, "consumer": 5}


class Hook:
    """The client's own server. `told`: headers and body of each POST."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        told = self.told

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


def bounce(message_id: str) -> dict[str, Any]:
    """What Mailgun posts when an address turns out not to exist."""
    now = str(int(datetime.now(UTC).timestamp()))
    fact = {
        "event": "failed", "severity": "permanent", "id": "fact-1", "recipient": "ada@example.com",
        "timestamp": (datetime.now(UTC) + timedelta(days=1)).timestamp(), "user-variables": {"mailboat_id": message_id},
        "delivery-status": {"code": 550, "message": "550 5.1.1 no such user ada@example.com"},
    }  # fmt: skip
    signature = hmac.digest(KEY.encode(), f"{now}token-1".encode(), "sha256").hex()
    return {"signature": {"timestamp": now, "token": "token-1", "signature": signature}, "event-data": fact}


@pytest.fixture
def settings(settings_of: Callable[..., Any], sink: Any, free_port: Callable[[], int], tmp_path: Any) -> Any:
    """A mail goes out by SMTP; Mailgun tells what became of it, which the client hears of."""
    listed = [
        {"name": "mailgun-eu", "mailgun": {"domain": "x.example"}, "credentials": {"api-key": "k"},
         "webhook": {"signing-key": KEY}},
    ]  # fmt: skip
    (tmp_path / "providers.yaml").write_text(yaml.safe_dump(listed))
    more = {"providers_file": str(tmp_path / "providers.yaml"), "sealing_key": new_key(), "smtp_url": sink.url}
    return settings_of(port=free_port(), egress_allow="127.0.0.0/8", **more)


def test_one_trace_goes_from_the_caller_to_the_webhook_that_the_client_gets_a_day_later(
    collector, hook, settings, start_role, sink, client, until
):
    first = [start_role(role, settings, **collector.environment) for role in ("api", "worker")]
    url, headers = first[0].url, client.headers
    made = httpx.post(f"{url}/v1/webhook-endpoints", json={"url": hook.url, "events": ["bounced"]}, headers=headers)
    assert made.status_code == 201, made.text
    mail = {"to": "Ada <ada@example.com>", "subject": "words-of-the-subject", "text": "words-of-the-mail"}
    sent = httpx.post(f"{url}/v1/send", json=mail, headers=headers | {"traceparent": CALLER})
    message_id = sent.json()["id"]
    until(lambda: sink.taken, "the mail at the provider")
    until(lambda: collector.of(TRACE, "send smtp"), "the span of the provider")
    assert [role.stop() for role in first] == [0, 0]  # whatever remembers the trace is not a process

    for role in ("api", "worker"):
        start_role(role, settings, **collector.environment)
    posted = httpx.post(f"{url}/webhooks/mailgun/mailgun-eu", content=json.dumps(bounce(message_id)))
    assert posted.status_code == 204
    until(lambda: hook.told, "what the client is told")
    until(lambda: collector.of(TRACE, "webhook bounced"), "the span of the client's webhook")

    spans = {span.name: span for span in collector.spans if span.trace == TRACE}
    assert sorted(spans) == ["POST /v1/send", "event bounced", "send smtp", "webhook bounced"]
    accepted = spans["POST /v1/send"]
    assert accepted.parent == SPAN
    assert {spans[name].parent for name in spans if name != "POST /v1/send"} == {accepted.id}
    assert {name: (span.service, span.kind) for name, span in spans.items()} == {
        "POST /v1/send": ("mailboat-api", KINDS["server"]),
        "send smtp": ("mailboat-worker", KINDS["client"]),
        "event bounced": ("mailboat-worker", KINDS["consumer"]),
        "webhook bounced": ("mailboat-worker", KINDS["client"]),
    }
    assert {spans[name].attributes["message_id"] for name in ("send smtp", "event bounced")} == {message_id}
    ((told, body),) = hook.told
    assert told["traceparent"] == f"00-{TRACE}-{spans['webhook bounced'].id}-01"
    assert json.loads(body)["data"]["message_id"] == message_id

    allowed = {"client", "message_id", "provider", "at", "delivery", "endpoint"}
    for span in collector.spans:
        assert span.attributes.keys() <= allowed, (span.name, span.attributes)
        assert all(len(value) <= 100 for value in span.attributes.values())
        assert not span.events
    secrets = (client.secret, client.key, KEY, settings.sealing_key, made.json()["secret"])
    for word in ("ada@example.com", "orders@shop.example.com", "words-of-the", *secrets):
        assert word.encode() not in collector.raw, word


def test_a_span_that_failed_says_the_kind_of_fault_and_none_of_the_words_of_the_server(
    collector, settings_of, start_role, sink, client, until, free_port
):
    """Servers repeat the address that they refuse."""
    sink.on_recipient = lambda address: f"550 5.1.1 <{address}>: no such user"
    settings = settings_of(port=free_port(), smtp_url=sink.url)
    api = start_role("api", settings, **collector.environment)
    start_role("worker", settings, **collector.environment)
    mail = {"to": "ada@example.com", "subject": "Ahoy", "text": "Hello"}
    assert httpx.post(f"{api.url}/v1/send", json=mail, headers=client.headers | {"traceparent": CALLER}).is_success
    broken = httpx.post(
        f"{api.url}/v1/send", json=mail | {"to": "eve@@example.com"}, headers=client.headers | {"traceparent": CALLER}
    )
    assert broken.status_code == 422
    (send,) = until(lambda: collector.of(TRACE, "send smtp"))
    posts = until(lambda: len(found := collector.of(TRACE, "POST /v1/send")) == 2 and found)
    assert (send.failed, send.fault, send.events) == (True, "Rejected", [])
    assert sorted((post.failed, post.fault, len(post.events)) for post in posts) == [
        (False, "", 0),
        (True, "Problem", 0),
    ]
    assert b"example.com" not in collector.raw

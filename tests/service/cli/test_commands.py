"""The commands against a real API: each as a person or a script would use it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mailboat.cli import endpoint


@pytest.fixture
def client(at: Any, request: pytest.FixtureRequest) -> str:
    """A client of this test's own."""
    name = f"shop/{request.node.name[5:].replace('_', '-').partition('[')[0][:60].strip('-')}"
    at("client", "create", name, "--sender", "Shop <shop@example.com>", "--template", "receipt")
    return name


def test_a_client_is_created_and_shown(at: Any, client: str) -> None:
    found = at("client", "get", client)
    assert f"{found['namespace']}/{found['name']}" == client
    assert found["senders"] == ["Shop <shop@example.com>"]
    assert client in [f"{one['namespace']}/{one['name']}" for one in at("client", "list")]


def test_what_is_given_is_changed_and_the_rest_stays(at: Any, client: str) -> None:
    changed = at("client", "update", client, "--quota", "5", "--per-minute", "7", "--lane", "high", "--template", "")
    assert (changed["quota_monthly"], changed["rate_per_minute"], changed["lane"]) == (5, 7, "high")
    assert (changed["templates"], changed["senders"]) == ([], ["Shop <shop@example.com>"])
    assert at("client", "update", client, "--quota", "none")["quota_monthly"] is None


def test_a_suspended_client_cannot_send_until_it_is_resumed(mailboat: Any, at: Any, run: Any, client: str) -> None:
    made = at("key", "create", client)
    mail = ("send", "receipt", "--to", "ada@example.com", "--data", '{"order": 1, "name": "Ada"}')
    who = ("--url", run.client["url"], "--key", made["key"], "--secret", made["secret"])
    assert at("client", "suspend", client)["suspended"]
    status, _, err = mailboat(*mail, *who)
    assert status == 1
    assert "`mailboat client resume NAME` lets it send again." in err
    assert not at("client", "resume", client)["suspended"]
    assert mailboat(*mail, *who)[0] == 0


def test_keys_are_made_rotated_and_revoked(at: Any, client: str) -> None:
    first = at("key", "create", client, "--expires", "90d")
    second = at("key", "rotate", client, "--overlap", "0s")
    assert first["key"] != second["key"]
    states = {key["key"]: key["state"] for key in at("key", "list", client)}
    assert states == {first["key"]: "expired", second["key"]: "active"}
    assert at("key", "revoke", client, second["key"])["state"] == "revoked"
    assert all("secret" not in key for key in at("key", "list", client))


def test_a_watched_mail_ends_sent_with_its_timeline(at: Any) -> None:
    sent = at("send", "receipt", "--to", "ada@example.com", "--data", '{"order": 7, "name": "Ada"}', "--watch")
    assert sent["status"] == "sent"
    assert [attempt["outcome"] for attempt in sent["attempts"]] == ["sent"]
    assert at("message", "get", sent["id"]) == sent


def test_a_watched_mail_that_fails_ends_with_1(mailboat: Any, run: Any) -> None:
    status, out, err = mailboat(
        "send", "receipt", "--to", "ada@example.com", "--data", "{}", "--watch", "--data-dir", run.data
    )
    assert status == 1
    assert "failed" in out
    assert err.endswith("mailboat: The mail is failed.\n")


def test_words_of_ones_own_are_sent_from_files_with_tags(at: Any, run: Any, tmp_path: Path) -> None:
    (tmp_path / "mail.html").write_text("<p>Grüße</p>")
    mail = (
        "--to",
        "ada@example.com",
        "--to",
        "bob@example.com",
        "--subject",
        "Ahoy",
        "--html",
        f"@{tmp_path}/mail.html",
    )
    sent = at("send", *mail, "--from", "zoe@example.com", "--tag", "flow=files", "--watch")
    assert [found["id"] for found in at("message", "list", "--tag", "flow=files", "--status", "sent")] == [sent["id"]]
    token = {"Authorization": f"Bearer {run.client['admin_token']}"}
    kept = httpx.get(f"{run.client['url']}/admin/inbox/{sent['id']}", headers=token).json()
    assert "Grüße" in kept["html"]
    assert len(kept["to"]) == 2


def test_a_file_goes_along_and_a_url_is_fetched_by_the_server(at: Any, mailboat: Any, run: Any, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("A note.")
    mail = ("send", "--to", "ada@example.com", "--subject", "Files", "--text", "See the note")
    sent = at(*mail, "--attach", tmp_path / "note.txt", "--watch")
    token = {"Authorization": f"Bearer {run.client['admin_token']}"}
    raw = httpx.get(f"{run.client['url']}/admin/inbox/{sent['id']}/raw", headers=token).text
    assert "filename=note.txt" in raw.replace('"', "")
    status, _, err = mailboat(*mail, "--attach", "https://127.0.0.1:8443/a.pdf", "--data-dir", run.data)
    assert status == 1
    assert "not on the open internet" in err
    assert mailboat(*mail, "--attach", tmp_path / "nothing", "--data-dir", run.data)[0] == 2


def test_an_idempotency_key_sends_once(at: Any) -> None:
    mail = ("send", "--to", "ada@example.com", "--subject", "Once", "--text", "Ahoy", "--idempotency-key", "once")
    assert at(*mail)["id"] == at(*mail)["id"]


def test_the_list_goes_over_pages_up_to_its_limit(at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailboat.cli.connection.PAGE", 2)
    ids = [
        at("send", "--to", "a@example.com", "--subject", "Page", "--text", "x", "--tag", "flow=pages")["id"]
        for _ in range(5)
    ]
    listed = [found["id"] for found in at("message", "list", "--tag", "flow=pages")]
    assert listed == ids[::-1]
    assert [found["id"] for found in at("message", "list", "--tag", "flow=pages", "--limit", "3")] == listed[:3]


def test_a_table_shows_the_same_in_columns(mailboat: Any, run: Any, client: str) -> None:
    status, out, _ = mailboat("client", "list", "--data-dir", run.data)
    header, *rows = out.splitlines()
    assert status == 0
    assert header.split()[:3] == ["namespace", "name", "suspended"]
    assert any(row.split()[:2] == client.split("/") for row in rows)


def test_a_message_that_waits_for_its_time_is_cancelled(at: Any, mailboat: Any, run: Any) -> None:
    time = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    later = at("send", "--to", "a@example.com", "--subject", "x", "--text", "x", "--send-at", time)
    assert at("message", "cancel", later["id"])["status"] == "cancelled"
    sent = at("send", "--to", "a@example.com", "--subject", "x", "--text", "x", "--watch")
    status, _, err = mailboat("message", "cancel", sent["id"], "--data-dir", run.data)
    assert (status, "only scheduled messages can be cancelled" in err) == (1, True)


def test_an_endpoint_of_webhooks_lives_from_create_to_delete(at: Any, mailboat: Any, run: Any) -> None:
    made = at("webhook", "create", "https://shop.example.invalid/mail", "--event", "delivered", "--event", "bounced")
    assert made["secret"].startswith("whsec_")
    assert [(one["id"], "secret" in one) for one in at("webhook", "list")] == [(made["id"], False)]
    assert at("webhook", "update", made["id"], "--event", "bounced")["events"] == ["bounced"]
    assert at("webhook", "rotate", made["id"], "--overlap", "1h")["secret"] != made["secret"]
    assert at("webhook", "pause", made["id"])["state"] == "paused"
    assert at("webhook", "resume", made["id"])["state"] == "active"
    assert at("webhook", "test", made["id"])["delivery_id"] == at("webhook", "log", made["id"])[0]["id"]
    assert mailboat("webhook", "log", made["id"], "--data-dir", run.data)[1].splitlines()[1].split()[1] == "test"
    assert at("webhook", "replay", made["id"]) == {"replayed": 0}
    assert at("webhook", "get", made["id"])["url"] == "https://shop.example.invalid/mail"
    assert at("webhook", "delete", made["id"]) == {"deleted": made["id"]}
    assert at("webhook", "list") == []
    assert mailboat("webhook", "get", made["id"], "--data-dir", run.data)[0] == 1


def test_bench_tells_how_fast_mail_was_accepted_and_sent(at: Any) -> None:
    found = at("bench", "receipt", "--to", "ada@example.com", "--data", '{"order": 1, "name": "Ada"}', "--mails", "20")
    assert (found["accepted"], found["done"], found["refused"]) == (20, 20, {})
    assert found["accepted_per_second"] >= found["end_to_end_per_second"] > 0
    assert found["accept_p99_ms"] >= found["accept_p50_ms"] > 0


def test_bench_counts_what_was_refused_by_its_code(mailboat: Any, run: Any) -> None:
    arguments = ("bench", "no-such-template", "--to", "ada@example.com", "--mails", "3", "--output", "json")
    status, out, err = mailboat(*arguments, "--data-dir", run.data)
    assert (status, json.loads(out)["refused"]) == (1, {"template_not_found": 3})
    assert "3 were refused" in err
    status, _, err = mailboat("bench", "--to", "a@example.com", "--url", "http://127.0.0.1:1", "--data-dir", run.data)
    assert (status, "No answer from http://127.0.0.1:1" in err) == (1, True)


def test_the_log_of_an_endpoint_says_what_came_of_the_last_try() -> None:
    tries = [{"status": None, "detail": "no answer"}, {"status": 500, "detail": "the endpoint answered 500"}]
    assert endpoint.answer({"tries": tries}) == "500 the endpoint answered 500"
    assert endpoint.answer({"tries": tries[:1]}) == "no answer"
    assert endpoint.answer({"tries": []}) == ""


def test_names_of_clients_and_templates_are_completed(
    mailboat: Any, run: Any, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_MAILBOAT_COMPLETE", "bash_complete")
    for line, offered in ((f"client get --data-dir {run.data} {client[:-1]}", client), ("send rec", "receipt")):
        monkeypatch.chdir(run.data.parent)
        monkeypatch.setenv("COMP_WORDS", f"mailboat {line}")
        monkeypatch.setenv("COMP_CWORD", str(len(line.split())))
        assert mailboat()[1] == f"plain,{offered}\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("client", "get", "no/body"), "There is no client no/body"),
        (("client", "create", "default/first"), "Change it with `mailboat client update`."),
        (("client", "create", "shop/One"), "name: String should match"),
        (("client", "update", "first", "--sender", "nonsense"), "senders"),
        (("send", "nothing", "--to", "ada@example.com"), "nothing"),
        (("send", "receipt", "--to", "nonsense"), "to"),
        (("message", "get", "01a20c6c-929c-7118-9ed3-82ca1bcc024b"), "There is no message"),
        (("message", "list", "--status", "lost"), "status"),
    ],
)
def test_a_refusal_is_told_with_its_field_and_ends_with_1(
    mailboat: Any, run: Any, arguments: tuple[str, ...], complaint: str
) -> None:
    status, out, err = mailboat(*arguments, "--data-dir", run.data)
    assert (status, out) == (1, "")
    assert err.startswith("mailboat: ")
    assert complaint in err


def test_what_is_typed_comes_before_the_data_folder_and_that_before_the_environment(
    mailboat: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILBOAT_ADMIN_TOKEN", "wrong")
    monkeypatch.setenv("MAILBOAT_URL", "http://127.0.0.1:1")
    assert mailboat("client", "list", "--data-dir", run.data)[0] == 0
    assert mailboat("client", "list", "--data-dir", run.data, "--token", "wrong")[0] == 1
    monkeypatch.chdir(run.data.parent)  # where `data` is the default, which the environment comes before
    assert "No answer from http://127.0.0.1:1" in mailboat("client", "list")[2]

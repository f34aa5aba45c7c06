"""`mailboat webhook explain`: what a body means, without a server."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mailboat import cli

BOUNCE = {
    "eventType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bouncedRecipients": [{"emailAddress": "ada@example.com", "diagnosticCode": "smtp; 550 5.1.1 no such user"}],
        "timestamp": "2017-08-05T00:41:02.669Z",
        "feedbackId": "0100",
    },
    "mail": {"messageId": "EXAMPLE", "tags": {"flow": ["checkout"]}},
}


@pytest.fixture
def explain(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["webhook", "explain", *map(str, arguments)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


def test_a_body_is_explained_as_a_list_of_events(explain, tmp_path):
    (tmp_path / "body").write_text(json.dumps(BOUNCE))
    (tmp_path / "headers").write_text("POST /webhooks/ses HTTP/1.1\nX-Amz-Sns-Message-Type: Notification\n\n")
    status, out, err = explain("ses", "--headers", tmp_path / "headers", tmp_path / "body")
    assert (status, err) == (0, "")
    assert json.loads(out) == [
        {
            "event": "bounced",
            "recipient": "ada@example.com",
            "provider_message_id": "EXAMPLE",
            "event_id": "0100",
            "at": "2017-08-05T00:41:02.669000Z",
            "bounce": "hard",
            "reason": "smtp; 550 5.1.1 no such user",
            "tags": {"flow": "checkout"},
            "metadata": {},
        }
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": 1}', b"\xff", b"[" * 100_000, b"<html>"])
@pytest.mark.parametrize("provider", ["ses", "mailgun", "postmark"])
def test_what_is_no_webhook_is_told_in_one_line(explain, tmp_path, provider, body):
    (tmp_path / "body").write_bytes(body)
    status, out, err = explain(provider, tmp_path / "body")
    assert (status, out) == (1, "")
    assert err.startswith("mailboat: ")
    assert err.count("\n") == 1


def test_wrong_arguments_are_told_in_one_line(explain, tmp_path):
    (tmp_path / "body").write_text("[]")
    (tmp_path / "headers").write_text("no header\n")
    for arguments, word in (
        (("gopher", tmp_path / "body"), "sends no webhooks"),
        (("ses", tmp_path / "nowhere"), "cannot be read"),
        (("ses", tmp_path), "cannot be read"),
        (("sendgrid", "--headers", tmp_path / "headers", tmp_path / "body"), "line 1 is not NAME: VALUE"),
    ):
        status, out, err = explain(*arguments)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert word in err


def test_nothing_heavy_is_loaded_to_explain_a_body(tmp_path):
    (tmp_path / "body").write_text(json.dumps(BOUNCE))
    code = (
        "import sys; from mailboat import cli\n"
        f"try: cli.main(['webhook', 'explain', 'ses', {str(tmp_path / 'body')!r}])\n"
        "except SystemExit: print(sorted(set(sys.modules) & {'cryptography', 'httpx', 'asyncpg', 'fastapi'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

"""A mail that is tried again is the same mail, octet for octet."""

from __future__ import annotations

import httpx


def test_every_try_of_a_message_sends_the_same_octets(
    start_role, settings_of, sink, free_port, client, until, tmp_path
):
    answers = iter(["451 4.3.0 later", "cut", "451 4.3.0 later"])
    sink.on_body = lambda _: next(answers, None)
    settings = settings_of(
        port=free_port(), smtp_url=sink.url, retry_base_seconds=0.05, unsubscribe_key="a key of the tests"
    )
    api = start_role("api", settings)
    start_role("worker", settings)
    body = {
        "to": "ada@example.com",
        "subject": "Grüße",
        "html": "<p>ä</p>",
        "text": "ä",
        "tags": {"flow": "checkout"},
        "attachments": [{"filename": "a.txt", "content": "YQ=="}],
        "unsubscribe": True,
    }
    assert httpx.post(f"{api.url}/v1/send", json=body, headers=client.headers).status_code == 202
    until(lambda: len(sink.taken) == 4, "the fourth try")
    assert len({taken.raw for taken in sink.taken}) == 1
    mail = sink.taken[0].mail
    assert mail["Feedback-ID"] == "checkout::storefront:mailboat"
    assert None not in (mail["Date"], mail["Message-ID"], mail["List-Unsubscribe"])

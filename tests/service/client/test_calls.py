"""Every call does the same over the real API and over the double."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailboat.client import Conflict, Invalid, Mailboat, NotFound
from mailboat.client.testing import Recorder

DATA = {"order": "A-1042"}


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def test_a_sent_message_can_be_looked_at(mail: Mailboat) -> None:
    sent = mail.send("Ada <ada@example.com>", template="receipt", data=DATA, cc="bob@example.com", tags={"flow": "x"})
    assert sent.status == "queued"
    found = mail.get(sent.id)
    assert (found.id, found.template, found.tags) == (sent.id, "receipt", {"flow": "x"})
    kinds = [(one.kind, one.address) for one in found.recipients]
    assert kinds == [("to", "ada@example.com"), ("cc", "bob@example.com")]


def test_content_of_ones_own_is_sent_with_files_and_a_sender(mail: Mailboat) -> None:
    files: Any = [{"filename": "a.txt", "content": b"A", "content_type": "text/plain"}]
    sent = mail.send("ada@example.com", subject="Ahoy", text="Hello", sender="ahoy@shop.example.com", attachments=files)
    assert mail.get(sent.id).sender == "ahoy@shop.example.com"


def test_the_same_key_gives_the_first_message_again_and_is_refused_for_another(mail: Mailboat) -> None:
    first = mail.send("ada@example.com", template="receipt", data=DATA, idempotency_key="k")
    assert mail.send("ada@example.com", template="receipt", data=DATA, idempotency_key="k").id == first.id
    with pytest.raises(Conflict) as caught:
        mail.send("bob@example.com", template="receipt", data=DATA, idempotency_key="k")
    assert (caught.value.status, caught.value.code, caught.value.field) == (
        409,
        "idempotency_key_reused",
        "Idempotency-Key",
    )


def test_two_sends_without_a_key_are_two_messages(mail: Mailboat) -> None:
    one, other = (mail.send("ada@example.com", template="receipt", data=DATA) for _ in range(2))
    assert one.id != other.id


def test_a_refusal_says_code_field_and_detail(mail: Mailboat) -> None:
    with pytest.raises(Invalid) as caught:
        mail.send("ada@example.com", template="no-such", data=DATA)
    assert (caught.value.code, caught.value.field) == ("template_not_found", "template")
    assert "no-such" in caught.value.detail


def test_a_batch_says_what_became_of_each(mail: Mailboat) -> None:
    good: Any = {"to": "ada@example.com", "template": "receipt", "data": DATA}
    outcome = mail.batch([good, {**good, "template": "no-such"}], mode="each")
    assert (outcome.accepted, outcome.refused) == (1, 1)
    assert outcome.messages[0].id is not None
    assert (outcome.messages[1].problem or {})["code"] == "template_not_found"


def test_a_batch_is_stored_as_a_whole_or_not_at_all(mail: Mailboat) -> None:
    good: Any = {"to": "ada@example.com", "template": "receipt", "data": DATA}
    with pytest.raises(Invalid):
        mail.batch([good, {**good, "template": "no-such"}])
    assert list(mail.list()) == []


def test_a_scheduled_message_is_cancelled_once_and_for_all(mail: Mailboat) -> None:
    sent = mail.send("ada@example.com", template="receipt", data=DATA, send_at=tomorrow())
    assert sent.status == "scheduled"
    assert mail.cancel(sent.id).status == "cancelled"
    assert mail.cancel(sent.id).status == "cancelled"
    queued = mail.send("ada@example.com", template="receipt", data=DATA)
    with pytest.raises(Conflict):
        mail.cancel(queued.id)


def test_what_is_not_there_is_not_found(mail: Mailboat) -> None:
    for call in (mail.get, mail.cancel):
        with pytest.raises(NotFound):
            call("01a20b42-7c1e-7d3a-9a55-0f4e1c2d3b4a")
    with pytest.raises(NotFound):
        mail.template("no-such")


def test_messages_are_listed_newest_first_and_narrowed(mail: Mailboat) -> None:
    ids = [mail.send(f"{n}@example.com", template="receipt", data=DATA, tags={"n": n}).id for n in "abc"]
    assert [found.id for found in mail.list()] == ids[::-1]
    assert [found.id for found in mail.list(recipient="b@example.com")] == [ids[1]]
    assert [found.id for found in mail.list(tags={"n": "c"}, template="receipt")] == [ids[2]]
    assert list(mail.list(status="delivered")) == []


def test_templates_are_listed_shown_and_rendered(mail: Mailboat) -> None:
    assert mail.templates() == ["receipt"]
    assert mail.template("receipt").engine == "jinja"
    preview = mail.render("receipt", DATA)
    assert "Order" in (preview.html or "")
    assert preview.size > 0


def test_a_suppressed_address_is_refused_until_it_is_removed(mail: Mailboat) -> None:
    assert mail.suppressions.add("ada@example.com", detail="by phone").scope == "client"
    assert mail.suppressions.get("ada@example.com").detail == "by phone"
    assert [entry.address for entry in mail.suppressions.list()] == ["ada@example.com"]
    with pytest.raises(Invalid) as caught:
        mail.send("ada@example.com", template="receipt", data=DATA)
    assert caught.value.code == "suppressed"
    mail.suppressions.remove("ada@example.com")
    assert mail.send("ada@example.com", template="receipt", data=DATA).status == "queued"
    with pytest.raises(NotFound):
        mail.suppressions.remove("ada@example.com")


def test_what_was_used_is_told(mail: Mailboat) -> None:
    mail.send("ada@example.com", template="receipt", data=DATA)
    used = mail.usage()
    assert (used.accepted, used.quota, used.remaining) == (1, None, None)
    assert used.rate_limit.burst > 0


def test_the_double_keeps_what_was_sent_and_to_whom() -> None:
    recorder = Recorder()
    recorder.client.send("Ada <ada@example.com>", template="anything", data=DATA, bcc=["bob@example.com"])
    (body,) = recorder.to("bob@example.com")
    assert body["data"] == DATA
    assert recorder.to("ada@example.com") == [body]
    assert recorder.to("eve@example.com") == []

"""A recipient that a real SMTP server refuses for good is suppressed, as after a hard bounce; any other is not."""

from __future__ import annotations

import signal
from typing import Any

import msgspec
import pytest

from mailboat.db.states import State
from mailboat.domain import address
from mailboat.domain.message import Envelope

DEAD = (
    "550 5.1.1 <{}>: Recipient address rejected: User unknown in relay recipient table",
    "550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n550 5.1.1 double-checking",
    "550 5.1.2 no such domain",
    "553 5.1.3 bad address syntax",
    "550 5.1.6 mailbox has moved",
    "556 5.1.10 the domain has a null MX",
    "550 5.2.1 the account is disabled",
)
ALIVE = (
    "550 no such user",  # no enhanced code: it may be policy as well
    "550 5.1.0 address rejected",
    "550 5.1.8 sender domain does not exist",
    "550 5.2.0 mailbox unavailable",
    "552 5.2.2 mailbox full",
    "550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages",
    "550 5.1.1 blocked using zen.spamhaus.org",
    "550 5.1.11 not registered",
    "550 5.4.1 access denied",
    "550 5.7.1 relaying denied",
    "554 5.7.1 <{}>: policy; see 5.1.1",
    "550 5.7.1 rejected as spam",
    "450 4.1.1 unverified address",
    "450 4.2.1 over its rate",
)


@pytest.fixture
def mail(acceptor: Any, draft_of: Any) -> Any:
    """await mail(client, *recipients)."""

    async def mail(client: Any, *to: str) -> Any:
        envelope = Envelope(address.parse("orders@shop.example.com"), tuple(map(address.parse, to)))
        draft = draft_of(client_id=client.id, envelope=msgspec.json.encode(envelope).decode())
        await acceptor.accept_all([draft])
        return draft.id

    return mail


@pytest.fixture
def listed(query: Any) -> Any:
    """listed(): the suppressions, as (client, address, reason, source, expiry)."""
    columns = "client_id, address, reason, source, expires_at"
    return lambda: {tuple(row) for row in query(f"select {columns} from suppressions")}


async def test_only_what_a_server_calls_dead_for_good_is_suppressed(
    new_client: Any, mail: Any, start_role: Any, settings_of: Any, sink: Any, query: Any, eventually: Any, listed: Any
) -> None:
    refusals = {f"dead{n}@example.com": text for n, text in enumerate(DEAD)}
    refusals |= {f"spam-policy{n}@example.com": text for n, text in enumerate(ALIVE)}
    sink.on_recipient = lambda one: refusals[one].format(one)
    start_role("worker", settings_of(smtp_url=sink.url, retry_attempts=1))
    client = new_client("shop")
    for one in refusals:
        await mail(client, one)
    ended = "select count(*) from queue where state = any($1)"
    await eventually(lambda: query(ended, [State.FAILED, State.DEAD])[0][0] == len(refusals))
    assert listed() == {(client.id, f"dead{n}@example.com", "bounce", "smtp", None) for n in range(len(DEAD))}
    detail = query("select detail from suppressions where address = 'dead2@example.com'")[0][0]
    assert detail == DEAD[2]


async def test_one_dead_recipient_among_others_is_suppressed_and_they_get_the_mail(
    new_client: Any, mail: Any, start_role: Any, settings_of: Any, sink: Any, query: Any, eventually: Any, listed: Any
) -> None:
    sink.on_recipient = lambda one: "550 5.1.1 no such user" if one.lower().startswith("gone") else None
    start_role("worker", settings_of(smtp_url=sink.url))
    client = new_client("shop")
    await mail(client, "ada@example.com", "Gone@Example.com")
    await eventually(lambda: query("select state from queue")[0][0] == State.SENT)
    assert {row[1] for row in listed()} == {"gone@example.com"}
    assert sink.taken[0].recipients == ("ada@example.com",)


async def test_a_suppressed_address_is_not_asked_about_again(
    new_client: Any, mail: Any, start_role: Any, settings_of: Any, sink: Any, query: Any, eventually: Any
) -> None:
    asked: list[str] = []

    def refuse(one: str) -> str:
        asked.append(one)
        return "550 5.1.1 no such user"

    sink.on_recipient = refuse
    client = new_client("shop")
    first = await mail(client, "gone@example.com")
    worker = start_role("worker", settings_of(smtp_url=sink.url))
    await eventually(lambda: query("select state from queue where id = $1", first)[0][0] == State.FAILED)
    worker.tell(signal.SIGTERM)
    worker.wait()
    second = await mail(client, "gone@example.com")
    start_role("worker", settings_of(smtp_url=sink.url))
    await eventually(lambda: query("select state from queue where id = $1", second)[0][0] == State.FAILED)
    assert len(asked) == 1
    error = query("select error from queue where id = $1", second)[0][0]
    assert "gone@example.com is suppressed for this client: mail to it bounced" in error

"""What every provider promises. A new one gets a class with its `provider` and `received` fixtures."""

from __future__ import annotations

import asyncio
import email
import email.policy

import aiosmtpd.smtp
import pytest

from mailboat.errors import ConfigurationError, Rejected
from mailboat.providers.inbox import Inbox
from mailboat.providers.registry import KINDS, providers_for
from mailboat.providers.smtp import Smtp
from mailboat.settings import Settings


class Mailbox:
    """aiosmtpd's handler: keeps what arrives."""

    def __init__(self):
        self.mails, self.port = [], 0

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 2.0.0 kept"


class ProviderContract:
    """`received()` gives every mail that arrived as (sender, recipients, raw bytes), oldest first."""

    @pytest.fixture
    def deliver(self, provider, received):
        """Sends a mail and gives (receipt, sender, recipients, message parsed, raw bytes)."""

        async def deliver(mail):
            receipt = await provider.send(provider.build(mail))
            sender, recipients, raw = (await received())[-1]
            return receipt, sender, recipients, email.message_from_bytes(raw, policy=email.policy.default), raw

        return deliver

    async def test_the_envelope_is_who_the_mail_is_for(self, mail_of, deliver):
        mail = mail_of(to=["a@example.com"], cc=["c@example.com"], bcc=["b@example.com"])
        receipt, sender, recipients, _, _ = await deliver(mail)
        assert (sender, recipients) == (
            "orders@shop.example.com",
            ["a@example.com", "c@example.com", "b@example.com"],
        )
        assert receipt.detail
        assert receipt.refused == {}

    async def test_only_recipients_still_open_are_served(self, mail_of, deliver):
        mail = mail_of(to=["a@example.com", "b@example.com"], recipients=["b@example.com"])
        _, _, recipients, message, _ = await deliver(mail)
        assert recipients == ["b@example.com"]
        assert [one.addr_spec for one in message["to"].addresses] == ["a@example.com", "b@example.com"]

    async def test_nobody_learns_of_hidden_recipients(self, mail_of, deliver):
        *_, raw = await deliver(mail_of(bcc=["secret@example.com"]))
        assert b"secret" not in raw
        assert "bcc" not in email.message_from_bytes(raw)

    async def test_unicode_arrives_as_it_was_written(self, mail_of, deliver):
        names = ["Grüße, Köln", "李小龙", "=?utf-8?q?x?=", 'The "Best"']
        to = [f'"{name.replace(chr(34), chr(92) + chr(34))}" <a{n}@example.com>' for n, name in enumerate(names)]
        mail = mail_of(
            to=to, subject="Ihre  Quittung 🧾 für Ödön", text="Zeile 1\nЗдравствуйте\n.\n", html="<b>✓</b>\n"
        )
        _, _, _, message, _ = await deliver(mail)
        assert [one.display_name for one in message["to"].addresses] == names
        assert message["subject"] == mail.subject
        plain, rich = (part.get_payload(decode=True).decode() for part in message.iter_parts())
        assert plain.replace("\r\n", "\n") == mail.text
        assert rich.replace("\r\n", "\n") == mail.html

    async def test_addresses_that_need_utf8_arrive(self, mail_of, deliver):
        _, _, recipients, _, raw = await deliver(mail_of(to=["jürgen@example.com"]))
        assert recipients == ["jürgen@example.com"]
        assert "To: jürgen@example.com\r\n".encode() in raw

    async def test_custom_headers_arrive_and_cannot_be_injected(self, mail_of, provider, deliver):
        *_, message, _ = await deliver(mail_of(headers={"X-Order": "A-1042", "List-Unsubscribe": "<mailto:a@b.test>"}))
        assert (message["x-order"], message["list-unsubscribe"]) == ("A-1042", "<mailto:a@b.test>")
        for headers in ({"X-Order": "1\r\nBcc: x@example.com"}, {"X-Order\r\nBcc": "x"}, {"Bcc": "x@example.com"}):
            with pytest.raises(Rejected):
                provider.build(mail_of(headers=headers))
        with pytest.raises(Rejected):
            provider.build(mail_of(subject="1\r\nBcc: x@example.com"))

    async def test_the_message_id_is_the_same_in_every_attempt(self, mail_of, provider, received):
        mail = mail_of()
        await provider.send(provider.build(mail))
        await provider.send(provider.build(mail))
        assert len({raw for _, _, raw in await received()}) == 1
        assert b"Message-ID: <1@mail.example.com>\r\n" in (await received())[0][2]

    async def test_many_mails_at_once_all_arrive(self, mail_of, provider, received):
        mails = [mail_of(number=number, subject=f"Receipt {number}") for number in range(1, 101)]
        await asyncio.gather(*(provider.send(provider.build(mail)) for mail in mails))
        subjects = {email.message_from_bytes(raw)["subject"] for _, _, raw in await received()}
        assert subjects == {mail.subject for mail in mails}

    async def test_it_has_a_name_a_kind_and_a_limit_and_can_be_checked(self, provider):
        assert provider.kind in KINDS
        assert provider.name == provider.kind
        assert provider.concurrency > 0
        assert await provider.check()


class TestSmtp(ProviderContract):
    @pytest.fixture
    async def mailbox(self):
        mailbox = Mailbox()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: aiosmtpd.smtp.SMTP(mailbox, loop=loop, hostname="mx", enable_SMTPUTF8=True), "127.0.0.1", 0
        )
        mailbox.port = server.sockets[0].getsockname()[1]
        yield mailbox
        server.close()

    @pytest.fixture
    async def provider(self, mailbox):
        provider = Smtp.from_url("smtp", f"smtp://127.0.0.1:{mailbox.port}", connections=4, timeout=5, ca_file="")
        yield provider
        await provider.close()

    @pytest.fixture
    def received(self, mailbox):
        async def received():
            return mailbox.mails

        return received


class TestInbox(ProviderContract):
    @pytest.fixture
    async def provider(self, pool):
        provider = Inbox("inbox", pool)
        yield provider
        await provider.close()

    @pytest.fixture
    def received(self, pool):
        async def received():
            rows = await pool.fetch("SELECT sender, recipients, raw FROM inbox ORDER BY received_at")
            return [tuple(row) for row in rows]

        return received


class TestRegistry:
    def test_the_inbox_is_always_there_and_smtp_when_it_is_named(self):
        assert set(providers_for(Settings(), None)) == {"inbox"}
        settings = Settings(smtp_url="smtp://mail.example.com", smtp_connections=7)
        providers = providers_for(settings, None)
        assert {name: provider.kind for name, provider in providers.items()} == {"inbox": "inbox", "smtp": "smtp"}
        assert providers["smtp"].concurrency == 7

    def test_a_url_that_cannot_be_used_stops_the_start(self):
        with pytest.raises(ConfigurationError, match="MAILBOAT_SMTP_URL"):
            providers_for(Settings(smtp_url="mail.example.com"), None)

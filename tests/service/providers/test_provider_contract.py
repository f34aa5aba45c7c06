"""What every provider promises. A new one gets a class with its `provider` and `received` fixtures."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket

import aiosmtpd.smtp
import asyncpg
import httpx
import pytest

from mailboat.domain.message import AttachedFile
from mailboat.errors import (
    ConfigurationError,
    Misconfigured,
    ProviderError,
    Rejected,
    Throttled,
    Unavailable,
    Uncertain,
)
from mailboat.providers import mailgun, manifest, postmark, sendgrid, ses
from mailboat.providers.inbox import Inbox
from mailboat.providers.registry import KINDS, of_settings
from mailboat.providers.smtp import Smtp
from mailboat.settings import Settings
from mailboat.simulate import mailgun as mailgun_simulator
from mailboat.simulate import postmark as postmark_simulator
from mailboat.simulate import sendgrid as sendgrid_simulator
from mailboat.simulate import ses as ses_simulator
from mailboat.simulate.server import running
from mailboat.simulate.switches import Switches, changed

TROUBLES = {
    "refuses the mail": Rejected,
    "is asked too often": Throttled,
    "is down": Unavailable,
    "is not there": Unavailable,
    "does not know us": Misconfigured,
    "takes it and dies": Uncertain,
    "takes it and falls silent": Uncertain,
}
"""What can happen to a send, and the verdict on it."""

SECRET = "s3cret-of-ours"


def pytest_generate_tests(metafunc):
    if "trouble" in metafunc.fixturenames:
        metafunc.parametrize("trouble", metafunc.cls.troubles)


def free_port():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Mailbox:
    """aiosmtpd's handler: keeps what arrives, or does what `trouble` says."""

    REPLIES = {  # noqa: RUF012 - read only
        "refuses the mail": "550 5.7.1 no",
        "is asked too often": "451 4.7.0 too many mails",
        "is down": "421 4.3.2 going down",
        "does not know us": "530 5.7.0 authentication required",
    }

    def __init__(self):
        self.mails, self.port, self.trouble = [], 0, None

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        if self.trouble == "takes it and dies":
            server.transport.abort()
        if self.trouble == "takes it and falls silent":
            await asyncio.sleep(5)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return self.REPLIES.get(self.trouble, "250 2.0.0 kept")


class ProviderContract:
    """`received()` gives every mail that arrived as (sender, recipients, raw bytes), oldest first; `troubled(trouble)`
    a provider to which that happens."""

    troubles = TROUBLES
    carries_utf8_addresses = True
    carries_mime = True  # else the provider writes the mail out of our fields

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
        named = ["a@example.com", "b@example.com"] if self.carries_mime else ["b@example.com"]
        assert [one.addr_spec for one in message["to"].addresses] == named

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

    async def test_addresses_that_need_utf8_arrive_or_are_refused_in_time(self, mail_of, provider, deliver):
        if not self.carries_utf8_addresses:
            for mail in (mail_of(to=["jürgen@example.com"]), mail_of(bcc=["jürgen@example.com"])):
                with pytest.raises(Rejected, match="needs SMTPUTF8"):
                    provider.build(mail)
            return
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
        raws = [raw for _, _, raw in await received()]
        assert len({email.message_from_bytes(raw)["message-id"] for raw in raws}) == 1
        assert not self.carries_mime or len(set(raws)) == 1
        assert b"Message-ID: <1@mail.example.com>\r\n" in (await received())[0][2]

    async def test_many_mails_at_once_all_arrive(self, mail_of, provider, received):
        mails = [mail_of(number=number, subject=f"Receipt {number}") for number in range(1, 101)]
        await asyncio.gather(*(provider.send(provider.build(mail)) for mail in mails))
        subjects = {email.message_from_bytes(raw)["subject"] for _, _, raw in await received()}
        assert subjects == {mail.subject for mail in mails}

    async def test_international_domains_travel_as_dns_knows_them(self, mail_of, deliver):
        _, _, recipients, message, _ = await deliver(
            mail_of(to=["Ödön <info@bücher.example>"], sender="a@bücher.example")
        )
        assert recipients in (["info@xn--bcher-kva.example"], ["info@bücher.example"])
        assert [one.addr_spec for one in message["to"].addresses] == ["info@xn--bcher-kva.example"]

    async def test_replies_go_where_they_shall(self, mail_of, deliver):
        *_, message, _ = await deliver(mail_of(reply_to=["help@example.com"]))
        assert [one.addr_spec for one in message["reply-to"].addresses] == ["help@example.com"]

    async def test_the_way_out_and_the_feedback_id_go_along(self, mail_of, deliver):
        *_, message, _ = await deliver(mail_of(template="receipt", unsubscribe_url="https://out.example.com/u/1"))
        assert message["list-unsubscribe"] == "<https://out.example.com/u/1>"
        assert message["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
        assert message["feedback-id"].split(":")[1:] == ["receipt", "storefront", "mailboat"]

    async def test_files_arrive_byte_for_byte_and_images_inside_the_html(self, mail_of, deliver):
        files = (
            AttachedFile("Rechnung März.pdf", "application/pdf", bytes(range(256)) * 9),
            AttachedFile("logo.png", "image/png", b"\x89PNG\r\n", "logo@shop"),
        )
        *_, message, _ = await deliver(mail_of(html='<img src="cid:logo@shop">', attachments=files))
        parts = {part.get_filename(): part for part in message.walk() if part.get_filename()}
        assert {name: part.get_content() for name, part in parts.items()} == {one.filename: one.body for one in files}
        assert parts["Rechnung März.pdf"].get_content_disposition() == "attachment"
        assert (parts["logo.png"]["content-id"], parts["logo.png"].get_content_disposition()) == (
            "<logo@shop>",
            "inline",
        )

    async def test_a_mail_without_words_arrives(self, mail_of, deliver):
        *_, message, _ = await deliver(mail_of(html=None, text=None))
        assert message.get_content().strip() == ""

    async def test_the_class_of_an_error_is_the_verdict(self, mail_of, trouble, troubled):
        provider = await troubled(trouble)
        to = "refused@example.com" if trouble == "refuses the mail" else "ada@example.com"
        with pytest.raises(ProviderError) as caught:
            await provider.send(provider.build(mail_of(to=[to])))
        assert type(caught.value) is TROUBLES[trouble]
        assert len(str(caught.value)) > 10
        assert "\n" not in str(caught.value)
        assert SECRET not in str(caught.value)

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
    async def troubled(self, mailbox):
        made = []

        async def troubled(trouble):
            mailbox.trouble = trouble
            port = free_port() if trouble == "is not there" else mailbox.port
            timeout = 0.3 if trouble == "takes it and falls silent" else 5
            url = f"smtp://127.0.0.1:{port}"
            made.append(Smtp.from_url("smtp", url, connections=4, timeout=timeout, ca_file=""))
            return made[-1]

        yield troubled
        for provider in made:
            await provider.close()

    @pytest.fixture
    def received(self, mailbox):
        async def received():
            return mailbox.mails

        return received


class TestInbox(ProviderContract):
    troubles = ("is not there",)

    @pytest.fixture
    def troubled(self, postgres):
        async def troubled(trouble):
            pool = asyncpg.create_pool(postgres.dsn(), min_size=0)
            await pool
            await pool.close()
            return Inbox("inbox", pool)

        return troubled

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


class Simulated(ProviderContract):
    """Against its simulator. `make(url, key, limits)` gives the provider, `key` is the right one."""

    carries_utf8_addresses = False
    tags = ("flow:checkout", "n:1")

    @pytest.fixture
    async def url(self, simulator):
        async with running(simulator) as url:
            yield url

    @pytest.fixture
    async def provider(self, url):
        provider = self.make(url, self.key, manifest.Limits(timeout="5s", max_concurrent=8))
        yield provider
        await provider.close()

    @pytest.fixture
    def received(self, url):
        async def received():
            async with httpx.AsyncClient(base_url=url) as client:
                found = (await client.get("/_simulator/mails")).json()["items"]
                raws = [await client.get(f"/_simulator/mails/{mail['id']}/raw") for mail in found]
            return [(mail["sender"], mail["recipients"], raw.content) for mail, raw in zip(found, raws, strict=True)]

        return received

    @pytest.fixture
    async def troubled(self, simulator, url):
        wishes = {
            "is asked too often": {"maxPerSecond": 0.001},
            "is down": {"failureRate": 1},
            "takes it and dies": {"lostAnswerRate": 1},
            "takes it and falls silent": {"latency": 2},
        }
        made = []

        async def troubled(trouble):
            simulator.switches = changed(simulator.switches, wishes.get(trouble, {}))
            where = f"http://127.0.0.1:{free_port()}" if trouble == "is not there" else url
            limits = manifest.Limits(timeout="300ms" if "silent" in trouble else "5s")
            made.append(self.make(where, SECRET if "know" in trouble else self.key, limits))
            return made[-1]

        yield troubled
        for provider in made:
            await provider.close()

    async def test_our_id_and_the_tags_go_along(self, mail_of, provider, simulator):
        mail = mail_of(number=7, tags={"flow": "checkout", "n": "1"})
        receipt = await provider.send(provider.build(mail))
        kept = simulator.mails.find(receipt.provider_message_id)
        assert kept.variables["mailboat_id"] == str(mail.id)
        assert (*kept.tags, *sorted(f"{n}:{v}" for n, v in kept.variables.items() if n != "mailboat_id")) == self.tags

    async def test_tags_that_the_provider_would_refuse_do_not_stop_the_mail(self, mail_of, deliver):
        tags = {f"name.{number}:with-{'x' * 40}": f"Größe, {number} " + "y" * 200 for number in range(20)}
        receipt, *_ = await deliver(mail_of(tags={**tags, "mailboat_id": "mine", "empty": ""}))
        assert receipt.provider_message_id

    async def test_a_check_tells_wrong_credentials_from_an_outage(self, troubled):
        for trouble in ("does not know us", "is not there"):
            provider = await troubled(trouble)
            with pytest.raises(TROUBLES[trouble]):
                await provider.check()


class TestSes(Simulated):
    key = ses_simulator.SECRET_KEY
    tags = ("flow:checkout", "n:1")

    @pytest.fixture
    def simulator(self):
        return ses_simulator.Ses(ses_simulator.SesSwitches())

    def make(self, url, key, limits):
        credentials = ses.Credentials(ses_simulator.ACCESS_KEY, key)
        return ses.Ses("ses", ses.Spec(region="eu-west-1", endpoint=url), credentials, limits)


class TestSendGrid(Simulated):
    key = sendgrid_simulator.KEY
    carries_mime = False

    @pytest.fixture
    def simulator(self):
        return sendgrid_simulator.SendGrid(Switches())

    def make(self, url, key, limits):
        return sendgrid.SendGrid("sendgrid", sendgrid.Spec(endpoint=url), sendgrid.Credentials(key), limits)


class TestMailgun(Simulated):
    key = mailgun_simulator.KEY

    @pytest.fixture
    def simulator(self):
        return mailgun_simulator.Mailgun(Switches())

    def make(self, url, key, limits):
        spec = mailgun.Spec(domain="mg.example.com", endpoint=url)
        return mailgun.Mailgun("mailgun", spec, mailgun.Credentials(key), limits)


class TestPostmark(Simulated):
    key = postmark_simulator.TOKEN
    carries_mime = False
    tags = ("flow:checkout", "flow:checkout", "n:1")

    @pytest.fixture
    def simulator(self):
        return postmark_simulator.Postmark(Switches())

    def make(self, url, key, limits):
        return postmark.Postmark("postmark", postmark.Spec(endpoint=url), postmark.Credentials(key), limits)


class TestRegistry:
    def test_the_inbox_is_always_there_and_smtp_when_it_is_named(self):
        assert set(of_settings(Settings(), None).providers) == {"inbox"}
        settings = Settings(smtp_url="smtp://mail.example.com", smtp_connections=7)
        providers = of_settings(settings, None).providers
        assert {name: provider.kind for name, provider in providers.items()} == {"inbox": "inbox", "smtp": "smtp"}
        assert providers["smtp"].concurrency == 7

    def test_a_url_that_cannot_be_used_stops_the_start(self):
        with pytest.raises(ConfigurationError, match="MAILBOAT_SMTP_URL"):
            of_settings(Settings(smtp_url="mail.example.com"), None)

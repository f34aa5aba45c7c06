"""The provider `smtp` against scripted servers that fail in every way, and against aiosmtpd with TLS and AUTH."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl

import aiosmtpd.smtp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mailboat.domain.address import Address
from mailboat.domain.message import Refusal
from mailboat.errors import ConfigurationError, Misconfigured, Rejected, Throttled, Unavailable, Uncertain
from mailboat.providers import smtp_pool
from mailboat.providers.smtp import Smtp, server_of

DROP, SILENCE = object(), object()
MODERN = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 100000000")


class Scripted:
    """An SMTP server that answers as told.

    `answers`: verb (GREETING, EHLO, MAIL, RCPT, DATA, BODY for the final dot, RSET) -> a reply, DROP, SILENCE, or a
    function of the connection that gives one of them. `heard` has every line of every connection, `mails` every
    message taken, `strays` what came after DATA and before 354.
    """

    def __init__(self, answers, extensions=MODERN, *, octets=False):
        self.answers, self.extensions, self.octets = answers, extensions, octets
        self.heard, self.mails, self.strays, self.connections = [], [], [], []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for connection in self.connections:
            connection.task.cancel()
        await asyncio.gather(*(one.task for one in self.connections), return_exceptions=True)

    async def serve(self, reader, writer):
        connection = Connection(self, reader, writer)
        self.connections.append(connection)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await connection.run()
        writer.close()

    def verbs(self):
        return [line.split()[0].upper().decode() for line in self.heard]

    def rcpts(self):
        return [line for line in self.heard if line.startswith(b"RCPT")]


class Connection:
    """`mails` and `rcpts` count what this connection, and this transaction, has seen."""

    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.mails = self.rcpts = 0
        self.line = b""
        self.task = asyncio.current_task()

    async def run(self):
        if not await self.answer("GREETING", b"220 ready"):
            return
        while line := (await self.reader.readline()).rstrip(b"\r\n"):
            self.line = line
            self.server.heard.append(line)
            verb = line.split()[0].upper().decode()
            if verb == "MAIL":
                self.rcpts = 0
            if verb == "RCPT":
                self.rcpts += 1
            if not await self.answer(verb, self.usual(verb)):
                return
            if verb == "QUIT" or (verb == "DATA" and self.last.startswith(b"354") and not await self.body()):
                return

    def usual(self, verb):
        if verb == "EHLO":
            lines = [b"me", *(one.encode() for one in self.server.extensions)]
            return b"\r\n".join(b"250%b%b" % (b" " if one is lines[-1] else b"-", one) for one in lines)
        return {"DATA": b"354 go ahead", "QUIT": b"221 bye"}.get(verb, b"250 2.0.0 OK")

    async def answer(self, verb, reply):
        reply = self.server.answers.get(verb, reply)
        if callable(reply):
            reply = reply(self) or self.usual(verb)
        self.last = b""
        if reply is DROP:
            return False
        if reply is SILENCE:
            await asyncio.sleep(3600)
        self.last = reply
        step = 1 if self.server.octets else len(reply) + 2
        for start in range(0, len(reply) + 2, step):
            self.writer.write((reply + b"\r\n")[start : start + step])
            await self.writer.drain()
            await asyncio.sleep(0)
        return True

    async def body(self):
        raw = b""
        while not (raw == b".\r\n" or raw.endswith(b"\r\n.\r\n")):
            raw += await self.reader.readexactly(1) if len(raw) < 5 else await self.reader.readuntil(b"\r\n.\r\n"[-2:])
        self.mails += raw != b".\r\n"
        self.server.mails.append(raw)
        return await self.answer("BODY", b"250 2.0.0 queued")


@pytest.fixture
async def provider_at():
    """Makes a provider for a port; all are closed in the end."""
    made = []

    def make(port, *, query="tls=none", connections=2, timeout=5.0, ca_file="", scheme="smtp", login=""):
        url = f"{scheme}://{login}127.0.0.1:{port}" + (f"?{query}" if query else "")
        made.append(Smtp.from_url("smtp", url, connections=connections, timeout=timeout, ca_file=ca_file))
        return made[-1]

    yield make
    for provider in made:
        await provider.close()


async def send(provider, mail):
    return await provider.send(provider.build(mail))


MANY = [f"r{n}@example.com" for n in range(25)]


class TestOneMail:
    @pytest.mark.parametrize("extensions", [MODERN, ("8BITMIME",), ()], ids=["modern", "no pipelining", "bare"])
    @pytest.mark.parametrize("octets", [False, True], ids=["whole replies", "octet by octet"])
    async def test_is_handed_over_whole(self, mail_of, provider_at, extensions, octets):
        async with Scripted({}, extensions, octets=octets) as server:
            mail = mail_of(text=".\n..dots\n.", html=None, bcc=["b@example.com"])
            receipt = await send(provider_at(server.port), mail)
        assert receipt.detail == "250 2.0.0 queued"
        assert receipt.refused == {}
        assert server.verbs() == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA"]
        assert server.heard[2:4] == [b"RCPT TO:<ada@example.com>", b"RCPT TO:<b@example.com>"]
        assert server.mails[0].endswith(b"\r\n\r\n..\r\n...dots\r\n..\r\n.\r\n")

    async def test_takes_bare_codes_and_many_lines_for_an_answer(self, mail_of, provider_at):
        answers = {"MAIL": b"250", "RCPT": b"250-one\r\n250-two\r\n250", "BODY": b"250-all\r\n250 well"}
        async with Scripted(answers) as server:
            receipt = await send(provider_at(server.port), mail_of())
        assert receipt.detail == "250 all well"

    async def test_asks_only_for_what_is_offered(self, mail_of, provider_at):
        async with Scripted({}, ("SIZE",)) as server:
            await send(provider_at(server.port), mail_of())
        assert server.heard[1].startswith(b"MAIL FROM:<orders@shop.example.com> SIZE=")
        async with Scripted({}, ()) as server:
            await send(provider_at(server.port), mail_of())
        assert server.heard[1] == b"MAIL FROM:<orders@shop.example.com>"

    async def test_goes_to_each_recipient_once_with_idna_2008_domains(self, mail_of, provider_at):
        to = ["a@straße.test", "a@xn--strae-oqa.test", "a@STRASSE.test", "a@strasse.test"]
        async with Scripted({}) as server:
            await send(provider_at(server.port), mail_of(to=to))
        assert server.rcpts() == [b"RCPT TO:<a@xn--strae-oqa.test>", b"RCPT TO:<a@strasse.test>"]

    async def test_uses_smtputf8_for_an_address_that_needs_it(self, mail_of, provider_at):
        async with Scripted({}) as server:
            await send(provider_at(server.port), mail_of(to=["jürgen@example.com"]))
        assert server.heard[1].endswith(b" BODY=8BITMIME SMTPUTF8")
        assert server.heard[2] == "RCPT TO:<jürgen@example.com>".encode()

    async def test_is_refused_where_smtputf8_is_missing(self, mail_of, provider_at):
        async with Scripted({}, ("PIPELINING",)) as server:
            provider = provider_at(server.port)
            with pytest.raises(Rejected, match="jürgen@example"):
                await send(provider, mail_of(to=["jürgen@example.com"]))
            await send(provider, mail_of())
        assert server.verbs() == ["EHLO", "MAIL", "RCPT", "DATA"]

    async def test_larger_than_the_server_takes_is_refused_unsent(self, mail_of, provider_at):
        async with Scripted({}, ("SIZE 1000",)) as server:
            with pytest.raises(Rejected, match="takes 1000 at most"):
                await send(provider_at(server.port), mail_of(text="x" * 2000))
        assert server.verbs() == ["EHLO"]

    async def test_without_recipients_or_with_a_smuggling_address_cannot_be_built(self, mail_of, provider_at):
        provider = provider_at(1)
        with pytest.raises(Rejected, match="no recipients"):
            provider.build(mail_of(recipients=()))
        for email in ("a@example.com\r\nRSET", "a@b> SIZE=1", "a b@example.com"):
            with pytest.raises(Rejected, match="SMTP envelope"):
                provider.build(mail_of(recipients=[Address(email)]))

    async def test_of_many_megabytes_arrives_whole(self, mail_of, provider_at):
        text = ("x" * 900 + "\n") * 2000
        async with Scripted({}) as server:
            await send(provider_at(server.port), mail_of(text=text, html=None))
        assert server.mails[0].partition(b"\r\n\r\n")[2] == text.replace("\n", "\r\n").encode() + b".\r\n"


class TestRefusals:
    async def test_of_some_recipients_are_in_the_receipt(self, mail_of, provider_at):
        replies = {b"a@": b"550 5.1.1 unknown", b"b@": b"450 4.2.1 busy", b"c@": b"250 ok"}
        answers = {"RCPT": lambda c: next(reply for key, reply in replies.items() if key in c.line)}
        async with Scripted(answers) as server:
            mail = mail_of(to=["a@example.com", "b@example.com", "c@example.com"])
            receipt = await send(provider_at(server.port), mail)
        assert receipt.refused == {
            "a@example.com": Refusal("550 5.1.1 unknown", retryable=False, dead=True),
            "b@example.com": Refusal("450 4.2.1 busy", retryable=True),
        }
        assert len(server.mails) == 1

    @pytest.mark.parametrize("extensions", [MODERN, ()], ids=["pipelined", "step by step"])
    @pytest.mark.parametrize(
        ("verb", "reply", "error"),
        [
            ("MAIL", b"550 5.7.1 no", Rejected),
            ("MAIL", b"451 4.3.0 later", Throttled),
            ("MAIL", b"530 5.7.0 authenticate", Misconfigured),
            ("MAIL", b"421 4.3.2 going down", Unavailable),
            ("MAIL", b"421 4.7.0 too many connections", Throttled),
            ("RCPT", b"550 5.1.1 unknown", Rejected),
            ("RCPT", b"450 4.2.0 greylisted", Throttled),
            ("RCPT", b"452 4.2.2 full", Throttled),
            ("RCPT", b"530 5.7.0 authenticate", Misconfigured),
            ("DATA", b"554 5.7.1 no", Rejected),
            ("DATA", b"451 4.3.0 later", Throttled),
            ("BODY", b"554 5.7.1 spam", Rejected),
            ("BODY", b"552 5.3.4 too big", Rejected),
            ("BODY", b"452 4.3.1 disk full", Throttled),
            ("BODY", b"421 4.3.2 going down", Unavailable),
        ],
    )
    async def test_of_the_whole_mail_have_a_verdict(self, mail_of, provider_at, verb, reply, error, extensions):
        async with Scripted({verb: reply}, extensions) as server:
            provider = provider_at(server.port)
            with pytest.raises(error, match=reply.decode().split(" ", 2)[2]) as caught:
                await send(provider, mail_of(to=["a@example.com", "b@example.com"]))
            assert type(caught.value) is error
            del server.answers[verb]
            await send(provider, mail_of())  # the connection is fit for the next mail, or replaced
        assert [one for one in server.mails if one != b".\r\n"]

    async def test_of_all_recipients_for_good_and_for_now_are_temporary(self, mail_of, provider_at):
        async with Scripted({"RCPT": lambda c: b"550 no" if b"a@" in c.line else b"450 later"}) as server:
            with pytest.raises(Throttled):
                await send(provider_at(server.port), mail_of(to=["a@example.com", "b@example.com"]))

    async def test_of_all_recipients_followed_by_354_get_a_lone_dot(self, mail_of, provider_at):
        async with Scripted({"RCPT": b"550 unknown", "BODY": b"554 no valid recipients"}) as server:
            with pytest.raises(Rejected, match="550 unknown"):
                await send(provider_at(server.port), mail_of())
        assert server.mails == [b".\r\n"]

    async def test_of_data_leave_no_word_of_the_mail_on_the_wire(self, mail_of, provider_at):
        async with Scripted({"DATA": b"451 later"}) as server:
            with pytest.raises(Throttled):
                await send(provider_at(server.port), mail_of())
            await asyncio.sleep(0)
        assert server.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "RSET"]


class TestLimits:
    @pytest.mark.parametrize("reply", [b"452 too many", b"452 4.5.3 too many", b"550 5.5.3 too many"])
    async def test_recipients_over_a_servers_limit_get_transactions_of_their_own(self, mail_of, provider_at, reply):
        limit = {"RCPT": lambda c: reply if c.rcpts > 10 else b"250 ok"}
        async with Scripted(limit) as server:
            receipt = await send(provider_at(server.port), mail_of(to=MANY))
        assert receipt.refused == {}
        assert len(server.mails) == 3
        assert len(set(server.mails)) == 1
        assert len(server.connections) == 1

    async def test_a_full_mailbox_beside_others_is_not_asked_for_ever(self, mail_of, provider_at):
        full = {"RCPT": lambda c: b"452 4.2.2 mailbox full" if b"r1@" in c.line else b"250 ok"}
        async with Scripted(full) as server:
            receipt = await send(provider_at(server.port), mail_of(to=MANY[:3]))
        assert receipt.refused == {"r1@example.com": Refusal("452 4.2.2 mailbox full", retryable=True)}

    @pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
    async def test_mails_over_a_servers_limit_go_over_a_new_connection(self, mail_of, provider_at, verb):
        used_up = {verb: lambda c: b"421 4.7.0 too many mails" if c.mails >= 3 else None}
        async with Scripted(used_up) as server:
            provider = provider_at(server.port, connections=1)
            for number in range(10):
                await send(provider, mail_of(number=number))
        assert len(server.mails) == 10
        assert len(server.connections) == 4

    async def test_a_mail_refused_with_421_after_its_body_goes_over_a_new_connection(self, mail_of, provider_at):
        async with Scripted({"BODY": lambda c: b"421 4.7.0 too many mails" if c.mails > 1 else None}) as server:
            provider = provider_at(server.port, connections=1)
            for number in range(3):
                assert (await send(provider, mail_of(number=number))).detail == "250 2.0.0 OK"
        assert len(server.connections) == 3

    async def test_a_server_that_always_says_421_is_asked_twice_at_most(self, mail_of, provider_at):
        async with Scripted({}) as server:
            provider = provider_at(server.port, connections=1)
            await send(provider, mail_of())
            server.answers["MAIL"] = b"421 4.3.2 going down"
            with pytest.raises(Unavailable, match="going down"):
                await send(provider, mail_of())
        assert server.verbs().count("MAIL") == 3

    async def test_the_rest_is_left_open_when_the_server_goes_after_the_first_transaction(self, mail_of, provider_at):
        limit = {
            "RCPT": lambda c: b"452 4.5.3 too many" if c.rcpts > 10 else b"250 ok",
            "MAIL": lambda c: DROP if c.server.mails else b"250 ok",
        }
        async with Scripted(limit) as server:
            receipt = await send(provider_at(server.port), mail_of(to=MANY))
        assert sorted(receipt.refused) == sorted(MANY[10:])
        assert all(refusal.retryable for refusal in receipt.refused.values())
        assert len(server.mails) == 1


class TestLostConnections:
    @pytest.mark.parametrize("extensions", [MODERN, ()], ids=["pipelined", "step by step"])
    @pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
    async def test_before_the_body_mean_that_nothing_was_sent(self, mail_of, provider_at, verb, extensions):
        async with Scripted({verb: DROP}, extensions) as server:
            with pytest.raises(Unavailable):
                await send(provider_at(server.port), mail_of())
        assert not server.mails

    @pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
    async def test_silence_before_the_body_ends_in_a_timeout(self, mail_of, provider_at, verb):
        async with Scripted({verb: SILENCE}) as server:
            with pytest.raises(Unavailable, match=r"within 0\.2 s"):
                await send(provider_at(server.port, timeout=0.2), mail_of())

    @pytest.mark.parametrize("end", [DROP, SILENCE, b"maybe"], ids=["drop", "silence", "garbage"])
    async def test_after_the_final_dot_are_uncertain(self, mail_of, provider_at, end):
        async with Scripted({"BODY": end}) as server:
            with pytest.raises(Uncertain, match="may have been sent"):
                await send(provider_at(server.port, timeout=0.2), mail_of())
        assert len(server.mails) == 1

    async def test_in_the_middle_of_a_body_mean_that_nothing_was_sent(self, mail_of, provider_at):
        async with Scripted({}) as server:

            async def half(connection):
                await connection.reader.readexactly(1000)
                connection.writer.transport.abort()
                return False

            provider = provider_at(server.port)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Connection, "body", half)
                with pytest.raises(Unavailable, match="before the message was sent"):
                    await send(provider, mail_of(text=("x" * 900 + "\n") * 30000))

    async def test_do_not_come_from_a_slow_server_that_still_reads(self, mail_of, provider_at, monkeypatch):
        async def slowly(connection):
            connection.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            tail = b""
            while not tail.endswith(b"\r\n.\r\n"):
                tail = tail[-4:] + await connection.reader.read(1 << 16)
                await asyncio.sleep(0.005)
            return await connection.answer("BODY", b"250 at last")

        monkeypatch.setattr(Connection, "body", slowly)
        async with Scripted({}) as server:
            receipt = await send(provider_at(server.port, timeout=1), mail_of(text=("x" * 900 + "\n") * 20000))
        assert receipt.detail == "250 at last"

    async def test_of_resting_connections_go_unnoticed(self, mail_of, provider_at):
        async with Scripted({}) as server:
            provider = provider_at(server.port, connections=1)
            await send(provider, mail_of(number=1))
            server.connections[0].writer.close()
            await send(provider, mail_of(number=2))  # whether it has heard of the end yet or not
            await send(provider, mail_of(number=3))
            server.connections[1].writer.write(b"421 4.4.2 idle\r\n")
            await send(provider, mail_of(number=4))
        assert len(server.mails) == 4

    @pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
    async def test_of_a_used_connection_are_made_good_once(self, mail_of, provider_at, verb):
        async with Scripted({verb: lambda c: DROP if c.mails else None}) as server:
            provider = provider_at(server.port, connections=1)
            for number in range(3):
                await send(provider, mail_of(number=number))
        assert len(server.mails) == 3
        assert len(server.connections) == 3

    async def test_of_a_used_connection_after_the_dot_are_not_made_good(self, mail_of, provider_at):
        async with Scripted({"BODY": lambda c: DROP if c.mails > 1 else None}) as server:
            provider = provider_at(server.port, connections=1)
            await send(provider, mail_of(number=1))
            with pytest.raises(Uncertain):
                await send(provider, mail_of(number=2))
        assert len(server.mails) == 2

    async def test_a_server_that_is_not_there_is_unavailable(self, mail_of, provider_at):
        async with Scripted({}) as server:
            port = server.port
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port} cannot be reached"):
            await send(provider_at(port), mail_of())

    @pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
    @pytest.mark.parametrize(
        "reply",
        [b"HTTP/1.1 400 Bad Request", b"", b"99 low", b"250-a\r\n251 b", b"2" * 40_000, b"250-x\r\n" * 5000 + b"250 x"],
        ids=["http", "empty", "low", "two codes", "long line", "many lines"],
    )
    async def test_what_is_not_smtp_means_that_nothing_was_sent(self, mail_of, provider_at, verb, reply):
        async with Scripted({verb: reply}) as server:
            with pytest.raises(Unavailable):
                await send(provider_at(server.port, timeout=1), mail_of())
        assert not server.mails

    async def test_a_line_without_an_end_is_cut_short(self, mail_of, provider_at):
        def endless(connection):
            connection.writer.write(b"250 " + b"x" * 20_000)
            return SILENCE

        async with Scripted({"MAIL": endless}) as server:
            with pytest.raises(Unavailable, match="does not end"):
                await send(provider_at(server.port), mail_of())

    @pytest.mark.parametrize("extensions", [MODERN, ()], ids=["pipelined", "step by step"])
    async def test_an_answer_nobody_asked_for_is_never_taken_for_that_to_the_next_mail(
        self, mail_of, provider_at, extensions
    ):
        async with Scripted({"BODY": b"250 kept\r\n250 and more"}, extensions) as server:
            provider = provider_at(server.port, connections=1)
            await send(provider, mail_of(number=1))
            del server.answers["BODY"]
            await send(provider, mail_of(number=2))
        assert len(server.connections) == 2
        assert len(server.mails) == 2

    async def test_a_greeting_that_refuses_us_is_not_the_mails_fault(self, mail_of, provider_at):
        async with Scripted({"GREETING": b"554 5.7.1 you are blocked"}) as server:
            with pytest.raises(Misconfigured, match="you are blocked"):
                await send(provider_at(server.port), mail_of())
        async with Scripted({"GREETING": b"421 4.7.0 too many connections"}) as server:
            with pytest.raises(Throttled, match="too many connections"):
                await send(provider_at(server.port), mail_of())


class TestPool:
    async def test_opens_as_many_connections_as_allowed_and_keeps_them(self, mail_of, provider_at):
        async with Scripted({}) as server:
            provider = provider_at(server.port, connections=3)
            for _ in range(2):
                await asyncio.gather(*(send(provider, mail_of(number=number)) for number in range(20)))
            assert len(server.connections) == 3
            await provider.close()
        assert len(server.mails) == 40
        assert server.verbs().count("QUIT") == 3

    async def test_closes_connections_that_rest(self, mail_of, provider_at, monkeypatch):
        monkeypatch.setattr(smtp_pool, "IDLE_SECONDS", 0.05)
        async with Scripted({}) as server:
            await send(provider_at(server.port), mail_of())
            await asyncio.wait_for(server.connections[0].task, 5)
        assert server.verbs()[-1] == "QUIT"

    async def test_a_cancelled_send_costs_its_connection_and_no_place(self, mail_of, provider_at):
        asked = asyncio.Event()
        async with Scripted({"MAIL": lambda c: asked.set() or SILENCE}) as server:
            provider = provider_at(server.port, connections=1, timeout=3600)
            sending = asyncio.create_task(send(provider, mail_of()))
            await asyncio.wait_for(asked.wait(), 30)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            server.answers.clear()
            await asyncio.wait_for(send(provider, mail_of()), 30)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(server.connections[0].reader.read(), 30)  # until its end
        assert len(server.mails) == 1

    async def test_failed_connections_free_their_place(self, mail_of, provider_at):
        async with Scripted({"GREETING": DROP}) as server:
            provider = provider_at(server.port, connections=1)
            for _ in range(3):
                with pytest.raises(Unavailable):
                    await send(provider, mail_of())
            server.answers.clear()
            await send(provider, mail_of())

    async def test_check_says_what_answered_and_sends_nothing(self, provider_at):
        async with Scripted({"GREETING": b"220 mx.example.com ESMTP"}) as server:
            assert "220 mx.example.com ESMTP" in await provider_at(server.port).check()
        assert "MAIL" not in server.verbs()


# --- TLS and AUTH, with aiosmtpd


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1: the file to trust, and the context of a server that shows it."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return str(certificate), context


class Mailbox:
    """aiosmtpd's handler: keeps what arrives and notes each login."""

    def __init__(self):
        self.mails, self.logins, self.secure = [], [], []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        self.secure.append(session.ssl is not None)
        return "250 2.0.0 kept"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append((data.login.decode(), data.password.decode()))
        return aiosmtpd.smtp.AuthResult(success=self.logins[-1] == ("ad@a", "pä:ss/wörd"), handled=False)


LOGIN = "ad%40a:p%C3%A4%3Ass%2Fw%C3%B6rd@"


@pytest.fixture
async def aiosmtpd_at():
    """Starts aiosmtpd in this event loop: (mailbox, port)."""
    servers = []

    async def start(*, implicit=None, **options):
        mailbox = Mailbox()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: aiosmtpd.smtp.SMTP(
                mailbox, loop=loop, hostname="mx", authenticator=mailbox.authenticate, **options
            ),
            "127.0.0.1",
            0,
            ssl=implicit,
        )
        servers.append(server)
        return mailbox, server.sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()


class TestTls:
    async def test_starttls_encrypts_before_anything_is_said(self, mail_of, provider_at, aiosmtpd_at, certificate):
        ca_file, context = certificate
        mailbox, port = await aiosmtpd_at(tls_context=context, require_starttls=True, auth_required=True)
        provider = provider_at(port, query="tls=starttls", ca_file=ca_file, login=LOGIN)
        for number in range(3):
            await send(provider, mail_of(number=number))
        assert mailbox.logins == [("ad@a", "pä:ss/wörd")]
        assert mailbox.secure == [True] * 3

    async def test_implicit_tls_carries_large_mails(self, mail_of, provider_at, aiosmtpd_at, certificate):
        ca_file, context = certificate
        mailbox, port = await aiosmtpd_at(implicit=context, data_size_limit=10**8)
        await send(provider_at(port, scheme="smtps", query="", ca_file=ca_file), mail_of(text=("x" * 90 + "\n") * 9000))
        assert len(mailbox.mails[0].content) > 800_000

    async def test_is_used_where_offered_when_it_is_optional(self, mail_of, provider_at, aiosmtpd_at, certificate):
        ca_file, context = certificate
        for options, secure in (({"tls_context": context}, True), ({}, False)):
            mailbox, port = await aiosmtpd_at(**options)
            await send(provider_at(port, query="", ca_file=ca_file), mail_of())
            assert mailbox.secure == [secure]

    @pytest.mark.parametrize("query", ["tls=starttls", "tls=auto"])
    async def test_that_is_stripped_sends_nothing_and_no_password(self, mail_of, provider_at, query):
        async with Scripted({}, (*MODERN, "AUTH PLAIN LOGIN")) as server:
            with pytest.raises(Misconfigured, match="does not offer STARTTLS"):
                await send(provider_at(server.port, query=query, login=LOGIN), mail_of())
        assert server.verbs() == ["EHLO"]

    @pytest.mark.parametrize("how", ["starttls", "auto", "implicit"])
    async def test_with_an_untrusted_certificate_sends_nothing(
        self, mail_of, provider_at, aiosmtpd_at, certificate, how
    ):
        _, context = certificate
        mailbox, port = await aiosmtpd_at(**({"implicit": context} if how == "implicit" else {"tls_context": context}))
        scheme, query = ("smtps", "") if how == "implicit" else ("smtp", f"tls={how}")
        with pytest.raises(Misconfigured, match="MAILBOAT_SMTP_CA_FILE"):
            await send(provider_at(port, scheme=scheme, query=query, login=LOGIN), mail_of())
        assert mailbox.logins == mailbox.mails == []

    async def test_injected_answers_before_tls_are_not_believed(self, mail_of, provider_at, certificate):
        ca_file, _ = certificate
        answers = {"STARTTLS": b"220 go\r\n250-evil\r\n250 AUTH PLAIN"}
        async with Scripted(answers, (*MODERN, "STARTTLS")) as server:
            with pytest.raises((Unavailable, Misconfigured)):
                await send(provider_at(server.port, query="tls=starttls", ca_file=ca_file, timeout=1), mail_of())
        assert not server.mails


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
class TestAuthentication:
    async def test_in_the_clear_has_to_be_asked_for(self, mail_of, provider_at, aiosmtpd_at):
        mailbox, port = await aiosmtpd_at(auth_require_tls=False, auth_required=True)
        await send(provider_at(port, query="tls=none", login=LOGIN), mail_of())
        assert len(mailbox.mails) == 1

    async def test_with_a_wrong_password_is_a_matter_of_configuration(self, mail_of, provider_at, aiosmtpd_at):
        _, port = await aiosmtpd_at(auth_require_tls=False, auth_required=True)
        with pytest.raises(Misconfigured, match="535") as caught:
            await send(provider_at(port, query="tls=none", login="ada:sesame@"), mail_of())
        assert "sesame" not in str(caught.value)

    async def test_that_is_required_and_missing_too(self, mail_of, provider_at, aiosmtpd_at):
        _, port = await aiosmtpd_at(auth_require_tls=False, auth_required=True)
        with pytest.raises(Misconfigured, match="530"):
            await send(provider_at(port), mail_of())

    async def test_that_is_not_offered_too(self, mail_of, provider_at):
        async with Scripted({}) as server:
            with pytest.raises(Misconfigured, match="AUTH"):
                await send(provider_at(server.port, login=LOGIN), mail_of())

    async def test_that_fails_for_now_is_temporary(self, mail_of, provider_at):
        async with Scripted({"AUTH": b"454 4.7.0 try later"}, ("AUTH PLAIN",)) as server:
            with pytest.raises(Throttled, match="try later"):
                await send(provider_at(server.port, login=LOGIN), mail_of())


class TestUrl:
    def test_names_the_server_and_how_to_reach_it(self):
        server = server_of("smtp://ad%40a:p%3As@mail.example.com?tls=starttls", timeout=3)
        assert (server.host, server.port, server.tls) == ("mail.example.com", 587, "starttls")
        assert (server.user, server.password, server.timeout) == ("ad@a", "p:s", 3)
        assert server_of("smtps://mail.example.com", timeout=3).port == 465
        assert server_of("smtp://[::1]:25", timeout=3).host == "::1"

    def test_keeps_the_password_out_of_sight(self):
        server = server_of("smtp://ada:sesame@mail.example.com", timeout=3)
        assert "sesame" not in repr(server) + str(server)

    @pytest.mark.parametrize(
        "url",
        [
            "mail.example.com:25",
            "http://mail.example.com",
            "smtp://",
            "smtp://ada:sesame@mail.example.com:port",
            "smtp://ada:sesame@mail.example.com:99999",
            "smtp://ada:sesame@mail.example.com?tls=yes",
            "smtp://ada:sesame@mail.example.com?tls=implicit",
            "smtps://ada:sesame@mail.example.com?tls=none",
            "smtp://ada:sesame@mail.example.com?verify=no",
            "smtp://ada:ses/ame@mail.example.com",
            "smtp://:sesame@mail.example.com",
        ],
    )
    def test_that_cannot_be_used_is_explained_without_the_password(self, url):
        with pytest.raises(ConfigurationError, match=r"MAILBOAT_SMTP_URL .*Write smtp://user") as caught:
            server_of(url, timeout=3)
        assert "sesame" not in str(caught.value)

    def test_a_missing_ca_file_is_explained(self, tmp_path):
        with pytest.raises(ConfigurationError, match="MAILBOAT_SMTP_CA_FILE"):
            server_of("smtp://mail.example.com", timeout=3, ca_file=str(tmp_path / "missing.pem"))

"""One SMTP connection: opened by aiosmtplib, then driven by a protocol of our own.

aiosmtplib connects, upgrades to TLS and authenticates. `Transport.set_protocol` (asyncio's documented way to change
hands, in plain and TLS transports and in uvloop) then gives the connection to `Session`, which sends an envelope in
one write where the server offers PIPELINING (RFC 2920) and needs two futures per mail instead of one lock, timer
and task per command.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

import aiosmtplib

from mailboat.errors import Misconfigured, ProviderError, Rejected, Throttled, Unavailable

REPLY_LINE = 8192  # octets; RFC 5321 §4.5.3.1.5 asks for 512
REPLY_LINES = 256
LEAVE_SECONDS = 2.0  # how long a server may take to answer QUIT

Tls = Literal["none", "auto", "starttls", "implicit"]


@dataclass(frozen=True, slots=True)
class Server:
    """Where and how to connect. `timeout` is in seconds and for each answer; no `context` means the system's
    authorities."""

    host: str
    port: int
    tls: Tls = "auto"
    user: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 30.0
    context: ssl.SSLContext | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"SMTP server {self.host}:{self.port}"


class Reply(NamedTuple):
    """What the server said: code 200 to 599, and its lines joined by spaces."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()

    @property
    def accepted(self) -> bool:
        return self.code < 300


class Transaction(NamedTuple):
    """What one mail needs: `data` has its dots doubled and ends with the lone dot; `size` is without either."""

    sender: bytes
    recipients: dict[bytes, tuple[str, ...]]  # as sent -> as the client wrote them
    data: bytes
    size: int
    utf8: str | None = None  # the address that needs SMTPUTF8


class Dialogue(NamedTuple):
    """How a transaction went. Fewer replies than commands means that the connection ended: `lost` says why.

    `handed_over`: the final dot was written, so the server may have the mail though it did not say so.
    """

    sender: Reply | None
    recipients: tuple[Reply, ...]
    data: Reply | None
    final: Reply | None
    lost: str | None
    handed_over: bool


# --- verdicts on replies

NOT_US = frozenset((530, 534, 535, 538))  # authentication is wanted, failed, too weak, or needs TLS
_TOO_MUCH = re.compile(r"too many|too much|rate|limit|throttl|slow down|try again later|4\.7\.", re.IGNORECASE)


def fault(reply: Reply, what: str) -> ProviderError:
    """The error for a reply that is not the one hoped for, in a transaction."""
    detail = f"{what}: {reply}"
    if reply.code == 421:
        return Throttled(detail) if _TOO_MUCH.search(reply.text) else Unavailable(detail)
    if 400 <= reply.code < 500:
        return Throttled(detail)
    if reply.code in NOT_US:
        return Misconfigured(detail)
    return Rejected(detail) if reply.code >= 500 else Unavailable(detail)


def _greeting_fault(reply: Reply, what: str) -> ProviderError:
    """The same before any mail was spoken of: a refusal for good is one of us, not of the mail."""
    error = fault(reply, what)
    return Misconfigured(str(error)) if isinstance(error, Rejected) else error


# --- opening


async def connect(server: Server) -> Session:
    """A session ready for mail. Raises Unavailable, Throttled or Misconfigured; nothing of a mail was sent then."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.tls == "implicit",
        start_tls=False,
        tls_context=server.context,
        timeout=server.timeout,
        local_hostname="localhost",
    )
    try:
        banner = await client.connect()
        await _introduce(client, server)
        return _take_over(client, server, Reply(banner.code, " ".join(banner.message.split())))
    except BaseException as error:
        client.close()
        if (verdict := _opening_fault(error, server)) is None:
            raise
        raise verdict from None


async def _introduce(client: aiosmtplib.SMTP, server: Server) -> None:
    name = _own_name(client)
    try:
        await client.ehlo(hostname=name)
    except aiosmtplib.SMTPHeloError as error:
        if error.code < 500 or server.user or server.tls == "starttls":
            raise
        await client.helo(hostname=name)  # a server from before RFC 1869
        return
    offered = client.supports_extension("starttls")
    if server.tls == "starttls" and not offered:
        raise Misconfigured(f"{server} does not offer STARTTLS, which tls=starttls requires; nothing was sent.")
    if offered and server.tls in ("starttls", "auto"):
        await client.starttls(tls_context=server.context)
        await client.ehlo(hostname=name)
    elif server.user and server.tls == "auto":
        raise Misconfigured(
            f"{server} does not offer STARTTLS, so the password was not sent; set tls=none to send it in the clear."
        )
    if server.user:
        await client.login(server.user, server.password)


def _own_name(client: aiosmtplib.SMTP) -> str:
    """What we call ourselves in EHLO: a full host name, else an address literal (RFC 5321 §4.1.3)."""
    name = socket.gethostname()
    if "." in name and re.fullmatch(r"[A-Za-z0-9.-]+", name):
        return name
    host = str(client.get_transport_info("sockname")[0]).partition("%")[0]
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"


def _take_over(client: aiosmtplib.SMTP, server: Server, banner: Reply) -> Session:
    transport = client.transport
    if transport is None or transport.is_closing():
        raise Unavailable(f"{server} closed the connection after the greeting.")
    extensions = {name.upper(): value for name, value in client.esmtp_extensions.items()}
    session = Session(server, extensions, banner)
    transport.set_protocol(session)
    session.connection_made(transport)
    return session


def _opening_fault(error: BaseException, server: Server) -> ProviderError | None:
    """What went wrong while connecting; None for what is not ours to translate. Never holds a password."""
    cause = error.__cause__ if isinstance(error, aiosmtplib.SMTPException) else None
    if isinstance(error, ProviderError):
        return error
    for one in (error, cause):
        if isinstance(one, ssl.SSLCertVerificationError):
            return Misconfigured(
                f"{server} has a certificate that is not trusted ({one.verify_message}); nothing was sent. "
                "Name its authority in MAILBOAT_SMTP_CA_FILE, or the host as the certificate does."
            )
        if isinstance(one, ssl.SSLError):
            return Unavailable(f"TLS with the {server} failed: {one.reason or one}")
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return _greeting_fault(_reply(error), f"{server} refused the user {server.user!r}")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        if not 200 <= error.code < 600:
            return Unavailable(f"{server} answered with something that is not SMTP.")
        return _greeting_fault(_reply(error), f"{server} refused us")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{server} did not answer within {server.timeout:g} s.")
    if isinstance(error, OSError):
        return Unavailable(f"{server} cannot be reached: {error}")
    if isinstance(error, aiosmtplib.SMTPException):
        return Misconfigured(f"{server}: {error.message}")
    return None


def _reply(error: aiosmtplib.SMTPResponseException) -> Reply:
    return Reply(error.code, " ".join(error.message.split()))


# --- talking


class Session(asyncio.Protocol):
    """A connection past EHLO, TLS and AUTH. One transaction at a time; `alive` says whether there can be another."""

    def __init__(self, server: Server, extensions: dict[str, str], banner: Reply) -> None:
        self.banner = banner
        self.delivered = 0  # transactions that this connection has seen
        self.idle_since = 0.0
        self.lost: str | None = None
        self._server = server
        self._pipelining = "PIPELINING" in extensions
        self._8bitmime = "8BITMIME" in extensions
        self._smtputf8 = "SMTPUTF8" in extensions
        self._size = "SIZE" in extensions
        limit = extensions.get("SIZE", "").strip()
        self._size_limit = int(limit) if limit.isascii() and limit.isdigit() else 0
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._busy = self._leaving = self._paused = False
        self._buffer = b""
        self._lines: list[bytes] = []
        self._replies: list[Reply] = []
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._unsent = 0

    @property
    def alive(self) -> bool:
        return self.lost is None and not self._busy

    async def deliver(self, transaction: Transaction, recipients: Sequence[bytes]) -> Dialogue:
        """Offer the mail to these recipients. Raises Rejected, before a word was sent, for what the server cannot
        carry; everything that happens on the wire is in the answer."""
        mail = self._mail(transaction)
        self._busy = True
        self.delivered += 1
        replies = await self._envelope(mail, [b"RCPT TO:<%b>\r\n" % one for one in recipients])
        sender = replies[0] if replies else None
        answers, data = tuple(replies[1 : len(recipients) + 1]), _at(replies, len(recipients) + 1)
        wanted = sender is not None and sender.accepted and any(reply.accepted for reply in answers)
        final, handed_over = None, False
        if data is not None and data.code == 354:
            # Without recipients a lone dot: the server waits for one (RFC 2920 §3.1).
            final = _at(await self._exchange(transaction.data if wanted else b".\r\n", 1), 0)
            handed_over = wanted and not self._paused
        dialogue = Dialogue(sender, answers, data, final, self.lost, handed_over)
        if final is None and self.lost is None and sender is not None and sender.accepted:
            await self._reset()
        self._busy = False
        return dialogue

    def _mail(self, transaction: Transaction) -> bytes:
        """The MAIL command with what the server offers and this mail needs."""
        if transaction.utf8 is not None and not self._smtputf8:
            raise Rejected(f"The address {transaction.utf8} needs SMTPUTF8, which the {self._server} does not offer.")
        if self._size_limit and transaction.size > self._size_limit:
            raise Rejected(
                f"The message has {transaction.size} octets; the {self._server} takes {self._size_limit} at most."
            )
        size = b" SIZE=%d" % transaction.size if self._size else b""
        body = b" BODY=8BITMIME" if transaction.utf8 is not None and self._8bitmime else b""
        utf8 = b" SMTPUTF8" if transaction.utf8 is not None else b""
        return b"MAIL FROM:<%b>%b%b%b\r\n" % (transaction.sender, size, body, utf8)

    async def _envelope(self, mail: bytes, recipients: list[bytes]) -> list[Reply]:
        """The replies to MAIL, each RCPT, and DATA, as far as it came."""
        if self._pipelining:
            return await self._exchange(b"".join((mail, *recipients, b"DATA\r\n")), len(recipients) + 2)
        replies = list(await self._exchange(mail, 1))
        if not replies or not replies[0].accepted:
            return replies
        for recipient in recipients:
            replies += await self._exchange(recipient, 1)
        if any(reply.accepted for reply in replies[1:]):
            replies += await self._exchange(b"DATA\r\n", 1)
        return replies

    async def _reset(self) -> None:
        """Forget an envelope that came to nothing; a connection that cannot is closed, which does the same."""
        reply = _at(await self._exchange(b"RSET\r\n", 1), 0)
        if reply is None or not reply.accepted:
            self.leave()

    async def _exchange(self, data: bytes, count: int) -> list[Reply]:
        """Write, and wait for so many replies; fewer come back when the connection ended meanwhile."""
        if self.lost is not None:
            return []
        self._replies, self._wanted = [], count
        self._waiter = self._loop.create_future()
        self._unsent = len(data)
        self._watch(self._server.timeout)
        self._transport.write(data)
        try:
            await self._waiter
        finally:
            self._waiter = None
        return self._replies

    def leave(self) -> None:
        """Say QUIT and close when it is answered, or soon after."""
        if self.lost is None:
            self.lost = "we left"
            self._leaving = True
            self._watch(LEAVE_SECONDS)
            self._transport.write(b"QUIT\r\n")

    def abort(self) -> None:
        """Drop the connection at once, whatever it is doing; one that is closing already closes as it does."""
        if self.lost is None:
            self._fail("we dropped the connection")

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Paused means: something is still in this process, and a final dot would be the last of it.
        self._transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        if self._leaving:
            self._transport.close()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            if self.lost is not None:
                return
            self._line(line.rstrip(b"\r"))
        if len(self._buffer) > REPLY_LINE:
            self._fail("it answered with a line that does not end")

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._deadline = self._loop.time() + self._server.timeout

    def eof_received(self) -> bool:
        self._end("it closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection broke ({exc})" if exc else "it closed the connection")
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    # --- replies

    def _line(self, line: bytes) -> None:
        code, mark = line[:3], line[3:4]
        first = self._lines[0][:3] if self._lines else code
        well_formed = len(code) == 3 and code.isdigit() and b"200" <= code < b"600" and mark in (b"", b" ", b"-")
        if not well_formed or code != first or len(line) > REPLY_LINE or len(self._lines) >= REPLY_LINES:
            self._fail("it answered with something that is not SMTP")
            return
        self._lines.append(line)
        if mark != b"-":
            text = b" ".join(one[4:].strip() for one in self._lines).decode("utf-8", "replace")
            self._lines = []
            self._reply(Reply(int(code), text))

    def _reply(self, reply: Reply) -> None:
        if reply.code == 421:  # it closes the channel, whatever was asked (RFC 5321 §3.8)
            if self._waiter is not None:
                self._replies.append(reply)
            self._end(str(reply))
            self._transport.close()
        elif self._waiter is None or len(self._replies) >= self._wanted:
            self._fail(f"it said {str(reply)!r} without being asked")
        else:
            self._replies.append(reply)
            if len(self._replies) == self._wanted and not self._waiter.done():
                self._waiter.set_result(None)

    def _fail(self, reason: str) -> None:
        self._end(reason)
        self._transport.abort()

    def _end(self, reason: str) -> None:
        if self.lost is None:
            self.lost = reason
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- the one timer

    def _watch(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._leaving:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._leaving:
            self._transport.abort()
            return
        if self._waiter is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:  # slow, but moving
            self._deadline, self._unsent = self._loop.time() + self._server.timeout, unsent
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._tick)
        else:
            self._fail(f"it did not answer within {self._server.timeout:g} s")


def _at(replies: Sequence[Reply], position: int) -> Reply | None:
    return replies[position] if position < len(replies) else None

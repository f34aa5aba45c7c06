"""An SMTP server whose manners are a subclass's: the one that every test and benchmark sends to."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
from email.message import EmailMessage
from typing import NamedTuple
from uuid import UUID

CUT = "cut"  # a reply: the connection ends here without one


class Taken(NamedTuple):
    """A mail that was read to its end."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    @property
    def mail(self) -> EmailMessage:
        return email.message_from_bytes(self.raw, policy=email.policy.default)  # type: ignore[return-value]

    @property
    def message_id(self) -> str:
        """Without angle brackets."""
        return self.mail["Message-ID"].strip("<>")

    @property
    def id(self) -> UUID:
        """The message's own id, which is the left side of its Message-ID."""
        return UUID(self.message_id.partition("@")[0])


class SmtpServer:
    """Takes everything. Each of `greet`, `command`, `recipient` and `body` answers a reply ("550 5.1.1 no such user"),
    octets to be sent as they are, CUT, or None for what a server says that has nothing against it."""

    port = 0

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def greet(self) -> str | bytes | None:
        return None

    async def command(self, verb: str) -> str | bytes | None:
        return None

    async def recipient(self, address: str) -> str | bytes | None:
        return None

    async def body(self, taken: Taken) -> str | bytes | None:
        return None

    async def listen(self) -> None:
        """On a free port: `port`."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**22)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # The client is gone, or the test is over.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._converse(reader, writer)
        self._tasks.discard(task)
        writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, recipients = "", []  # type: str, list[str]
        reply = await self.greet() or "220 sink ESMTP"
        while await _say(writer, reply):
            line = (await reader.readline()).decode(errors="replace")
            verb = line[:4].upper()
            if not line:
                return
            reply = await self.command(verb) or _USUAL.get(verb, "250 2.0.0 OK")
            if verb == "MAIL":
                sender, recipients = _path(line), []
            elif verb == "RCPT":
                refusal = await self.recipient(_path(line))
                reply = refusal or reply
                recipients += [] if refusal else [_path(line)]
            elif verb == "DATA" and not recipients:
                reply = "503 5.5.1 no valid recipients"
            elif verb == "DATA":
                await _say(writer, "354 go ahead")
                raw = await reader.readuntil(b"\r\n.\r\n")
                taken = Taken(sender, tuple(recipients), raw[:-3].replace(b"\r\n..", b"\r\n."))
                reply = await self.body(taken) or "250 2.0.0 OK"


_USUAL = {"EHLO": "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8", "QUIT": "221 2.0.0 bye"}


async def _say(writer: asyncio.StreamWriter, reply: str | bytes) -> bool:
    """Whether the conversation goes on. A yes that never left this process would be counted as one: it is drained."""
    if reply == CUT:
        return False
    writer.write(reply if isinstance(reply, bytes) else f"{reply}\r\n".encode())
    await writer.drain()
    return True


def _path(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]

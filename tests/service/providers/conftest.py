"""Mails to send, and real places to send them to."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
import uvloop

from mailboat.domain.address import Address, parse
from mailboat.domain.message import Envelope, Mail


def pytest_asyncio_loop_factories(item):
    """SMTP changes hands in the middle of a connection, so it is tried on both event loops that there are."""
    loops = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
    return loops if item.path.name == "test_smtp.py" else {"asyncio": loops["asyncio"]}


@pytest.fixture
def mail_of():
    """Makes a mail; addresses are given as a client writes them."""

    def make(
        *,
        number=1,
        sender="Northwind <orders@shop.example.com>",
        to=("Ada Lovelace <ada@example.com>",),
        cc=(),
        bcc=(),
        reply_to=(),
        recipients=None,
        subject="Receipt A-1042",
        html="<p>Thank you</p>",
        text="Thank you",
        **others,
    ) -> Mail:
        def read(texts):
            return tuple(one if isinstance(one, Address) else parse(one) for one in texts)

        envelope = Envelope(sender=read([sender])[0], to=read(to), cc=read(cc), bcc=read(bcc), reply_to=read(reply_to))
        everybody = tuple(address for _, address in envelope.recipients)
        return Mail(
            id=UUID(int=number),
            message_id=f"<{number}@mail.example.com>",
            date=datetime(2026, 12, 1, 9, 0, 0, tzinfo=UTC),
            envelope=envelope,
            recipients=everybody if recipients is None else read(recipients),
            subject=subject,
            html=html,
            text=text,
            client="storefront",
            **others,
        )

    return make


@pytest.fixture
async def answering():
    """Starts HTTP servers that read one request per connection and write the bytes they are told to; gives the URL.

    With `hang` they write nothing, with `hang_after` nothing more and close nothing, `early` closes before a request is
    read.
    """
    servers = []

    async def start(answer: bytes = b"", *, hang: bool = False, hang_after: bool = False, early: bool = False) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not early:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
            if hang:
                await reader.read()
            writer.write(answer)
            if hang_after:
                await reader.read()
            writer.close()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def answer_of():
    """An HTTP answer as bytes."""

    def make(status: int, body: bytes = b"", **headers: str) -> bytes:
        lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    return make

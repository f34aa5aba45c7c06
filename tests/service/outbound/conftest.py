"""A receiver of webhooks, and a worker's part in telling it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest

from mailboat import egress
from mailboat.declare.seal import Sealer, new_key
from mailboat.delivery import outbound
from mailboat.delivery.endpoints import Endpoints
from mailboat.delivery.outbound import Outbound

HERE = egress.networks("127.0.0.0/8")


class Told(NamedTuple):
    """A request that the receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """An HTTP server that keeps what it is told. `answer(told)` is the raw answer; None: it never answers."""

    def __init__(self, loop: Any) -> None:
        self.told: list[Told] = []
        self.answer: Callable[[Told], bytes | None] = lambda _: reply(204)
        self._loop = loop
        self._server: asyncio.Server = loop.run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.told.append(Told(first.split()[1], headers, body))
            answer = self.answer(self.told[-1])
            if answer is None:
                await reader.read()  # until the other side gives up
            else:
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client is gone
        finally:
            writer.close()

    def close(self) -> None:
        async def close() -> None:
            self._server.close()
            await self._server.wait_closed()

        self._loop.run(close())


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@pytest.fixture(scope="session", name="reply")
def _reply() -> Callable[..., bytes]:
    """reply(status, body, **headers): an HTTP answer."""
    return reply


@pytest.fixture
def receiver(aside: Any) -> Iterator[Receiver]:
    receiver = Receiver(aside)
    yield receiver
    receiver.close()


@pytest.fixture
def sealing_key() -> str:
    return new_key()


@pytest.fixture
def endpoints(pool: asyncpg.Pool, client: Any, sealing_key: str) -> Endpoints:
    """The endpoints of `client`."""
    sealer = Sealer(sealing_key)
    return Endpoints(pool, client.id, sealer.seal, sealer.open)


@pytest.fixture
async def outbound_of(pool: asyncpg.Pool, sealing_key: str) -> AsyncIterator[Callable[..., Any]]:
    """await outbound_of(seconds=…): a worker's part, with a heartbeat of its own."""
    made: list[tuple[Outbound, egress.Client]] = []

    async def make(seconds: float = 5.0, lease: float = 30.0) -> Outbound:
        owner = await pool.fetchval("insert into workers (name) values ('test') returning id")
        client = egress.Client(HERE, seconds=seconds)
        part = Outbound(pool, client, Sealer(sealing_key).open, owner=owner, lease=lease)
        made.append((part, client))
        return part

    yield make
    for part, client in made:
        await part.stop()
        await client.close()


@pytest.fixture
def tell(pool: asyncpg.Pool, outbound_of: Callable[..., Any]) -> Callable[..., Any]:
    """await tell(endpoint id, times): a test event, tried so many times, whatever the clock says; its row."""
    parts: list[Outbound] = []

    async def tell(endpoint: UUID, times: int = 1, seconds: float = 5.0) -> asyncpg.Record:
        if not parts:
            parts.append(await outbound_of(seconds))
        number = await outbound.tell_test(pool, endpoint)
        for _ in range(times):
            await pool.execute("update webhook_deliveries set run_at = now()")
            await parts[0].take()
            await parts[0].settled()
        return await pool.fetchrow("select * from webhook_deliveries where id = $1", number)

    return tell

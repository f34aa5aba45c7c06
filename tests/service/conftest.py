"""Parts of the service inside the test's own process, and a wire to PostgreSQL that can be cut."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from mailboat.db import engine, valkey
from mailboat.db.states import Lane, State
from mailboat.delivery.accept import Acceptor, Draft
from mailboat.delivery.ring import Doorbell
from mailboat.domain import address, identifier
from mailboat.domain.message import Envelope

ENVELOPE = '{"sender":{"email":"orders@shop.example.com"},"to":[{"email":"ada@example.com"}]}'
CONTENT = '{"subject":"Ahoy","text":"Hello"}'


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await engine.pool(dsn, name="test", size=8)
    yield pool
    await pool.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = valkey.client(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def draft_of(client: Any) -> Callable[..., Draft]:
    """draft_of(**columns): a message of `client`, ready to be stored."""
    envelope = Envelope(address.parse("orders@shop.example.com"), (address.parse("Ada <ada@example.com>"),))
    columns = {
        "client_id": client.id,
        "key": None,
        "digest": None,
        "lane": Lane.NORMAL,
        "run_at": None,
        "template": None,
        "revision": None,
        "locale": None,
        "envelope": msgspec.json.encode(envelope).decode(),
        "data": "{}",
        "content": '{"subject":"Ahoy","text":"Hello"}',
        "headers": None,
        "tags": None,
        "metadata": None,
        "attachments": None,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return lambda **changes: Draft(**({"id": identifier.new()} | columns | changes))


@pytest.fixture
async def acceptor_of(dsn: str, redis: Redis) -> AsyncIterator[Callable[..., Acceptor]]:
    """acceptor_of(dsn): what the API stores messages with; every call makes another, as in another process."""
    made: list[Acceptor] = []

    def make(place: str = dsn) -> Acceptor:
        made.append(Acceptor(place, Doorbell(redis)))
        return made[-1]

    yield make
    for acceptor in made:
        await acceptor.close()


@pytest.fixture
async def acceptor(acceptor_of: Callable[..., Acceptor]) -> Acceptor:
    return acceptor_of()


class Wire:
    """A TCP way to PostgreSQL, to be cut: `dsn` leads through it."""

    def __init__(self, loop: Any, dsn: str) -> None:
        self._loop = loop
        self._cut_before = self._cut_after = b""
        self._then_closed = False
        head, _, self._folder = dsn.partition("?host=")
        self._ways: set[asyncio.StreamWriter] = set()
        self._server = loop.run(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self._port = self._server.sockets[0].getsockname()[1]
        self.dsn = f"{head.replace('@/', f'@127.0.0.1:{self._port}/')}?sslmode=disable"
        self.is_open = True

    def cut(self) -> None:
        """Every connection ends without a word, and new ones are refused until `mend`."""
        self.is_open = False
        self._loop.run(self._abort())

    def cut_at(self, word: bytes) -> None:
        """The connection that asks for something with this word in it ends, and PostgreSQL never hears of it."""
        self._cut_before = word

    def swallow(self, word: bytes, *, then_closed: bool = False) -> None:
        """PostgreSQL does what a request with this word in its values asks for, and its answer is lost."""
        self._cut_after, self._then_closed = word, then_closed

    def mend(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.cut()
        self._server.close()
        self._loop.run(self._server.wait_closed())

    async def _abort(self) -> None:
        for writer in self._ways:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ways.add(writer)
        try:
            if self.is_open:
                there, back = await asyncio.open_unix_connection(f"{self._folder}/.s.PGSQL.5432")
                self._ways.add(back)
                lost = asyncio.Event()
                await asyncio.gather(self._ask(reader, back, lost), self._answer(there, writer, lost))
        except OSError:
            pass  # one of the two is gone
        finally:
            writer.transport.abort()

    async def _ask(self, client: asyncio.StreamReader, server: asyncio.StreamWriter, lost: asyncio.Event) -> None:
        while request := await client.read(2**20):
            if self._cut_before and self._cut_before in request:
                self._cut_before = b""
                break
            if self._cut_after and self._cut_after in request:
                self._cut_after = b""
                lost.set()
            server.write(request)
        server.close()

    async def _answer(self, server: asyncio.StreamReader, client: asyncio.StreamWriter, lost: asyncio.Event) -> None:
        while answer := await server.read(2**20):
            # ReadyForQuery ends an answer: the statement has been committed by then.
            if lost.is_set():
                if answer[-6:-1] != b"Z\0\0\0\5":
                    continue
                self.is_open = self.is_open and not self._then_closed
                client.transport.abort()
                return
            client.write(answer)
        client.close()


@pytest.fixture
def wire(aside: Any, dsn: str) -> Iterator[Wire]:
    wire = Wire(aside, dsn)
    yield wire
    wire.close()


@pytest.fixture
def unique() -> Callable[[], int]:
    """unique(): another number each time."""
    return itertools.count(1).__next__


@pytest.fixture
def put(query: Any, client: Any) -> Callable[..., UUID]:
    """put(**columns of queue): a message of `client` with its queue row; `age` makes it look untouched for so long."""

    def put(*, age: float = 0.0, client_id: int | None = None, **columns: Any) -> UUID:
        message_id = identifier.new()
        values = {"lane": Lane.NORMAL, "state": State.QUEUED} | columns
        owner = client_id or client.id
        query(
            "insert into messages (id, client_id, envelope, data, content, traceparent) "
            "values ($1, $2, $3::json, '{}', $4::json, '')",
            message_id,
            owner,
            ENVELOPE,
            CONTENT,
        )
        places = ", ".join(f"${n}" for n in range(4, len(values) + 4))
        query(
            f"insert into queue (id, client_id, updated_at, {', '.join(values)}) "
            f"values ($1, $2, now() - $3 * interval '1 second', {places})",
            message_id,
            owner,
            age,
            *values.values(),
        )
        return message_id

    return put


@pytest.fixture
def row(query: Any) -> Callable[[UUID], asyncpg.Record]:
    """row(id): the message's queue row."""
    return lambda message_id: query("select * from queue where id = $1", message_id)[0]


@pytest.fixture
def worker_row(query: Any) -> Callable[..., int]:
    """worker_row(name, silence=seconds): the id of a worker whose heartbeat is that old."""

    def make(name: str = "other", silence: float = 0.0) -> int:
        ((worker_id,),) = query(
            "insert into workers (name, heartbeat_at) values ($1, now() - $2 * interval '1 second') returning id",
            name,
            silence,
        )
        return int(worker_id)

    return make

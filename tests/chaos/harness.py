"""What the chaos tests are made of: lines that can be cut, an SMTP server that keeps count, load, and the audit.

A `Load` posts mails and remembers each id that was answered 202; a mail whose answer did not come is posted again under
the same idempotency key, as a caller would. `audit` compares these ids with the database and with what the SMTP server
said yes to.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import asyncpg
import pytest
from tests.smtp_server import CUT, SmtpServer, Taken

from mailboat.db.states import State

# Slow ones, which `make test` leaves to `make chaos`.
AT_LENGTH = "CHAOS_KILLS" in os.environ
at_length = pytest.mark.skipif(not AT_LENGTH, reason="make chaos runs it")

# --- lines

Cut = Literal["pass", "freeze", "reset"]


class Line:
    """A proxy in front of a server. `freeze`: nothing passes and nothing is closed. `reset`: connections are dropped.

    Whatever goes towards the server arrives `delay` seconds later.
    """

    def __init__(self, upstream: Path | int) -> None:
        self.mode: Cut = "pass"
        self.delay = 0.0
        self._upstream = upstream
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, place: Path | int) -> int:
        """On a socket file, or on a port (0: any). Returns the port."""
        if isinstance(place, Path):
            self._server = await asyncio.start_unix_server(self._accept, place)
            place.chmod(0o777)
            return 0
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", place)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self, mode: Cut) -> None:
        self.mode = mode
        self._open.set() if mode == "pass" else self._open.clear()
        if mode == "reset":
            for writer in self._writers:
                writer.transport.abort()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut("reset")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await self._join(reader, writer)
        writer.transport.abort()
        self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "reset":
            return
        try:
            if isinstance(self._upstream, Path):
                there = await asyncio.open_unix_connection(self._upstream)
            else:
                there = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            return
        self._writers |= {writer, there[1]}
        pumps = [
            asyncio.create_task(self._pump(reader, there[1], slow=True)),
            asyncio.create_task(self._pump(there[0], writer, slow=False)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._writers -= {writer, there[1]}
            there[1].transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._open.wait()
                if slow and self.delay:
                    asyncio.get_running_loop().call_later(self.delay, writer.write, data)
                    continue
                writer.write(data)
                await writer.drain()


# --- the SMTP server

Manner = Literal["good", "stall", "drop", "cut_after_body", "tempfail", "garbage", "nonsense"]
GARBAGE = bytes(range(256)) * 4 + b"\r\n"
NONSENSE = b"250-never\r\n251 ends\r\n999 what\r\n"
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([0-9a-f-]{36})@", re.MULTILINE | re.IGNORECASE)


class Mailbox(SmtpServer):
    """Counts, per Message-ID, how often it has said yes (`taken`, the first time at `first`), and how often it read a
    body and then did not say so (`uncertain`): repeating those is right."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: collections.Counter[UUID] = collections.Counter()
        self.first: dict[UUID, float] = {}
        self.uncertain: collections.Counter[UUID] = collections.Counter()
        self.manner: Manner = "good"

    async def greet(self) -> str | None:
        return CUT if self.manner == "drop" else None

    async def command(self, verb: str) -> bytes | None:
        return GARBAGE if self.manner == "garbage" else None

    async def body(self, taken: Taken) -> str | bytes | None:
        found = _MESSAGE_ID.search(taken.raw)
        assert found, taken
        message = UUID(found[1].decode())
        if self.manner == "tempfail":
            return b"451 4.3.0 not now \0\xff\r\n"
        if self.manner == "good":
            self.taken[message] += 1
            self.first.setdefault(message, time.monotonic())
            return None
        self.uncertain[message] += 1
        if self.manner == "stall":
            await asyncio.sleep(3600)
        return {"garbage": GARBAGE, "nonsense": NONSENSE}.get(self.manner, CUT)


# --- load


def write_templates(folder: Path, note: str = "") -> None:
    """The one template that a load asks for; with another note it is another revision."""
    folder.mkdir(exist_ok=True)
    source = f"---\nsubject: Receipt {{{{ order }}}}\n---\n<p>Order {{{{ order }}}}</p>{note}\n"
    (folder / "next").write_text(source)
    (folder / "next").rename(folder / "receipt.html.j2")


class Caller:
    """One HTTP connection that is kept alive and opened again when it breaks."""

    def __init__(self, ports: list[int], headers: dict[str, str]) -> None:
        self._ports = itertools.cycle(ports)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, body: bytes, key: str) -> tuple[int, dict[str, str], bytes]:
        """Raises OSError, TimeoutError or IncompleteReadError when no answer came; the next try asks the next API."""
        try:
            async with asyncio.timeout(20):
                if self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", next(self._ports))
                self._writer.write(
                    f"POST /v1/send HTTP/1.1\r\nHost: chaos\r\nContent-Type: application/json\r\n{self._head}"
                    f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                status, *fields = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (field.partition(":") for field in fields if field)}
                answer = await self._reader.readexactly(int(headers["content-length"]))
        except BaseException:
            self.close()
            raise
        if status.split()[1] == "503":
            self.close()
        return int(status.split()[1]), headers, answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None


@dataclasses.dataclass
class Load:
    """Mails at a bounded rate, while `async with load.flowing():` lasts; those under way are finished at its end."""

    ports: list[int]
    headers: dict[str, str]
    rate: float
    callers: int = 16
    accepted: dict[UUID, str] = dataclasses.field(default_factory=dict)
    statuses: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    slowest: float = 0.0  # seconds until an answer
    surprises: list[str] = dataclasses.field(default_factory=list)
    name: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex[:8])

    @contextlib.asynccontextmanager
    async def flowing(self) -> Any:
        self._numbers, self._stop = itertools.count(), asyncio.Event()
        tasks = [asyncio.create_task(self._call(n)) for n in range(self.callers)]
        try:
            yield self
        finally:
            self._stop.set()
            await asyncio.gather(*tasks)

    async def until_accepted(self, count: int) -> None:
        """Until so many more mails are in."""
        wanted = len(self.accepted) + count
        async with asyncio.timeout(60):
            while len(self.accepted) < wanted:  # noqa: ASYNC110  # a number is no event
                await asyncio.sleep(0.02)

    async def _call(self, number: int) -> None:
        caller = Caller(self.ports[number % len(self.ports) :] + self.ports, self.headers)
        pause = self.callers / self.rate
        await asyncio.sleep(pause * number / self.callers)
        due = time.monotonic()
        while not self._stop.is_set():
            n = next(self._numbers)
            await self._post(caller, f"{self.name}-{n}", n)
            due = max(due + pause, time.monotonic() - 1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), max(0.0, due - time.monotonic()))
        caller.close()

    async def _post(self, caller: Caller, key: str, n: int) -> None:
        """Until it is accepted."""
        body = {"template": "receipt", "to": f"ada+{n}@example.com", "data": {"order": key}}
        if n % 4 == 3:
            body = {"subject": key, "text": f"Order {key}", "to": f"ada+{n}@example.com", "lane": "bulk"}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            begun = time.monotonic()
            try:
                status, headers, answer = await caller.post(json.dumps(body).encode(), key)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.statuses[type(error).__name__] += 1
                await asyncio.sleep(0.05)
                continue
            finally:
                self.slowest = max(self.slowest, time.monotonic() - begun)
            self.statuses[str(status)] += 1
            if status == 202:
                self.accepted[UUID(json.loads(answer)["id"])] = key
                return
            if status != 503 or "retry-after" not in headers:
                self.surprises.append(f"{status} {headers} {answer!r}")
                return
            await asyncio.sleep(0.1)
        self.surprises.append(f"{key} was not accepted within a minute")


# --- the audit


@dataclasses.dataclass
class Report:
    """What became of the mails that were answered 202."""

    accepted: int = 0
    lost: list[UUID] = dataclasses.field(default_factory=list)  # the server never said yes to them
    stuck: list[str] = dataclasses.field(default_factory=list)  # not `sent` although there was time enough
    wrong: list[str] = dataclasses.field(default_factory=list)  # accounts that do not add up
    duplicates: int = 0  # how often the server said yes once too often

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, lost {len(self.lost)}, stuck {len(self.stuck)}, wrong {len(self.wrong)}, "
            f"duplicates {self.duplicates}"
        )

    def check(self, allowed: float) -> None:
        assert not self.lost, f"{self}: {self.lost[:5]}"
        assert not self.stuck, f"{self}: {self.stuck[:5]}"
        assert not self.wrong, f"{self}: {self.wrong[:5]}"
        assert self.duplicates <= allowed, f"{self}, allowed {allowed}"


OPEN = (State.SCHEDULED, State.QUEUED, State.SENDING)
_OPEN = f"select count(*) from queue where state in ({', '.join(str(int(state)) for state in OPEN)})"
_ROWS = "select id, state, attempts, owner, updated_at, error from queue"
_ATTEMPTS = "select message_id, number, outcome from attempts order by message_id, number"
_SUMS = """
select (select coalesce(sum(accepted), 0) from usage) as booked, (select count(*) from messages) as stored,
       (select count(*) from idempotency where starts_with(key, $1)) as kept
"""


async def settle(dsn: str, seconds: float) -> None:
    """Wait until nothing is on its way any more; what has not moved for so many seconds is stuck."""
    connection = await asyncpg.connect(dsn)
    before, deadline = -1, 0.0
    while still_open := await connection.fetchval(_OPEN):
        if still_open != before:
            before, deadline = still_open, time.monotonic() + seconds
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.05)
    await connection.close()


async def audit(dsn: str, mailbox: Mailbox, load: Load) -> Report:
    """Of the mails of one load."""
    connection = await asyncpg.connect(dsn)
    rows = {row["id"]: row for row in await connection.fetch(_ROWS) if row["id"] in load.accepted}
    attempts: dict[UUID, list[asyncpg.Record]] = {}
    for row in await connection.fetch(_ATTEMPTS):
        attempts.setdefault(row["message_id"], []).append(row)
    booked, stored, kept = await connection.fetchrow(_SUMS, load.name)
    await connection.close()
    report = Report(accepted=len(load.accepted))
    report.lost = [message for message in load.accepted if not mailbox.taken[message]]
    report.stuck = [str(dict(row)) for row in rows.values() if row["state"] != State.SENT]
    report.duplicates = sum(mailbox.taken[message] - 1 for message in load.accepted if mailbox.taken[message] > 1)
    report.wrong = [*load.surprises, *_accounts(rows, attempts)]
    if booked != stored or kept != len(load.accepted):
        report.wrong.append(f"quota booked {booked}, stored {stored}; of {kept} {len(load.accepted)} were told")
    if missing := set(load.accepted) - set(rows):
        report.wrong.append(f"accepted and not in the queue: {missing}")
    return report


def _accounts(rows: dict[UUID, asyncpg.Record], attempts: dict[UUID, list[asyncpg.Record]]) -> Iterator[str]:
    """Every sent mail has its attempts from 1 on, one of which sent it, and none that was never claimed."""
    for message, row in rows.items():
        numbers = [attempt["number"] for attempt in attempts.get(message, ())]
        outcomes = [attempt["outcome"] for attempt in attempts.get(message, ())]
        if row["state"] == State.SENT and (numbers != list(range(1, row["attempts"] + 1)) or "sent" not in outcomes):
            yield f"{message}: {row['attempts']} attempts counted, booked {list(zip(numbers, outcomes, strict=True))}"

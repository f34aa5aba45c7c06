"""Real parts for every test: PostgreSQL, Valkey, an SMTP server, and Mailboat's own processes.

Servers start once per session. Each test that asks for `dsn` gets a migrated database of its own, copied from a
template in a few milliseconds, and for `redis_url` an empty Valkey database; so tests may run in any order.
Tests that stop or kill a server ask for one of their own: `own_postgres`, `own_valkey`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import bcrypt
import pytest
from tests.smtp_server import SmtpServer, Taken

from mailboat.cli import postgres as embedded_postgres
from mailboat.cli import valkey as embedded_valkey
from mailboat.db import migrate
from mailboat.settings import Settings, variable

PATIENCE = 60.0  # seconds; a test that waits longer than this has failed
TEMPLATE = "mailboat_template"
SECRET = "s3cret-of-every-test"
_SECRET_HASH = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()  # few rounds: tests are many


def until(true: Callable[[], Any], what: str = "") -> Any:
    """Wait until this is true; what it was then. For tests that are not async."""
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, f"waited too long for {what or true}"
        time.sleep(0.01)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def need() -> Callable[[object, str], None]:
    """Skip for want of a part; in continuous integration every part must be there."""

    def need(present: object, what: str) -> None:
        if not present:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)

    return need


# --- servers


def leashed(argv: list[str], word: str) -> list[str]:
    """The command, to get this signal when the tests die, be it by kill -9. (Not by preexec_fn: there are threads.)"""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", word, "--", *argv] if setpriv else argv


class Server:
    """A program in the background that can be stopped, killed and started again."""

    farewell = "TERM"

    def __init__(self, argv: list[str], log: Path, serves: Callable[[int], bool], **start: Any) -> None:
        self.argv, self.log, self._serves, self._start = argv, log, serves, start
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(leashed(self.argv, self.farewell), stdout=log, stderr=log, **self._start)
        until(self._ready, self.argv[0])

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return self._serves(self.process.pid)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE)
            self.process = None


class Postgres(Server):
    """A PostgreSQL that forgets fsync, on a socket. `dsn(name)` leads to a database.

    A setting that was `changed` by None is left to the server's own files.
    """

    farewell = "QUIT"

    def __init__(self, folder: Path, binaries: Path | None = None, **changed: str | None) -> None:
        self.folder, self.data = folder, folder / "data"
        owner = embedded_postgres.owner(self.data)
        embedded_postgres.admit(owner, self.data)
        started_as = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
        if owner:
            os.chown(folder, *owner)
        newest = Path(embedded_postgres.initdb(self.data, owner).argv[0]).parent
        self.binaries = binaries or newest
        initdb = [str(self.binaries / "initdb"), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [*initdb, "--no-sync", f"--pgdata={self.data}"], check=True, capture_output=True, cwd="/", **started_as
        )
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": folder,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "300",
            "shared_buffers": "64MB",
            "max_wal_size": "4GB",
            "autovacuum": "off",
        }
        kept = {name: value for name, value in (settings | changed).items() if value is not None}
        words = [word for name, value in kept.items() for word in ("-c", f"{name}={value}")]
        argv = [str(self.binaries / "postgres"), "-D", str(self.data), *words]
        super().__init__(argv, folder / "postgres.log", self._accepts, cwd="/", **started_as)

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT is `fast`, SIGQUIT `immediate`; SIGKILL leaves children behind and is not for this."""
        super().stop(number)

    def _accepts(self, pid: int) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        return lines[0] == str(pid) and lines[7:8] == ["ready   "]


class Valkey(Server):
    """A Valkey that keeps nothing on disk, on a socket. `url(number)` leads to a database."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "valkey.sock"
        binary = embedded_valkey.part(folder, folder).argv[0]
        settings = {"port": "0", "unixsocket": self.socket, "databases": "4096", "save": "", "dir": folder}
        argv = [binary, *(str(word) for name, value in settings.items() for word in (f"--{name}", value))]
        super().__init__(argv, folder / "valkey.log", self._accepts)

    def url(self, number: int = 0) -> str:
        return f"unix://{self.socket}?db={number}"

    def _accepts(self, _: int) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))
            client.sendall(b"PING\r\n")
            return client.recv(16) == b"+PONG\r\n"
        return False


@contextlib.contextmanager
def _open_folder() -> Iterator[Path]:
    """Outside pytest's own, which is closed to other users, such as PostgreSQL's; and short, since sockets need it."""
    folder = Path(tempfile.mkdtemp(prefix="mailboat-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(server: Server) -> Iterator[Any]:
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGQUIT if isinstance(server, Postgres) else signal.SIGTERM)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL, the newest that the package brings. Ask for `dsn` rather than for this."""
    with _open_folder() as folder, _running(Postgres(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """The session's Valkey. Ask for `redis_url` rather than for this."""
    with _open_folder() as folder, _running(Valkey(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def start_postgres() -> Iterator[Callable[..., Postgres]]:
    """Start another PostgreSQL, of these binaries: for the whole session."""
    with contextlib.ExitStack() as stack:

        def start(binaries: Path | None = None) -> Postgres:
            return stack.enter_context(_running(Postgres(stack.enter_context(_open_folder()), binaries)))

        yield start


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that the test may stop and start; its database `postgres` is migrated."""
    with _open_folder() as folder, _running(Postgres(folder)) as server:
        in_thread(lambda: migrate.upgrade(server.dsn()))
        yield server


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A Valkey that the test may stop and start."""
    with _open_folder() as folder, _running(Valkey(folder)) as server:
        yield server


# --- databases


def in_thread(work: Callable[[], Any]) -> Any:
    """Run what has an event loop of its own, away from the test's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


class Loop:
    """An event loop in a thread, for fixtures that work whether the test is async or not."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.begin(work).result(PATIENCE)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="session")
def aside() -> Iterator[Loop]:
    """A loop beside the test's: `aside.run(coroutine)`."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def administrator(postgres: Postgres, aside: Loop) -> Iterator[asyncpg.Connection]:
    """A connection in `aside` that creates and drops databases; the migrated template is there."""
    connection = aside.run(asyncpg.connect(postgres.dsn()))
    aside.run(connection.execute(f"create database {TEMPLATE}"))
    in_thread(lambda: migrate.upgrade(postgres.dsn(TEMPLATE)))
    aside.run(connection.execute(f"alter database {TEMPLATE} with allow_connections false"))
    yield connection
    aside.run(connection.close())


_numbers = itertools.count(1)


class Databases:
    """Makes databases, the next one ahead of time, and drops those that are done with behind the tests' backs."""

    def __init__(self, administrator: asyncpg.Connection, loop: Loop) -> None:
        self._administrator, self._loop = administrator, loop
        self._turn = asyncio.Lock()
        self._next = self._begin(TEMPLATE)

    def take(self, template: str) -> str:
        """The name of a new one."""
        if template != TEMPLATE:
            return self._begin(template).result(PATIENCE)
        name = self._next.result(PATIENCE)
        self._next = self._begin(template)
        return name

    def drop(self, name: str) -> Future[None]:
        return self._loop.begin(self._execute(f"drop database {name} with (force)"))

    def _begin(self, template: str) -> Future[str]:
        name = f"test_{next(_numbers)}"
        return self._loop.begin(self._execute(f"create database {name} template {template}", name))

    async def _execute(self, statement: str, answer: Any = None) -> Any:
        async with self._turn:
            await self._administrator.execute(statement)
        return answer


@pytest.fixture(scope="session")
def database(postgres: Postgres, administrator: asyncpg.Connection, aside: Loop) -> Iterator[Callable[..., Any]]:
    """`with database() as dsn`: a migrated database while it lasts; `database(template="template1")`: an empty one."""
    databases = Databases(administrator, aside)
    dropped: list[Future[None]] = []

    @contextlib.contextmanager
    def database(template: str = TEMPLATE) -> Iterator[str]:
        name = databases.take(template)
        yield postgres.dsn(name)
        dropped.append(databases.drop(name))

    yield database
    for drop in dropped:
        drop.result(PATIENCE)


@pytest.fixture
def dsn(database: Callable[..., Any]) -> Iterator[str]:
    """A migrated database for this test alone."""
    with database() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def new_redis_url(valkey: Valkey) -> Callable[[], str]:
    """new_redis_url(): an empty database of Valkey."""
    return lambda: valkey.url(next(_numbers) % 4096)


@pytest.fixture
def redis_url(new_redis_url: Callable[[], str]) -> str:
    """An empty database of Valkey for this test alone."""
    return new_redis_url()


@pytest.fixture
def query(dsn: str, aside: Loop) -> Iterator[Callable[..., list[asyncpg.Record]]]:
    """query(sql, *values): the rows. Works in any test, async or not."""
    connections: list[asyncpg.Connection] = []

    async def fetch(sql: str, values: tuple[Any, ...]) -> list[asyncpg.Record]:
        if not connections:
            connections.append(await asyncpg.connect(dsn))
        return await connections[0].fetch(sql, *values)

    yield lambda sql, *values: aside.run(fetch(sql, values))
    for connection in connections:
        aside.run(connection.close())


# --- Mailboat


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """A source volume with one template, `receipt`."""
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "receipt.html.j2").write_text('---\nsubject: "Receipt {{ order }}"\n---\n<p>Order {{ order }}</p>\n')
    return folder


QUICK = {
    "admin_token": "admin-token",
    "render_processes": 1,
    "retry_base_seconds": 0.05,
    "retry_cap_seconds": 0.2,
    "heartbeat_seconds": 0.2,
    "lease_seconds": 2.0,
    "drain_seconds": 5.0,
}


@pytest.fixture(scope="session")
def quick_settings() -> Callable[..., Settings]:
    """quick_settings(**changes): settings with which nothing waits for long."""
    return lambda **changes: Settings(**(QUICK | changes))


@pytest.fixture
def settings_of(
    dsn: str, redis_url: str, templates: Path, quick_settings: Callable[..., Settings]
) -> Callable[..., Settings]:
    """settings_of(**changes): quick settings for this test's database, Valkey and templates."""
    places = {"database_url": dsn, "redis_url": redis_url, "templates": str(templates)}
    return lambda **changes: quick_settings(**(places | changes))


@pytest.fixture
def settings(settings_of: Callable[..., Settings]) -> Settings:
    return settings_of()


class Caller(NamedTuple):
    """A client with a key: what a request needs to come from it."""

    id: int
    namespace: str
    name: str
    key: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Api-Key": self.key, "X-Api-Secret": self.secret}


@pytest.fixture
def new_client(query: Callable[..., Any]) -> Callable[..., Caller]:
    """new_client(name=…, **columns): a client that may send as anybody, and its key."""

    def make(name: str | None = None, **columns: Any) -> Caller:
        number = next(_numbers)
        values = {
            "namespace": "default",
            "name": name or f"client-{number}",
            "senders": ["Northwind <orders@shop.example.com>", "*"],
            "rate_per_minute": 1_000_000,
            "rate_burst": 1_000_000,
        } | columns
        places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        ((client_id,),) = query(
            f"insert into clients ({', '.join(values)}) values ({places}) returning id", *values.values()
        )
        key = f"mb_{client_id}_{number}"
        query("insert into client_keys (key, client_id, secret_hash) values ($1, $2, $3)", key, client_id, _SECRET_HASH)
        return Caller(client_id, values["namespace"], values["name"], key, SECRET)

    return make


@pytest.fixture
def client(new_client: Callable[..., Caller]) -> Caller:
    return new_client("storefront")


class Role:
    """A process of Mailboat: `mailboat api`, `mailboat worker`, …"""

    def __init__(self, name: str, settings: Settings, log: Path, environment: dict[str, str]) -> None:
        self.name, self.settings, self.log = name, settings, log
        chosen = {variable(f): str(getattr(settings, f)) for f in Settings.__struct_fields__ if getattr(settings, f)}
        own = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("MAILBOAT_", "OTEL_")) and k not in ("DATABASE_URL", "REDIS_URL", "SERVICE_ROLE")
        }
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                leashed([sys.executable, "-P", "-m", "mailboat", name], "KILL"),
                env={**own, **chosen, **environment},
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        return self.settings.url

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it has logged so far, of this event or of any."""
        whole = [line for line in self.log.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        parsed = [json.loads(line) for line in whole if line.startswith(b"{")]
        return [line for line in parsed if event is None or line["event"] == event]

    def until_ready(self) -> Role:
        return until(self._ready, f"mailboat {self.name} to be ready:\n{self.log.read_text()}") and self

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return bool(self.lines("ready"))

    def tell(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        self.tell(number)
        return self.wait()

    def close(self) -> None:
        """Leave nothing behind, whatever the test did to it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def starting_roles(folder: Path) -> Iterator[Callable[..., Role]]:
    """What `start_role` gives, with the logs in this folder; in the end nothing is left running."""
    roles: list[Role] = []

    def start(name: str, settings: Settings, *, ready: bool = True, **environment: str) -> Role:
        if name == "api" and not settings.port:
            raise ValueError("an API needs a port: settings_of(port=free_port())")
        role = Role(name, settings, folder / f"{len(roles)}-{name}.log", environment)
        roles.append(role)
        return role.until_ready() if ready else role

    try:
        yield start
    finally:
        for role in roles:
            role.close()
            print(f"--- {role.log.name}, exit code {role.process.returncode}\n{role.log.read_text()}")


@pytest.fixture
def start_role(tmp_path: Path) -> Iterator[Callable[..., Role]]:
    """start_role(name, settings, ready=True, **environment): a process; `Role.url` is where an API listens.

    What they logged is shown when the test fails.
    """
    with starting_roles(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def start_module_role(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Role]]:
    """The same for a process that all tests of a module share."""
    with starting_roles(tmp_path_factory.mktemp("roles")) as start:
        yield start


@pytest.fixture(scope="session", name="free_port")
def _free_port() -> Callable[[], int]:
    """free_port(): a port that nobody listens on."""
    return free_port


@pytest.fixture(scope="session", name="until")
def _until() -> Callable[..., Any]:
    """until(true): wait until this is true, and give what it was then. For tests that are not async."""
    return until


@pytest.fixture
def eventually() -> Callable[..., Awaitable[Any]]:
    """await eventually(true): the same for async tests; `true` may be async."""

    async def wait(true: Callable[[], Any], what: str = "") -> Any:
        deadline = time.monotonic() + PATIENCE
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            assert time.monotonic() < deadline, f"waited too long for {what or true}"
            await asyncio.sleep(0.01)

    return wait


# --- an SMTP server


class Sink(SmtpServer):
    """An SMTP server that takes everything and keeps it in `taken`, unless told otherwise.

    `on_recipient(address)` and `on_body(taken)` answer a reply ("550 5.1.1 no such user"), "cut", or None for yes; they
    may be async. What is refused or cut is kept all the same, so that a test can count what went over the wire.
    """

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.taken: list[Taken] = []
        self.on_recipient: Callable[[str], Any] = lambda _: None
        self.on_body: Callable[[Taken], Any] = lambda _: None
        self._loop = loop
        loop.run(self.listen())

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    @property
    def ids(self) -> list[UUID]:
        """Of every mail that came, in order of arrival; twice when it came twice."""
        return [taken.id for taken in self.taken]

    async def recipient(self, address: str) -> str | None:
        return await _answer(self.on_recipient, address)

    async def body(self, taken: Taken) -> str | None:
        self.taken.append(taken)
        return await _answer(self.on_body, taken)

    def close(self) -> None:
        self._loop.run(self.shut())


async def _answer(decide: Callable[[Any], Any], about: Any) -> Any:
    answer = decide(about)
    return await answer if asyncio.iscoroutine(answer) else answer


@pytest.fixture(scope="session")
def new_sink(aside: Loop) -> Iterator[Callable[[], Sink]]:
    """new_sink(): a real SMTP server; `settings_of(smtp_url=sink.url)` sends to it."""
    sinks: list[Sink] = []

    def make() -> Sink:
        sinks.append(Sink(aside))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


@pytest.fixture
def sink(new_sink: Callable[[], Sink]) -> Sink:
    return new_sink()

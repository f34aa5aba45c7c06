"""A fleet: PostgreSQL, Valkey, an SMTP server, APIs and workers, each behind a line that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import bcrypt
import psutil
import pytest
import pytest_asyncio
from tests.chaos.clocks import Clocks
from tests.chaos.harness import AT_LENGTH, Line, Load, Mailbox, Report, audit, settle, write_templates
from tests.conftest import Postgres, Role, Valkey, free_port, in_thread

from mailboat.db import migrate
from mailboat.settings import Settings

APIS, WORKERS = 2, 2
LEASE = 2.0
SECRET = "chaos"
CLIENT = """
insert into clients (namespace, name, senders, rate_per_minute, rate_burst, route)
values ('default', 'chaos', '{chaos@shop.example.com}', 100000000, 1000000, '{mailbox}') returning id
"""
# Its breaker opens as it would, and looks again soon: a cooldown of two minutes would be most of the test.
PROVIDER = (
    "insert into providers (namespace, name, kind, spec, allowed) values ('default', 'mailbox', 'smtp', $1, '{*}')"
)
SPEC = {
    "limits": {"timeout": "2s", "maxConcurrent": 8},
    "circuitBreaker": {"failures": 5, "window": "60s", "cooldown": "1s"},
}


class Dist:
    """A dist folder on a disk of its own, that can be full. `there` is False where nothing can be mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "dist", str(folder)]
        self.there = AT_LENGTH and subprocess.run(mount, check=False, capture_output=True).returncode == 0

    def fill(self) -> None:
        """Not one octet more fits."""
        with contextlib.suppress(OSError), (self.folder / "junk").open("wb", buffering=0) as junk:
            while junk.write(bytes(512)):
                pass

    def empty(self) -> None:
        """Somebody deletes all of it, which is allowed at any time."""
        for file in self.folder.iterdir():
            shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)

    def close(self) -> None:
        if self.there:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


class Fleet:
    """Everything, running. `lines` are named after who talks to whom: api-postgres, worker-smtp, …"""

    def __init__(
        self,
        postgres: Postgres,
        valkey: Valkey,
        folder: Path,
        templates: Path,
        clocks: Clocks | None = None,
        **changes: Any,
    ) -> None:
        self.postgres, self.valkey, self.folder, self.templates = postgres, valkey, folder, templates
        self.clocks, self.dist = clocks, Dist(folder / "dist")
        self.mailbox = Mailbox()
        self.lines: dict[str, Line] = {}
        self.roles: dict[str, Role] = {}
        self.headers = {"X-Api-Key": "mb_chaos", "X-Api-Secret": SECRET}
        self.worker_kills = 0
        self._changes = changes
        self._settings: dict[str, Settings] = {}

    async def start(self) -> None:
        connection = await asyncpg.connect(self.postgres.dsn())
        client = await connection.fetchval(CLIENT)
        hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
        await connection.execute(
            "insert into client_keys (key, client_id, secret_hash) values ('mb_chaos', $1, $2)", client, hashed
        )
        await self.mailbox.listen()
        for role in ("api", "worker"):
            self._settings[role] = await self._behind_lines(role)
        self.lines["worker-smtp"] = Line(self.mailbox.port)
        smtp = {"host": "127.0.0.1", "port": await self.lines["worker-smtp"].listen(0), "tls": "none"}
        await connection.execute(PROVIDER, json.dumps({"smtp": smtp, **SPEC}))
        await connection.close()
        names = [f"api-{n}" for n in range(APIS)] + [f"worker-{n}" for n in range(WORKERS)]
        for name in names:
            self._start(name, free_port() if name.startswith("api") else 0)
        await asyncio.to_thread(self.until_ready)

    async def _behind_lines(self, role: str) -> Settings:
        place = self.folder / role
        place.mkdir()
        place.chmod(0o777)
        to_postgres, to_valkey = Line(self.postgres.folder / ".s.PGSQL.5432"), Line(self.valkey.socket)
        await to_postgres.listen(place / ".s.PGSQL.5432")
        await to_valkey.listen(place / "valkey.sock")
        self.lines |= {f"{role}-postgres": to_postgres, f"{role}-valkey": to_valkey}
        values = {
            "database_url": f"postgresql://postgres@/postgres?host={place}",
            "redis_url": f"unix://{place}/valkey.sock",
            "templates": str(self.templates),
            "dist": str(self.dist.folder),
            "render_processes": 1,
            "retry_base_seconds": 0.1,
            "retry_cap_seconds": 0.5,
            "retry_attempts": 1000,
            "heartbeat_seconds": LEASE / 5,
            "lease_seconds": LEASE,
            "drain_seconds": 4.0,
        }
        return Settings(**(values | self._changes))

    def _start(self, name: str, port: int) -> None:
        settings = self._settings[name.partition("-")[0]]
        environment = {"MAILBOAT_PORT": str(port), "MAILBOAT_WORKER_NAME": name}
        environment |= self.clocks.environment(name.partition("-")[0]) if self.clocks else {}
        log = self.folder / f"{name}.log"
        self.roles[name] = Role(name.partition("-")[0], settings, log, environment)
        self.roles[name].port = port  # type: ignore[attr-defined]

    def until_ready(self) -> None:
        for role in self.roles.values():
            role.until_ready()

    @property
    def ports(self) -> list[int]:
        return [role.port for name, role in self.roles.items() if name.startswith("api")]  # type: ignore[attr-defined]

    def load(self, rate: float = 300.0) -> Load:
        return Load(self.ports, self.headers, rate)

    def pids(self, name: str) -> list[int]:
        return [process.pid for process in psutil.Process(self.roles[name].process.pid).children(recursive=True)]

    def kill(self, name: str) -> None:
        """kill -9, and a new one in its place."""
        role = self.roles[name]
        role.close()
        self.worker_kills += name.startswith("worker")
        self._start(name, getattr(role, "port", 0))

    def revive(self) -> list[str]:
        """Start again, as a supervisor would, what has ended by itself; the names, with the exit codes."""
        ended = {name: code for name, role in self.roles.items() if (code := role.process.poll()) is not None}
        for name in ended:
            self._start(name, getattr(self.roles[name], "port", 0))
        return [f"{name}: {code}" for name, code in ended.items()]

    def wipe_valkey(self) -> None:
        self.valkey.stop(signal.SIGKILL)
        self.valkey.start()

    def crash_postgres(self) -> None:
        self.postgres.stop(signal.SIGQUIT)
        self.postgres.start()

    async def heal(self) -> None:
        """Undo what a test may have left behind."""
        self.mailbox.manner, self.worker_kills = "good", 0
        for part in self.clocks.ahead if self.clocks else ():
            self.clocks.set(part, 0.0)
        for line in self.lines.values():
            line.delay = 0.0
            line.cut("pass")
        for role in self.roles.values():
            role.tell(signal.SIGCONT)
        self.revive()
        await asyncio.to_thread(self.until_ready)

    async def audit(self, load: Load, seconds: float = 10.0) -> Report:
        await settle(self.postgres.dsn(), seconds)
        return await audit(self.postgres.dsn(), self.mailbox, load)

    async def close(self) -> None:
        for role in self.roles.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(role.process.pid, signal.SIGCONT)
            role.close()
        for line in self.lines.values():
            await line.close()
        await self.mailbox.shut()
        self.dist.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_fleet(
    start_postgres: Callable[[], Postgres], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    postgres = await asyncio.to_thread(start_postgres)
    await asyncio.to_thread(in_thread, lambda: migrate.upgrade(postgres.dsn()))
    folder = postgres.folder / "lines"  # short, and open to PostgreSQL's user
    folder.mkdir()
    folder.chmod(0o777)
    templates = tmp_path_factory.mktemp("chaos") / "templates"
    write_templates(templates)
    valkey = Valkey(folder)
    clocks = Clocks(folder) if AT_LENGTH else None
    if clocks:
        for name, server in ("postgres", postgres), ("valkey", valkey):
            server.argv = clocks.command(name, server.argv)
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
    await asyncio.to_thread(valkey.start)
    fleet = Fleet(postgres, valkey, folder, templates, clocks)
    try:
        await fleet.start()
        yield fleet
    finally:
        await fleet.close()
        valkey.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(_shared_fleet: Fleet) -> AsyncIterator[Fleet]:
    """The session's fleet, whole again. Tests that use it run in the session's loop, as its lines do."""
    await _shared_fleet.heal()
    yield _shared_fleet
    for log in sorted(_shared_fleet.folder.glob("*-*.log")):
        print(f"--- {log.name}\n{_tail(log)}")


def _tail(log: Path) -> str:
    """The last lines that are about more than one mail."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if '"message_id"' not in line]
    return "\n".join(lines[-40:])

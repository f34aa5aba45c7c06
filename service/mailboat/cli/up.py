"""`mailboat up`: all of Mailboat on one machine, under one supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

import mailboat
from mailboat import settings
from mailboat.cli import first, folder, logs, postgres, valkey
from mailboat.cli.supervisor import CONFIGURATION, Part, PartFailed, Supervisor
from mailboat.delivery import first_mail
from mailboat.errors import ConfigurationError
from mailboat.providers import smtp
from mailboat.settings import Settings

ANSWER_SECONDS = 2.0
ECHO_SECONDS = 1.0
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104  # how to reach it from here


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is decided before anything is started."""

    data: Path
    host: str
    port: int
    templates: Path
    workers: int
    drain_seconds: float
    admin_token: str
    environment: Mapping[str, str]

    @property
    def reachable(self) -> str:
        """The address at which this machine reaches the API."""
        return ANY_ADDRESS.get(self.host, self.host)

    @property
    def url(self) -> str:
        host = f"[{self.reachable}]" if ":" in self.reachable else self.reachable
        return f"http://{host}:{self.port}"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default="data", show_default=True, help="Data folder.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the API. 0: any that is free.  [default: 8080]")
@click.option("--host", help="Address of the API.  [default: 127.0.0.1]")
@click.option("--templates", type=click.Path(), help="Folder with templates.  [default: templates, else samples]")
@click.option(
    "--smtp",
    "smtp_url",
    metavar="URL",
    help="Hand mail to this SMTP server: smtp://user:password@host:587.  [default: keep it in the inbox]",
)
@click.option("--workers", type=click.IntRange(1, 32), default=1, show_default=True, help="Number of workers.")
def up(
    data: Path, port: int | None, host: str | None, templates: str | None, smtp_url: str | None, workers: int
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, API, worker, watcher and dashboard.

    DATABASE_URL and REDIS_URL name servers of your own to use instead. The last line on stdout is `ready`.
    """
    flags = {"host": host, "port": port, "smtp_url": smtp_url, "templates": templates}
    given = {settings.variable(field): str(value) for field, value in flags.items() if value is not None}
    environment = {**os.environ, **given}
    environment.pop("SERVICE_ROLE", None)
    chosen = settings.load(environment)
    data = data.expanduser().resolve()
    with folder.claim(data, say) as lock:
        plan = make_plan(data, chosen, environment, workers)
        asyncio.run(Up(plan, lock).run())


def say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal is gone: what was said there is in the logs too
        print(line, file=sys.stderr, flush=True)


def make_plan(data: Path, chosen: Settings, environment: Mapping[str, str], workers: int) -> Plan:
    """Raises ConfigurationError for what can be told before the start: a taken port, a missing folder, a bad URL."""
    if chosen.smtp_url:
        smtp.server_of(chosen.smtp_url, timeout=chosen.smtp_timeout, ca_file=chosen.smtp_ca_file)
    port = claim_port(chosen.host, chosen.port)
    templates = find_templates(data, environment.get("MAILBOAT_TEMPLATES"))
    token = chosen.admin_token or folder.admin_token(data)
    own = {
        "MAILBOAT_HOST": chosen.host,
        "MAILBOAT_PORT": str(port),
        "MAILBOAT_TEMPLATES": str(templates),
        "MAILBOAT_ADMIN_TOKEN": token,
        "MAILBOAT_SEALING_KEY": chosen.sealing_key or folder.sealing_key(data),
        "MAILBOAT_DASHBOARD": "open",
        "MAILBOAT_DIST": str(data / "dist"),
        "MAILBOAT_METRICS_PORT": "0",  # one port cannot serve every part; the API has /metrics on its own
        "MAILBOAT_CLIENT_FILE": str((data / "client.json").resolve()),
    }
    return Plan(
        data=data,
        host=chosen.host,
        port=port,
        templates=templates,
        workers=workers,
        drain_seconds=chosen.drain_seconds,
        admin_token=token,
        environment={**environment, **own},
    )


def claim_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises ConfigurationError when one cannot listen there."""
    try:
        family, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        with socket.create_server(address[:2], family=family) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigurationError(
            f"Cannot listen on {host} port {port}: {reason}. Choose another --port or --host."
        ) from None


def find_templates(data: Path, asked: str | None) -> Path:
    """The folder asked for, else `templates` here, else samples in the data folder, copied there once."""
    if asked is not None:
        if not Path(asked).is_dir():
            raise ConfigurationError(f"--templates {asked}: there is no such folder.")
        return Path(asked).resolve()
    if Path("templates").is_dir():
        return Path("templates").resolve()
    place = data / "templates"
    if not place.exists():
        shutil.copytree(shipped_templates(), place)
    return place


def shipped_templates() -> Path:
    """The samples: inside the installed package, or at the top of a source tree."""
    package = Path(mailboat.__file__).parent
    found = next((place for place in (package / "templates", package.parents[1] / "templates") if place.is_dir()), None)
    if found is None:
        raise ConfigurationError("This installation has no sample templates: name a folder with --templates.")
    return found


class Up:
    """One run, from the first server to the last."""

    def __init__(self, plan: Plan, lock: int) -> None:
        self._plan, self._lock = plan, lock
        self._environment = dict(plan.environment)
        self._stopping = False

    async def run(self) -> None:
        """Until a signal asks to stop. Raises ConfigurationError or PartFailed when a part does not start."""
        (self._plan.data / "logs").mkdir(mode=0o700, exist_ok=True)
        supervisor = Supervisor(self._plan.data / "logs", say, (self._lock,))
        self._on_signals(supervisor)
        try:
            await self._start(supervisor)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("stopping …")
        except PartFailed as failure:
            _explain(failure)
        finally:
            self._stopping = True
            await supervisor.stop()
            folder.remove_sockets(self._plan.data)

    def _on_signals(self, supervisor: Supervisor) -> None:
        """The first signal stops in order, one after it at once: not its echo, since `timeout` and `make` send two."""
        main, loop, impatient = asyncio.current_task(), asyncio.get_running_loop(), asyncio.Event()
        assert main is not None

        def stop() -> None:
            if not self._stopping:
                self._stopping = True
                loop.call_later(ECHO_SECONDS, impatient.set)
                main.cancel()
            elif impatient.is_set():
                supervisor.kill()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop)

    async def _start(self, supervisor: Supervisor) -> None:
        await self._start_servers(supervisor)
        say("bringing the database up to date …")
        await supervisor.run(self._role("migrate"))
        say("starting the API, the worker and the watcher …")
        await supervisor.start(self._role("watcher"))
        await supervisor.start(*(self._worker(number) for number in range(1, self._plan.workers + 1)))
        await supervisor.start(self._api())
        plan = self._plan
        credentials = await asyncio.to_thread(first.ensure, plan.data, plan.url, plan.admin_token)
        supervisor.confirm()
        print(f"Send a mail:\n\n{first_mail.curl(credentials, first_mail.example(plan.templates))}\n")
        print(f"{_reading(plan)}\n\nready", flush=True)

    async def _start_servers(self, supervisor: Supervisor) -> None:
        """Those of our own for which the environment names none."""
        data = self._plan.data
        own_postgres, own_valkey = (not self._environment.get(name) for name in ("DATABASE_URL", "REDIS_URL"))
        owner = postgres.owner(data / "postgres") if own_postgres else None
        sockets = folder.sockets(data, owner)
        if own_postgres:
            await postgres.start(supervisor, say, data / "postgres", sockets, owner)
            self._environment["DATABASE_URL"] = postgres.dsn(sockets)
        if own_valkey:
            say("starting Valkey …")
            await supervisor.start(valkey.part(data / "valkey", sockets))
            self._environment["REDIS_URL"] = valkey.url(sockets)

    def _role(self, role: str, name: str = "", **environment: str) -> Part:
        return Part(
            name=name or role,
            argv=(sys.executable, "-P", "-m", "mailboat", role),
            environment={**self._environment, **environment},
            stop_seconds=self._plan.drain_seconds + 10.0,
            echo=logs.role,
        )

    def _worker(self, number: int) -> Part:
        """A slot keeps its name over restarts, so that its mail goes on at once; no other machine has the same."""
        place = hashlib.sha256(f"{socket.gethostname()}:{self._plan.data}".encode()).hexdigest()[:8]
        return self._role("worker", f"worker-{number}", MAILBOAT_WORKER_NAME=f"up-{place}-{number}")

    def _api(self) -> Part:
        ready = partial(answers, self._plan.reachable, self._plan.port, "/readyz")
        return dataclasses.replace(self._role("api"), ready=ready)


async def answers(host: str, port: int, path: str, _pid: int) -> bool:
    """Does a GET of this path get 200?"""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            status = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split()[1:2] == [b"200"]


def _explain(failure: PartFailed) -> NoReturn:
    """A part that calls its settings wrong makes ours wrong."""
    if failure.code == CONFIGURATION:
        raise ConfigurationError(str(failure)) from None
    raise failure


def _reading(plan: Plan) -> str:
    """Where the mail is to be read: in the inbox, unless it leaves the machine."""
    if plan.environment.get("MAILBOAT_SMTP_URL") or plan.environment.get("MAILBOAT_ROUTE"):
        return f"Mail leaves this machine. See what became of it: {plan.url}/ui/messages"
    return f"Read it: {plan.url}/ui/inbox"

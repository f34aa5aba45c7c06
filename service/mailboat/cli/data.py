"""`mailboat data`: the embedded PostgreSQL and Valkey for other machines, behind a password. For a trial's cluster.

The schema is brought up to date by the same process, since no job could run before there is a database.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import asyncpg

from mailboat.cli import folder, postgres, valkey
from mailboat.cli.supervisor import Part, Supervisor
from mailboat.errors import ConfigurationError
from mailboat.settings import Settings

HBA = "local all all trust\nhost all all all scram-sha-256\n"
CONNECTIONS = "200"  # of all pods together


def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Raises ConfigurationError, and PartFailed when a server does not start."""
    if not settings.data_password:
        raise ConfigurationError("MAILBOAT_DATA_PASSWORD is not set: the servers listen on the network, and need one.")
    data = Path(settings.data_folder).resolve()
    with folder.claim(data, say) as lock:
        asyncio.run(_serve(data, settings.data_password, lock))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _serve(data: Path, password: str, lock: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    (data / "logs").mkdir(mode=0o700, exist_ok=True)
    supervisor = Supervisor(data / "logs", say, (lock,))
    try:
        await _start(supervisor, data, password)
        say("ready")
        await stop.wait()
    finally:
        await supervisor.stop()
        folder.remove_sockets(data)


async def _start(supervisor: Supervisor, data: Path, password: str) -> None:
    """PostgreSQL, its schema, then Valkey: who sees Valkey listen knows that all is there."""
    cluster, owner = data / "postgres", postgres.owner(data / "postgres")
    sockets = folder.sockets(data, owner)
    rules = sockets / "pg_hba.conf"
    rules.write_text(HBA)
    network = {"listen_addresses": "*", "hba_file": str(rules), "max_connections": CONNECTIONS}
    await postgres.start(supervisor, say, cluster, sockets, owner, **network)
    connection = await asyncpg.connect(postgres.dsn(sockets))
    try:
        await connection.execute(
            await connection.fetchval("select format('alter role postgres password %L', $1::text)", password)
        )
    finally:
        await connection.close()
    migrate = Part(
        name="migrate",
        argv=(sys.executable, "-P", "-m", "mailboat", "migrate"),
        environment={**os.environ, "DATABASE_URL": postgres.dsn(sockets)},
    )
    await supervisor.run(migrate)
    await supervisor.start(valkey.part(data / "valkey", sockets, password))

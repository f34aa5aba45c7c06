"""`mailboat data`: two servers on the network, behind a password."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from mailboat.cli import data, valkey
from mailboat.errors import ConfigurationError
from mailboat.settings import Settings

PASSWORD = "letters4nd1gits"
STARTED = """
import sys
from mailboat.cli import postgres, roles, valkey
port, valkey.PORT = sys.argv[1:]
place, postgres.SETTINGS["port"] = postgres.dsn, port
postgres.dsn = lambda sockets: f"{place(sockets)}&port={port}"
roles.start("data", [])
"""  # as it is, but for the ports


@pytest.fixture
def servers(tmp_path: Path, free_port: Any, until: Any) -> Iterator[tuple[int, int]]:
    """The ports of PostgreSQL and Valkey."""
    ports = free_port(), free_port()
    own = {"MAILBOAT_DATA_FOLDER": str(tmp_path / "data"), "MAILBOAT_DATA_PASSWORD": PASSWORD}
    argv = [sys.executable, "-P", "-c", STARTED, *map(str, ports)]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env=os.environ | own, stderr=out, stdout=out)
    try:
        until(lambda: process.poll() is not None or "ready\n" in log.read_text(), "the servers")
        assert process.poll() is None, log.read_text()
        yield ports
    finally:
        process.terminate()
        assert process.wait(60) == 0


async def test_both_answer_to_the_password_alone(servers: tuple[int, int]) -> None:
    place = {"host": "127.0.0.1", "port": servers[0], "user": "postgres", "database": "postgres", "ssl": False}
    connection = await asyncpg.connect(**place, password=PASSWORD)
    assert await connection.fetchval("select count(*) from clients") == 0
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(**place, password="another")
    with_it, without = (Redis(port=servers[1], password=word) for word in (PASSWORD, None))
    assert await with_it.ping()
    with pytest.raises(AuthenticationError):
        await without.ping()
    for client in (with_it, without):
        await client.aclose()


def test_the_password_is_in_no_command_line(tmp_path: Path) -> None:
    part = valkey.part(tmp_path / "valkey", tmp_path, PASSWORD)
    assert not [word for word in part.argv if PASSWORD in word]


def test_without_a_password_nothing_is_started(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MAILBOAT_DATA_PASSWORD"):
        data.run(Settings(data_folder=str(tmp_path / "data")))
    assert not (tmp_path / "data").exists()

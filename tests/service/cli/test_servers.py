"""The embedded servers under the supervisor: data survives kill -9, damage is mended."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from mailboat.cli import folder, postgres, valkey
from mailboat.cli.supervisor import Supervisor

SECONDS = 60.0


@pytest.fixture
async def servers(open_path: Path) -> AsyncIterator[Supervisor]:
    (open_path / "logs").mkdir()
    kept = Supervisor(open_path / "logs", lambda _line: None)
    yield kept
    await kept.stop()
    folder.remove_sockets(open_path)


async def start_postgres(servers: Supervisor, data: Path) -> str:
    cluster = data / "postgres"
    owner = postgres.owner(cluster)
    postgres.admit(owner, cluster)
    sockets = folder.sockets(data, owner)
    await servers.run(postgres.initdb(cluster, owner))
    postgres.settle(cluster)
    await servers.start(postgres.part(cluster, sockets, owner))
    return postgres.dsn(sockets)


async def restart(servers: Supervisor, name: str) -> None:
    """Kill -9, and wait until the part serves again."""
    child = servers.children[name]
    before = child.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(SECONDS):
        while child.pid in (None, before) or not await child.part.ready(child.pid):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_postgres_keeps_what_was_committed_over_kill_9(servers: Supervisor, open_path: Path) -> None:
    dsn = await start_postgres(servers, open_path)
    connection = await asyncpg.connect(dsn)
    await connection.execute("create table kept (word text)")
    await connection.execute("insert into kept values ('ahoy')")
    assert await connection.fetchval("select lower('ÄÖ') = 'äö' and current_setting('fsync') = 'on'")
    await restart(servers, "postgres")
    connection.terminate()
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("select word from kept") == "ahoy"
    await connection.close()


async def test_postgres_starts_on_a_volume_into_which_kubernetes_has_let_the_pods_group(
    servers: Supervisor, open_path: Path
) -> None:
    dsn = await start_postgres(servers, open_path)
    part = servers.children["postgres"].part
    await servers.stop()
    cluster = open_path / "postgres"
    for path in (cluster, *cluster.rglob("*")):
        path.chmod(path.stat().st_mode | (0o2070 if path.is_dir() else 0o060))
    again = Supervisor(open_path / "logs", lambda _line: None)
    try:
        await again.start(part)
        await (await asyncpg.connect(dsn)).close()
    finally:
        await again.stop()


async def test_a_pid_file_left_by_a_killed_postgres_does_not_stop_the_next(
    servers: Supervisor, open_path: Path
) -> None:
    """The process id in it belongs to another process of the same user by now."""
    dsn = await start_postgres(servers, open_path)
    left = (open_path / "postgres" / "postmaster.pid").read_text().split("\n")
    child = servers.children["postgres"]
    await child.stop()
    user, _ = child.part.owner or (None, None)
    other = await asyncio.create_subprocess_exec("sleep", "600", user=user)
    (open_path / "postgres" / "postmaster.pid").write_text("\n".join([str(other.pid), *left[1:]]))
    again = Supervisor(open_path / "logs", lambda _line: None)
    try:
        await again.start(child.part)
        await (await asyncpg.connect(dsn)).close()
    finally:
        await again.stop()
        other.kill()
        await other.wait()


async def test_valkey_keeps_its_data_over_kill_9(servers: Supervisor, open_path: Path) -> None:
    sockets = folder.sockets(open_path, None)
    await servers.start(valkey.part(open_path / "valkey", sockets))
    client = Redis.from_url(valkey.url(sockets))
    await client.set("word", "ahoy")
    await client.config_set("appendfsync", "always")
    await client.set("other", "aloha")
    await restart(servers, "valkey")
    assert [await client.get("word"), await client.get("other")] == [b"ahoy", b"aloha"]
    await client.aclose()


async def test_valkey_starts_empty_when_its_file_is_damaged_and_the_file_is_kept(
    servers: Supervisor, open_path: Path
) -> None:
    sockets = folder.sockets(open_path, None)
    damaged = open_path / "valkey" / valkey.APPEND_ONLY
    damaged.mkdir(parents=True)
    (damaged / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    (damaged / "appendonly.aof.1.incr.aof").write_text("no command\r\n" * 9)
    await servers.start(valkey.part(open_path / "valkey", sockets))
    client = Redis.from_url(valkey.url(sockets))
    assert await client.dbsize() == 0
    await client.aclose()
    kept = damaged.with_name(f"{valkey.APPEND_ONLY}.damaged")
    assert (kept / "appendonly.aof.1.incr.aof").read_text().startswith("no command")


async def test_a_cluster_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("9\n")
    with pytest.raises(postgres.ConfigurationError, match="was made by PostgreSQL 9; here are"):
        postgres.part(tmp_path, tmp_path, None)

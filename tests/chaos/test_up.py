"""`mailboat up` under load: kill -9 of each part and of the supervisor; the next `up` on the same folder goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.chaos.harness import Load, Mailbox, at_length, write_templates
from tests.conftest import free_port, until

SESSIONS = 20  # of a worker with the SMTP server
PARTS = ("mailboat api", "mailboat worker", "mailboat watcher", "valkey-server", "bin/postgres")


class Up:
    """One `mailboat up`, in a process group of its own."""

    def __init__(self, data: Path, port: int, smtp: int) -> None:
        words = ["up", "--data", str(data), "--port", str(port), "--smtp", f"smtp://127.0.0.1:{smtp}?tls=none"]
        words += ["--templates", str(data.with_name("templates"))]
        own = {n: v for n, v in os.environ.items() if "MAILBOAT" not in n and n not in ("DATABASE_URL", "REDIS_URL")}
        self.log = data.with_name("up.log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mailboat", *words], stdout=log, stderr=log, env=own
            )
        self._said = self.log.read_text().count("\nready\n")

    def until_ready(self) -> None:
        until(lambda: self.log.read_text().count("\nready\n") > self._said, f"ready: {self.log.read_text()}")

    def part(self, words: str) -> psutil.Process | None:
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if words in " ".join(child.cmdline()):
                    return child
        return None

    def kill_part(self, words: str) -> None:
        part = until(lambda: self.part(words), words)
        part.kill()
        until(lambda: (other := self.part(words)) is not None and other.pid != part.pid, f"{words} again")


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter."""
    with tempfile.TemporaryDirectory(prefix="mailboat-up-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        write_templates(Path(folder, "templates"))
        yield Path(folder) / "data"


@at_length
async def test_kill_9_of_each_part_and_of_all_loses_nothing_and_the_next_up_goes_on(data: Path) -> None:
    mailbox, port = Mailbox(), free_port()
    await mailbox.listen()
    up = Up(data, port, mailbox.port)
    try:
        await asyncio.to_thread(up.until_ready)
        client = json.loads((data / "client.json").read_text())
        headers = {"X-Api-Key": client["api_key"], "X-Api-Secret": client["api_secret"]}
        async with Load([port], headers, 100.0, callers=8).flowing() as load:
            for words in PARTS:
                await load.until_accepted(60)
                await asyncio.to_thread(up.kill_part, words)
            await load.until_accepted(60)
            up.process.kill()
            up.process.wait()
            await asyncio.to_thread(until, lambda: not _others(data), "the parts to follow")
            up = Up(data, port, mailbox.port)
            await asyncio.to_thread(up.until_ready)
            await load.until_accepted(60)
        await asyncio.to_thread(until, lambda: all(mailbox.taken[i] for i in load.accepted), "every mail")
        twice = sum(mailbox.taken[i] - 1 for i in load.accepted)
        print(f"accepted {len(load.accepted)}, lost 0, duplicates {twice}, {dict(load.statuses)}")
        assert not load.surprises
        # The supervisor's death costs nothing: Postgres waits for the worker. Those of the kills before it may.
        assert twice <= SESSIONS
    finally:
        up.process.terminate()
        await asyncio.to_thread(up.process.wait, 60)
        print(up.log.read_text())
        await mailbox.shut()


def _others(data: Path) -> list[int]:
    """What still runs on this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(data) in " ".join(process.cmdline()):
                found.append(process.pid)
    return found

"""Rollback: one command, kept until the source changes; accepted messages keep their revision."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from mailboat.domain.revision import Revision, Sources, revise
from mailboat.errors import MailboatError
from mailboat.registry import history
from mailboat.registry.catalog import FOLDER, RESOURCE, Catalog
from mailboat.registry.folder import Folder

Volume = Callable[[dict[str, str | bytes]], Folder]


@pytest_asyncio.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=2)
    yield pool
    await pool.close()


def revision(text: str) -> Revision:
    return revise("mail", Sources(engine="jinja", entry="index.html.j2", files={"index.html.j2": text}))


async def live(pool: asyncpg.Pool, folder: Folder, namespace: str = "default") -> str:
    """The text of the entry that a new process would send with."""
    found = await Catalog(folder, pool).resolve(namespace, "mail")
    assert found is not None
    return next(iter(found.sources.files.values()))


async def back(pool: asyncpg.Pool, to: str | None = None) -> None:
    await history.roll_back(pool, "default", "mail", to, "test")


@pytest.mark.parametrize("origin", [FOLDER, RESOURCE])
async def test_going_back_goes_further_back_each_time(origin: str, pool: asyncpg.Pool, volume: Volume) -> None:
    folder, texts = volume({}), ["A", "B", "C"]
    for text in texts:
        await Catalog(folder, pool).publish("default", revision(text), origin)
    seen = [await live(pool, folder)]
    for _ in range(2):
        await back(pool)
        seen.append(await live(pool, folder))
    assert seen == ["C", "B", "A"]
    with pytest.raises(MailboatError, match="no revision before"):
        await back(pool)
    await back(pool, revision("C").digest[:10])
    assert await live(pool, folder) == "C"


@pytest.mark.parametrize("origin", [FOLDER, RESOURCE])
async def test_what_was_rolled_back_from_stays_away_until_the_source_changes(
    origin: str, pool: asyncpg.Pool, volume: Volume
) -> None:
    folder = volume({})
    catalog = Catalog(folder, pool)
    for text in ("good", "bad"):
        await catalog.publish("default", revision(text), origin)
    await back(pool)
    assert not await catalog.publish("default", revision("bad"), origin)
    assert await live(pool, folder) == "good"
    assert await catalog.publish("default", revision("better"), origin)
    assert await live(pool, folder) == "better"
    assert await catalog.publish("default", revision("bad"), origin)  # somebody means it now


async def test_a_rollback_wins_over_the_source_volume_until_a_file_changes(pool: asyncpg.Pool, volume: Volume) -> None:
    for text in ("good", "bad"):
        folder = volume({"mail.html.j2": text})
        loaded = folder.load("mail")
        assert loaded is not None
        await Catalog(folder, pool).publish("default", loaded[0], FOLDER)
    await back(pool)
    assert await live(pool, folder) == "good"
    assert await live(pool, folder, "elsewhere") == "good"
    volume({"mail.html.j2": "mended"})
    assert await live(pool, folder) == "mended"


async def test_history_says_what_was_when_and_what_is(pool: asyncpg.Pool, volume: Volume) -> None:
    for text in ("A", "B"):
        await Catalog(volume({}), pool).publish("default", revision(text), FOLDER)
    await back(pool)
    entries = await history.of(pool, "default", "mail")
    digests = {revision(text).digest: text for text in "AB"}
    assert [(digests[each.digest], each.live) for each in entries] == [("A", True), ("B", False), ("A", False)]
    (audit,) = await pool.fetch("select actor, subject from audit")
    assert tuple(audit) == ("test", "default/mail")


@pytest.mark.parametrize(
    ("to", "message"), [("ffffffffff", "no revision begins"), ("ff", "at least 6"), ("%%%%%%%", "no revision begins")]
)
async def test_a_revision_that_is_none_is_said_to_be(to: str, message: str, pool: asyncpg.Pool, volume: Volume) -> None:
    await Catalog(volume({}), pool).publish("default", revision("A"), FOLDER)
    with pytest.raises(MailboatError, match=message):
        await back(pool, to)
    with pytest.raises(MailboatError, match="There is no template 'nope'"):
        await history.roll_back(pool, "default", "nope", None, "test")


async def test_what_mail_was_accepted_with_is_in_the_history_though_no_watcher_saw_it(
    pool: asyncpg.Pool, volume: Volume
) -> None:
    folder = volume({"mail.html.j2": "first"})
    found = await Catalog(folder, pool).resolve("default", "mail")
    assert found is not None
    await Catalog(folder, pool).publish("default", revision("second"), FOLDER)
    for _ in range(2):
        await Catalog(folder, pool).resolve("default", "mail")
    assert [each.digest for each in await history.of(pool, "default", "mail")] == [
        revision("second").digest,
        found.digest,
    ]
    await back(pool, found.digest[:8])
    assert await live(pool, volume({})) == "first"


async def test_history_does_not_grow_without_end(pool: asyncpg.Pool, volume: Volume) -> None:
    catalog = Catalog(volume({}), pool)
    for number in range(110):
        await catalog.publish("default", revision(str(number)), FOLDER)
    assert len(await history.of(pool, "default", "mail")) == 100


async def test_it_is_one_command(dsn: str, pool: asyncpg.Pool, volume: Volume, tmp_path: Path) -> None:
    folder = volume({})
    for text in ("A", "B"):
        await Catalog(folder, pool).publish("default", revision(text), FOLDER)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "mailboat", "template", *words]
        environment = {**os.environ, "DATABASE_URL": dsn}
        return subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60)

    done = run("rollback", "mail")
    assert done.stdout.startswith(f"mail is revision {revision('A').digest[:12]} again"), done.stderr
    assert await live(pool, folder) == "A"
    shown = run("history", "mail").stdout.splitlines()
    assert len(shown) == 4
    assert shown[1].startswith(revision("A").digest[:12])
    assert shown[1].endswith("live")
    told = json.loads(run("history", "mail", "--output", "json").stdout)
    assert (told[0]["revision"], told[0]["live"]) == (revision("A").digest[:12], True)
    assert run("rollback", "nope").returncode == 1

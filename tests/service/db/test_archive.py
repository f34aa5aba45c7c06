"""Old months leave the tables only when they are in files, wholly."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from mailboat import cli
from mailboat.db import archive, partitions
from mailboat.db.states import State
from mailboat.domain import identifier
from mailboat.errors import MailboatError

MARCH = date(2021, 3, 1)
FILE = b"an invoice"


def silent(_: int) -> None:
    """Nobody watches."""


def lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


@pytest.fixture
async def put(connection: asyncpg.Connection) -> Callable[..., Any]:
    """await put(month, state, attachments): a message in the middle of that month of 2021; its id."""

    async def put(month: int = 3, state: State = State.SENT, attachments: str | None = None) -> UUID:
        await partitions.ensure(connection, date(2021, month, 1))
        number = identifier.at(
            int(datetime(2021, month, 15, tzinfo=UTC).timestamp() * 1000), identifier.new().bytes[6:]
        )
        await connection.execute(
            """insert into messages (id, client_id, envelope, data, content, attachments, traceparent)
               values ($1, 1, '{"to": []}', $3, $4, $2, '')""",
            number,
            attachments,
            '{"order":\n "A-1",\r\n "words": "two\\nlines \\u2028 \\u0000"}',
            json.dumps({"subject": "Grüße"}),
        )
        await connection.execute(
            """insert into queue (id, client_id, lane, state, error, updated_at)
               values ($1, 1, 0, $2, 'x', clock_timestamp() - interval '1 s')""",
            number,
            state,
        )
        await connection.execute(
            "insert into attempts (message_id, number, outcome, detail) values ($1, 1, 'sent', '250 OK')", number
        )
        return number

    return put


async def only(connection: asyncpg.Connection) -> archive.Month:
    (month,) = [month for month in await archive.months(connection, date(2021, 4, 20)) if month.messages]
    return month


async def count(connection: asyncpg.Connection) -> list[int]:
    return [await connection.fetchval(f"select count(*) from {table}") for table in ("messages", "queue", "attempts")]


async def test_a_month_is_written_line_by_line_and_then_dropped(connection, put, tmp_path) -> None:
    ids = sorted([await put(state=state) for state in (State.SENT, State.DEAD, State.HELD, State.CANCELLED)])
    kept = await put(month=4)
    written = await archive.write(connection, await only(connection), tmp_path, silent)
    assert [path.name for path in written.paths] == ["messages-2021-03.jsonl.gz"]
    found = lines(written.paths[0])
    assert [UUID(line["id"]) for line in found] == ids
    assert {line["state"] for line in found} == {"sent", "dead", "held", "cancelled"}
    assert found[0]["data"] == {"order": "A-1", "words": "two\nlines \u2028 \0"}
    assert found[0]["content"] == {"subject": "Grüße"}
    assert [(one["number"], one["detail"]) for one in found[0]["attempts"]] == [(1, "250 OK")]
    assert (found[0]["lane"], found[0]["events"]) == ("high", [])
    await archive.drop(connection, written)
    assert await count(connection) == [1, 1, 1]
    assert await connection.fetchval("select id from messages") == kept
    assert not [month for month in await archive.months(connection, date(2021, 4, 20)) if month.first == MARCH]


async def test_what_messages_carry_is_written_once(connection, put, tmp_path) -> None:
    digest = hashlib.sha256(FILE)
    about = json.dumps(
        [{"filename": "a.pdf", "content_type": "application/pdf", "digest": digest.hexdigest(), "size": 10}]
    )
    await connection.execute("insert into attachments (digest, body) values ($1, $2)", digest.digest(), FILE)
    await connection.execute("insert into attachments (digest, body) values ('other', 'x')")
    for _ in range(2):
        await put(attachments=about)
    written = await archive.write(connection, await only(connection), tmp_path, silent)
    assert lines(written.paths[1]) == [{"digest": digest.hexdigest(), "content": base64.b64encode(FILE).decode()}]
    assert lines(written.paths[0])[1]["attachments"] == json.loads(about)


async def test_nobody_else_may_read_the_files(connection, put, tmp_path) -> None:
    await put()
    written = await archive.write(connection, await only(connection), tmp_path / "new", silent)
    assert [path.stat().st_mode & 0o777 for path in (written.paths[0], tmp_path / "new")] == [0o600, 0o700]


CHANGES = {
    "a replay": "update queue set state = 1, updated_at = now()",
    "a replay that has ended": "update queue set state = 3, updated_at = now()",
    "a new message": "",
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_month_that_changed_meanwhile_stays(connection, put, tmp_path, name) -> None:
    await put()
    written = await archive.write(connection, await only(connection), tmp_path, silent)
    if CHANGES[name]:
        await connection.execute(CHANGES[name])
    else:
        await put()
    before = await count(connection)
    with pytest.raises(archive.Changed, match="2021-03"):
        await archive.drop(connection, written)
    assert await count(connection) == before


async def test_an_interrupted_run_is_begun_again(connection, put, tmp_path) -> None:
    await put()
    month = await only(connection)
    (tmp_path / "messages-2021-03.jsonl.gz.part").write_bytes(b"half of")
    await archive.write(connection, month, tmp_path, silent)  # and the process dies before it drops
    await put()
    written = await archive.write(connection, month, tmp_path, silent)
    await archive.drop(connection, written)
    assert len(lines(written.paths[0])) == 2
    assert await count(connection) == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["messages-2021-03.jsonl.gz"]


async def test_a_file_that_does_not_hold_what_was_written_keeps_the_month(
    connection, put, tmp_path, monkeypatch
) -> None:
    await put()
    monkeypatch.setattr(gzip.GzipFile, "write", lambda *_: 0)  # a disk that forgets
    with pytest.raises(MailboatError, match="look at the disk"):
        await archive.write(connection, await only(connection), tmp_path, silent)
    assert await count(connection) == [1, 1, 1]
    assert not (tmp_path / "messages-2021-03.jsonl.gz").exists()


async def test_a_folder_that_cannot_be_written_keeps_the_month(connection, put, tmp_path) -> None:
    await put()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        await archive.write(connection, await only(connection), tmp_path / "file", silent)
    assert await count(connection) == [1, 1, 1]


@pytest.fixture
def run(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """run(words): exit code and JSON of `mailboat archive`."""
    monkeypatch.setenv("DATABASE_URL", dsn)

    def run(*words: str) -> tuple[int, Any]:
        def command() -> int:
            with pytest.raises(SystemExit) as ended:
                cli.main(["archive", *words, "--output", "json"])
            return int(ended.value.code or 0)

        capsys.readouterr()
        with ThreadPoolExecutor(1) as thread:  # the test has an event loop of its own
            code = thread.submit(command).result()
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    return run


async def test_the_command_looks_first_then_archives_and_leaves_what_waits(connection, put, tmp_path, run) -> None:
    await put(month=3)
    await put(month=5, state=State.QUEUED)
    code, rows = run("--dry-run", "--older-than", "400d")
    found = {row["month"]: row["outcome"] for row in rows if row["messages"]}
    assert (code, found) == (
        0,
        {"2021-03": "would be archived", "2021-05": "left: 1 have yet to be sent"},
    )
    assert run("--to", str(tmp_path), "--keep")[0] == 1
    assert await count(connection) == [2, 2, 2]
    code, rows = run("--to", str(tmp_path))
    assert code == 1
    assert {row["month"]: row["outcome"].partition(":")[0] for row in rows if row["messages"]} == {
        "2021-03": "archived",
        "2021-05": "left",
    }
    assert await count(connection) == [1, 1, 1]
    await connection.execute("update queue set state = 3")
    assert run("--to", str(tmp_path))[0] == 0
    assert await count(connection) == [0, 0, 0]
    assert run("--to", str(tmp_path)) == (0, [])


def test_a_folder_has_to_be_named(run) -> None:
    assert run() == (2, None)

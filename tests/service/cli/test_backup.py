"""The whole installation in one file, and back: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import contextlib
import json
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from mailboat.db.states import State
from mailboat.declare import seal

SENT, WAITING, LATER = State.SENT, State.QUEUED, State.SCHEDULED


@pytest.fixture
def at(mailboat: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, Any, str]]:
    """at(dsn, *arguments): exit code, decoded stdout and stderr of a command on this database."""
    monkeypatch.chdir(tmp_path)

    def call(dsn: str, *arguments: object) -> tuple[int, Any, str]:
        monkeypatch.setenv("DATABASE_URL", dsn)
        status, out, err = mailboat(*arguments, "--output", "json")
        return status, json.loads(out or "null"), err

    return call


@pytest.fixture
def empty(database: Any) -> Iterator[str]:
    """A database with nothing in it."""
    with database(template="template1") as dsn:
        yield dsn


@pytest.fixture
def fetch(aside: Any) -> Callable[..., list[Any]]:
    """fetch(dsn, sql, *values): the rows of any database."""

    async def fetched(dsn: str, sql: str, values: tuple[Any, ...]) -> list[Any]:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetch(sql, *values)
        finally:
            await connection.close()

    return lambda dsn, sql, *values: aside.run(fetched(dsn, sql, values))


@pytest.fixture
def mails(put: Any, query: Any) -> dict[State, UUID]:
    """One that was sent, one that is due, and one for tomorrow."""
    ids = {state: put(state=state) for state in (SENT, WAITING, LATER)}
    query("update queue set run_at = now() + interval '1 day' where state = $1", LATER)
    query(
        "insert into attempts (message_id, number, outcome, detail) values ($1, 1, 'sent', E'250\\tOK\\n')", ids[SENT]
    )
    return ids


def contents(place: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(place) as packed:
        return {name: packed.read(name) for name in packed.namelist() if name != "manifest.json"}


def states(rows: list[Any]) -> dict[UUID, int]:
    return {row["id"]: row["state"] for row in rows}


def test_after_a_restore_what_waited_goes_out_and_what_was_sent_does_not(
    at: Any, dsn: str, empty: str, mails: dict[State, UUID], fetch: Any, start_role: Any, settings_of: Any, until: Any
) -> None:
    status, written, err = at(dsn, "backup", "all.zip")
    assert (status, written["messages"]) == (0, 3)
    assert "The sealing key is not in it" in err
    assert stat.S_IMODE(Path("all.zip").stat().st_mode) == 0o600
    status, back, err = at(empty, "restore", "all.zip")
    assert (status, back["messages"], back["held"]) == (0, 3, 0), err
    assert at(empty, "backup", "again.zip")[0] == 0
    assert contents(Path("again.zip")) == contents(Path("all.zip"))
    start_role("worker", settings_of(database_url=empty))
    wanted = {mails[SENT]: SENT, mails[WAITING]: SENT, mails[LATER]: LATER}
    until(lambda: states(fetch(empty, "select id, state from queue")) == wanted, "the mail that waited")
    assert [row["message_id"] for row in fetch(empty, "select message_id from inbox")] == [mails[WAITING]]


def test_what_was_due_can_be_held_since_it_may_have_been_sent_meanwhile(
    at: Any, dsn: str, empty: str, mails: dict[State, UUID], fetch: Any
) -> None:
    at(dsn, "backup", "all.zip")
    status, back, _ = at(empty, "restore", "all.zip", "--hold")
    assert (status, back["held"]) == (0, 1)
    rows = fetch(empty, "select id, state, error from queue")
    assert states(rows) == {mails[SENT]: SENT, mails[WAITING]: State.HELD, mails[LATER]: LATER}
    assert any("restored from a backup of" in (row["error"] or "") for row in rows)


def test_a_database_with_something_in_it_is_replaced_only_by_force(
    at: Any, dsn: str, mails: dict[State, UUID], put: Any, query: Any
) -> None:
    at(dsn, "backup", "all.zip")
    since = put()
    status, _, err = at(dsn, "restore", "all.zip")
    assert (status, "--force replaces all that is there" in err) == (1, True)
    assert len(query("select from messages")) == 4
    assert at(dsn, "restore", "all.zip", "--force")[0] == 0
    assert {row["id"] for row in query("select id from messages")} == set(mails.values()) != {since}


def test_numbers_go_on_behind_those_that_were_given_out(at: Any, dsn: str, empty: str, query: Any, fetch: Any) -> None:
    query("insert into workers (name) select 'gone' from generate_series(1, 7)")
    query("delete from workers")
    at(dsn, "backup", "all.zip")
    at(empty, "restore", "all.zip")
    assert fetch(empty, "insert into workers (name) values ('new') returning id")[0]["id"] == 8


def test_a_backup_of_an_older_schema_is_migrated(
    at: Any, empty: str, dsn: str, query: Any, fetch: Any, client: Any, aside: Any
) -> None:
    from mailboat.db import migrate

    aside.run(migrate.bring(empty, "0005"))
    fetch(empty, "insert into clients (name) values ('old')")
    fetch(empty, "insert into template_heads values ('default', 'receipt', 'd1', 'folder')")
    assert at(empty, "backup", "old.zip")[1]["schema"] == "0005"
    status, _, err = at(dsn, "restore", "old.zip", "--force")
    assert status == 0, err
    assert [row["name"] for row in query("select name from clients")] == ["old"]
    assert query("select version_num from alembic_version")[0][0] == migrate.head()
    assert len(query("select from template_history")) == 1


@pytest.mark.parametrize("harm", ["cut", "changed", "no zip", "newer"])
def test_a_file_that_is_not_whole_or_too_new_is_refused_before_anything_is_touched(
    at: Any, dsn: str, empty: str, harm: str, fetch: Any, client: Any
) -> None:
    at(dsn, "backup", "all.zip")
    place = Path("all.zip")
    raw = place.read_bytes()
    if harm == "newer":
        rewritten(place, schema="9999")
    elif harm == "changed":
        at_byte = raw.index(b"clients.copy") + 40
        place.write_bytes(raw[:at_byte] + bytes([raw[at_byte] ^ 255]) + raw[at_byte + 1 :])
    else:
        place.write_bytes({"cut": raw[:-40], "no zip": b"hello"}[harm])
    status, _, err = at(empty, "restore", "all.zip")
    assert status == 1
    assert ("restore it with that version" if harm == "newer" else "another") in err
    assert fetch(empty, "select from pg_class where relname = 'clients'") == []


def rewritten(place: Path, **changes: object) -> None:
    """The manifest says something else."""
    with zipfile.ZipFile(place) as packed:
        found = {name: packed.read(name) for name in packed.namelist()}
    found["manifest.json"] = json.dumps(json.loads(found["manifest.json"]) | changes).encode()
    with zipfile.ZipFile(place, "w") as packed:
        for name, content in found.items():
            packed.writestr(name, content)


def test_nothing_is_replaced_while_a_part_is_at_work(
    at: Any, dsn: str, client: Any, start_role: Any, settings_of: Any, until: Any, query: Any
) -> None:
    at(dsn, "backup", "all.zip")
    start_role("worker", settings_of())
    until(lambda: query("select from workers"), "the worker")
    status, _, err = at(dsn, "restore", "all.zip", "--force")
    assert (status, "use this database: mailboat-" in err, "Stop every part" in err) == (1, True, True)


def test_an_interrupted_restore_leaves_what_was_there(
    at: Any, dsn: str, client: Any, query: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(dsn, "backup", "all.zip")
    manifest = json.loads(zipfile.ZipFile("all.zip").read("manifest.json"))
    manifest["tables"]["audit"]["rows"] += 1
    rewritten(Path("all.zip"), tables=manifest["tables"])
    before = query("select * from clients")
    status, _, err = at(dsn, "restore", "all.zip", "--force")
    assert (status, "audit has" in err) == (1, True)
    assert query("select * from clients") == before


def test_secrets_that_no_key_opens_any_more_are_named_after_the_restore(
    at: Any, dsn: str, empty: str, query: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = seal.new_key()
    sealed = seal.Sealer(key).seal({"login": {"password": "p4ssword"}}, "EmailProvider shop/relay")
    query(
        "insert into providers (namespace, name, kind, spec, sealed) values ('shop', 'relay', 'smtp', '{}', $1)", sealed
    )
    at(dsn, "backup", "all.zip")
    assert not any(key.encode() in content or b"p4ssword" in content for content in contents(Path("all.zip")).values())
    status, _, err = at(empty, "restore", "all.zip")
    assert (status, "All is back" in err, "shop/relay" in err) == (1, True, True)
    monkeypatch.setenv("MAILBOAT_SEALING_KEY", key)
    assert at(empty, "restore", "all.zip", "--force")[0] == 0


def test_templates_go_along(at: Any, dsn: str, empty: str, tmp_path: Path) -> None:
    (tmp_path / "templates/parts").mkdir(parents=True)
    (tmp_path / "templates/parts/head.html.j2").write_text("Grüße")
    (tmp_path / "templates/.hidden").write_text("no")
    at(dsn, "backup", "all.zip")
    status, back, _ = at(empty, "restore", "all.zip", "--templates", "there")
    assert (status, back["templates"]) == (0, 1)
    assert [path.name for path in Path("there").rglob("*") if path.is_file()] == ["head.html.j2"]
    status, _, err = at(empty, "restore", "all.zip", "--templates", "there")
    assert (status, "there is not empty" in err) == (1, True)


def test_a_backup_replaces_no_file_and_leaves_none_in_part(at: Any, dsn: str, client: Any) -> None:
    Path("all.zip").write_text("precious")
    status, _, err = at(dsn, "backup", "all.zip")
    assert (status, "there already" in err) == (1, True)
    status, _, err = at(dsn, "backup", "no/folder/all.zip")
    assert (status, "cannot be written" in err) == (1, True)
    assert Path("all.zip").read_text() == "precious"
    assert not list(Path().glob("*.part"))


def test_a_data_folder_is_backed_up_while_it_runs_and_restored_into_another(mailboat: Any, run: Any) -> None:
    place = run.data.parent
    new = place / "restored"
    first, second = place / "first.zip", place / "second.zip"
    with contextlib.chdir(place):
        assert mailboat("backup", first, "--data", run.data)[0] == 0
        new.mkdir(mode=0o700)
        shutil.copy(run.data / "sealing-key", new)
        status, _, err = mailboat("restore", first, "--data", new)
        assert status == 0, err
        assert mailboat("backup", second, "--data", new, "--templates", new / "templates")[0] == 0
    assert contents(second) == contents(first)
    assert (new / "templates/receipt.html.j2").exists()
    assert not (new / "run").exists()
    status, _, err = mailboat("restore", first, "--data", run.data, "--force")
    assert (status, "Stop every part of Mailboat first" in err) == (1, True)


def test_without_a_database_the_remedy_is_named(at: Any, free_port: Any) -> None:
    status, _, err = at(f"postgresql://127.0.0.1:{free_port()}/x", "backup", "x.zip")
    assert (status, "name a data folder with --data" in err) == (1, True)

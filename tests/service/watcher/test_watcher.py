"""The watcher: what is saved becomes live, and what is broken leaves the last good revision live."""

from __future__ import annotations

import signal
from typing import Any

import pytest


@pytest.fixture
def head(query: Any) -> Any:
    """head(name): the digest that the name stands for in Postgres, or None."""

    def head(name: str = "receipt") -> str | None:
        rows = query("select digest from template_heads where name = $1", name)
        return rows[0][0] if rows else None

    return head


@pytest.fixture
def watcher(start_role: Any, settings: Any, until: Any, head: Any) -> Any:
    started = start_role("watcher", settings, ready=False)
    until(head)
    return started


def test_what_is_saved_is_live_at_once_and_what_is_removed_is_not(watcher, templates, head, until, query):
    first = head()
    (templates / "receipt.html.j2").write_text("<p>Changed</p>")
    until(lambda: head() != first)
    (templates / "invoice.html.j2").write_text("<p>New</p>")
    until(lambda: head("invoice"))
    (templates / "receipt.html.j2").unlink()
    until(lambda: head() is None)
    assert head("invoice")
    assert len(query("select from template_sources")) == 3


def test_a_broken_file_is_logged_with_its_place_and_the_last_good_revision_stays(watcher, templates, head, until):
    first = head()
    (templates / "receipt.html.j2").write_text("---\nsubject: [\n---\n")
    (line,) = until(lambda: watcher.lines("template is broken; the last good revision stays live"))
    assert line["fault"].startswith("receipt.html.j2:3:1: ")
    assert head() == first
    (templates / "other.html.j2").write_text("<p>fine</p>")
    until(lambda: head("other"))
    (templates / "receipt.html.j2").write_text("<p>Mended</p>")
    until(lambda: head() != first)
    assert len(watcher.lines("template is broken; the last good revision stays live")) == 1


def test_a_folder_that_goes_and_comes_again_is_followed(watcher, templates, head, until):
    (templates / "receipt.html.j2").unlink()
    templates.rmdir()
    until(lambda: head() is None)
    templates.mkdir()
    (templates / "again.html.j2").write_text("<p>Again</p>")
    first = until(lambda: head("again"))
    (templates / "again.html.j2").write_text("<p>Once more</p>")
    until(lambda: head("again") != first)
    assert watcher.process.poll() is None


def test_a_folder_that_a_link_leads_to_is_followed_when_the_link_is_swapped(
    start_role, settings_of, templates, tmp_path, head, until
):
    """As tools do that bring a whole folder up to date at one blow."""
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "receipt.html.j2").write_text("<p>Next</p>")
    current, swap = tmp_path / "current", tmp_path / "swap"
    current.symlink_to(templates)
    start_role("watcher", settings_of(templates=str(current)), ready=False)
    first = until(head)
    swap.symlink_to(tmp_path / "next")
    swap.replace(current)
    second = until(lambda: head() != first and head())
    (tmp_path / "next" / "receipt.html.j2").write_text("<p>And on</p>")
    until(lambda: head() != second)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(number, watcher):
    assert watcher.stop(number) == 0
    assert "Traceback" not in watcher.log.read_text()


def test_it_waits_for_postgres_and_publishes_then(own_postgres, settings_of, start_role, until, aside):
    import asyncpg

    own_postgres.stop()
    watcher = start_role("watcher", settings_of(database_url=own_postgres.dsn()), ready=False)
    until(lambda: watcher.lines("publishing waits for postgres"))
    own_postgres.start()
    until(lambda: watcher.lines("template published"))

    async def heads() -> int:
        connection = await asyncpg.connect(own_postgres.dsn())
        found: int = await connection.fetchval("select count(*) from template_heads")
        await connection.close()
        return found

    assert aside.run(heads()) == 1


def test_a_folder_that_is_not_there_is_said_in_one_line(settings_of, start_role, tmp_path):
    watcher = start_role("watcher", settings_of(templates=str(tmp_path / "nowhere")), ready=False)
    assert watcher.wait() == 2
    assert watcher.log.read_text().strip() == (
        f"mailboat: MAILBOAT_TEMPLATES='{tmp_path / 'nowhere'}': there is no such folder."
    )

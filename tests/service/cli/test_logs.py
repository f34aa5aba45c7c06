import json
from pathlib import Path

import pytest

from mailboat.cli import logs
from mailboat.cli.logs import Log


def append(log: Log, text: str) -> None:
    with log.open() as file:
        file.write(text.encode())


def test_only_complete_lines_are_read_and_each_once(tmp_path: Path) -> None:
    log = Log(tmp_path / "api.log")
    assert list(log.fresh()) == []
    append(log, "one\ntw")
    assert list(log.fresh()) == ["one"]
    append(log, "o\nthree\n")
    assert list(log.fresh()) == ["two", "three"]
    assert list(log.fresh()) == []


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    append(Log(tmp_path / "api.log"), "old\n")
    append(Log(tmp_path / "api.log"), "new\n")
    assert (tmp_path / "api.log").read_text() == "new\n"
    assert (tmp_path / "api.log.1").read_text() == "old\n"


def test_a_log_that_grew_too_large_starts_again_without_losing_a_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "api.log", largest=10)
    with log.open() as writer:  # a child keeps its file open all the time
        writer.write(b"0123456789\n")
        writer.flush()
        assert list(log.fresh()) == ["0123456789"]
        writer.write(b"next\n")
    assert list(log.fresh()) == ["next"]
    assert (tmp_path / "api.log").read_text() == "next\n"
    assert (tmp_path / "api.log.1").read_text() == "0123456789\n"


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"event": "slow", "level": "warning", "seconds": 3, "timestamp": "now"}, "slow seconds=3"),
        ({"event": "ready", "level": "info"}, None),
        ({"event": "lost\nline", "level": "error", "exception": "Traceback\nOSError: gone"}, "lost line OSError: gone"),
    ],
)
def test_records_of_a_role_are_told_in_one_line_from_warning_on(record: dict[str, object], line: str | None) -> None:
    assert logs.role(json.dumps(record)) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Traceback (most recent call last):", None),
        ('  File "main.py", line 1, in <module>', None),
        ("OSError: gone", "OSError: gone"),
        ("", None),
        ("[1]", "[1]"),
    ],
)
def test_words_are_told_and_of_a_traceback_the_last_line(text: str, line: str | None) -> None:
    assert logs.role(text) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2026-11-24 07:04:30.284 UTC [19569] LOG:  starting PostgreSQL 18.4", None),
        ("2026-11-24 07:04:30.284 UTC [19569] PANIC:  could not write", "could not write"),
        ("2026-11-24 07:04:30.284 UTC [19569] ERROR:  duplicate key", None),
        ("2026-11-24 07:04:30.284 UTC [19569] FATAL:  the database system is starting up", None),
    ],
)
def test_postgres_tells_what_concerns_the_server(text: str, line: str | None) -> None:
    assert logs.postgres(text) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("9:M 24 Nov 2026 07:04:30.338 * Ready to accept connections unix", None),
        ("9:M 24 Nov 2026 07:04:30.338 # Bad file format reading", "Bad file format reading"),
        ("9:M 24 Nov 2026 07:04:30.305 # WARNING Memory overcommit must be enabled!", None),
    ],
)
def test_valkey_tells_its_warnings_and_no_advice(text: str, line: str | None) -> None:
    assert logs.valkey(text) == line

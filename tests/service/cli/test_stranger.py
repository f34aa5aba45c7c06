"""What a stranger has to find out or mend in a minute, with commands alone. (Rotating a key: test_commands.py.)"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import until

from mailboat.cli import postgres

MAIL = ("send", "receipt", "--to", "ada@example.com", "--data", '{"order": 7, "name": "Ada"}', "--watch")


@pytest.fixture
def happen(run: Any) -> Callable[..., None]:
    """happen(sql, *values): something that no command does, in the database of the one that runs."""

    def happen(sql: str, *values: Any) -> None:
        async def act() -> None:
            connection = await asyncpg.connect(postgres.dsn((run.data / "run").resolve()))
            try:
                await connection.execute(sql, *values)
            finally:
                await connection.close()

        asyncio.run(act())

    return happen


def test_why_a_mail_bounced_is_two_commands_away(at: Any, happen: Any) -> None:
    sent = at(*MAIL)
    happen(
        """insert into events (provider, event_id, recipient, event, bounce, word, reason, message_id, client_id,
           provider_message_id, at, look_at) select 'inbox', $1::uuid::text, 'ada@example.com', 'bounced', 'hard',
           'bounce', '550 5.1.1 user unknown', id, client_id, '', now(), null from queue where id = $1""",
        sent["id"],
    )
    assert sent["id"] in [one["id"] for one in at("message", "list", "--status", "bounced")]
    found = at("message", "get", sent["id"])
    assert (found["status"], found["events"][-1]["reason"]) == ("bounced", "550 5.1.1 user unknown")
    assert "Ask the person for another address" in found["diagnosis"]


def test_yesterdays_dead_letters_are_replayed_and_no_others(at: Any, happen: Any) -> None:
    yesterday, now = at(*MAIL)["id"], at(*MAIL)["id"]
    today = datetime.now(UTC).date()
    for number, age in ((yesterday, "1 day"), (now, "0")):
        happen(
            f"update queue set state = 5, error = 'Timed out', updated_at = now() - interval '{age}' where id = $1",
            number,
        )
    before = {one["id"] for one in at("dlq", "list")}
    assert {yesterday, now} <= before
    at("dlq", "replay", "--since", today - timedelta(days=1), "--until", today)
    left = {one["id"] for one in at("dlq", "list")}
    assert before - left == {yesterday}
    at("dlq", "replay", now)


def test_the_provider_that_fails_is_named_with_its_reason(mailboat: Any, run: Any, happen: Any) -> None:
    happen("insert into providers (namespace, name, kind, spec) values ('shop', 'lost', 'smtp', '{}')")
    happen("insert into circuit_changes (provider, state, reason) values ('shop/lost', 'open', '5 timeouts in 60 s')")
    try:
        status, out, err = mailboat("provider", "list", "--data-dir", run.data)
    finally:
        happen("delete from providers where name = 'lost'")
    assert status == 0, err
    (line,) = [line for line in out.splitlines() if "shop/lost" in line]
    assert "open" in line
    assert "5 timeouts in 60 s" in line


def test_a_template_is_taken_back_to_what_it_was(mailboat: Any, run: Any, place: Path) -> None:
    file = place / "templates" / "notice.html.j2"

    def history() -> list[Any]:
        status, out, _ = mailboat("template", "history", "notice", "--data", run.data, "--output", "json")
        return json.loads(out) if status == 0 else []

    def live() -> str:
        return next((one["revision"] for one in history() if one["live"]), "")

    revisions = []
    for words in ("Good", "Bad"):
        before = live()
        file.write_text(f"---\nsubject: A notice\n---\n<p>{words}</p>\n")
        until(lambda before=before: live() != before, "the watcher")
        revisions.append(live())
    status, _, err = mailboat("template", "rollback", "notice", "--data", run.data)
    assert status == 0, err
    assert live() == revisions[0]
    file.unlink()

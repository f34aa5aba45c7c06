"""Templates that change under a running service: what each message is sent with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

NAMES = ("first", "second", "third", "fourth")


def test_an_accepted_message_keeps_its_revision_over_edits_and_a_rollback(
    start_role: Any, settings_of: Any, templates: Path, sink: Any, client: Any, until: Any, query: Any
) -> None:
    """No worker runs until every message is accepted, so each is rendered after all the changes."""
    settings = settings_of(smtp_url=sink.url)
    start_role("watcher", settings, ready=False)
    file = templates / "receipt.html.j2"
    with httpx.Client(base_url=start_role("api", settings).url, headers=client.headers, timeout=60) as api:

        def digest() -> str:
            """What new mail is sent with."""
            found: str = api.get("/v1/templates/receipt").json()["revision"]
            return found

        def head() -> str | None:
            rows = query("select digest from template_heads where name = 'receipt'")
            return rows[0][0] if rows else None

        def send(name: str) -> None:
            body = {"to": f"{name}@example.com", "template": "receipt", "data": {"order": name}}
            assert api.post("/v1/send", json=body).status_code == 202

        def save(text: str) -> str:
            """The new revision, once it is live everywhere."""
            before = digest()
            draft = templates.with_name("draft")
            draft.write_text(text)
            draft.replace(file)  # nobody reads half of it
            until(lambda: digest() != before)
            return str(until(lambda: head() == digest() and digest()))

        old = str(until(lambda: head() == digest() and digest()))
        send("first")
        save('---\nsubject: "Edited {{ order }}"\n---\n<p>Edited {{ order }}</p>\n')
        send("second")
        done = subprocess.run(
            [sys.executable, "-m", "mailboat", "template", "rollback", "receipt"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "DATABASE_URL": settings.database_url},
            cwd=templates.parent,
        )
        assert done.returncode == 0, done.stderr
        until(lambda: digest() == old)
        send("third")
        save('---\nsubject: "Again {{ order }}"\n---\n<p>Again {{ order }}</p>\n')
        send("fourth")
        file.unlink()
        kept = sorted(path.name for path in templates.iterdir())
        start_role("worker", settings)
        until(lambda: len(sink.taken) == len(NAMES))
    subjects = {taken.recipients[0].partition("@")[0]: taken.mail["Subject"] for taken in sink.taken}
    assert subjects == {
        "first": "Receipt first",
        "second": "Edited second",
        "third": "Receipt third",
        "fourth": "Again fourth",
    }
    assert sorted(path.name for path in templates.iterdir()) == kept == []  # nothing is ever written there

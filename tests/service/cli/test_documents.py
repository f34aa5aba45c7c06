"""Every command that the documents tell a reader to type is typed here, in one installation; or named with a reason."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
import httpx
import pytest
from tests.documents import FENCE, commands, named, pages

from mailboat.cli import examples, postgres
from mailboat.db.states import State
from mailboat.render import limits

# Pages whose commands another test runs, all of them.
ELSEWHERE = {
    "docs/migration": "tests/service/api/rest/test_migration.py",
    "docs/python-client.md": "tests/service/client/test_page.py",
    "docs/cli.md": "test_the_examples_of_the_command_line_do_what_they_say, below",
}

# What begins so is not typed here.
NOT_HERE = {
    "make run": "it is `mailboat up`, which test_up.py starts; .ci/setup has made the .venv of these tests",
    "make check": "it would run itself: .ci/run does",
    "make test": "it would run itself: .ci/run does",
    "make bench": "takes minutes and a rival; test_documents.py of tests/contract knows that the target exists",
    "make chaos": "takes minutes; tests/chaos has the same faults, in short",
    "helm install": "needs a cluster: tests/cluster/test_documents.py has one",
    "kubectl": "needs a cluster: tests/cluster/test_documents.py has one",
    'curl "$url/v1/send"': "needs a cluster: tests/cluster/test_chart.py sends with the Secret's key",
    "docker run": "needs a container engine: tests/cluster/test_image.py runs the image with this command",
    "mailboat simulate": "runs until Ctrl-C: tests/service/simulate starts each, tests/service/providers uses them",
    "MAILBOAT_SEALING_KEY=": "goes into the environment of every process: test_reseal.py goes the whole way",
    "MAILBOAT_DKIM_": "goes into the environment of workers: tests/service/providers signs with them",
}


def excused(line: str) -> str | None:
    return next((start for start in NOT_HERE if line.startswith(start)), None)


TYPED = [
    pytest.param(page, id=named(page))
    for page in pages()
    if not any(named(page).startswith(start) for start in ELSEWHERE)
    if any(not excused(line) for line in commands(page))
]


def test_every_fence_says_what_it_holds_and_every_exception_is_needed() -> None:
    bare = {named(page) for page in pages() for language, _ in FENCE.findall(page.read_text()) if not language}
    assert bare == set(), "Write ```sh before commands and ```text before anything else."
    told = [line for page in pages() if named(page) not in ELSEWHERE for line in commands(page)]
    assert {start for start in NOT_HERE if not any(line.startswith(start) for line in told)} == set()
    indented = {
        f"{named(page)}: {line}"
        for page in pages()
        for line in re.findall(
            r"^    (?:mailboat|curl|make|kubectl|helm) .*", FENCE.sub("", page.read_text()), re.MULTILINE
        )
    }
    assert indented == set(), "A command stands in a fence, or no test types it."


# --- one installation


MANIFESTS = """\
apiVersion: mailboat.dev/v1alpha1
kind: EmailClient
metadata: {name: storefront, namespace: shop}
spec: {senders: ["Shop <orders@example.com>"], credentials: {secretName: storefront-email}}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailProvider
metadata: {name: ses-eu, namespace: shop}
spec: {inbox: {}}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailProvider
metadata: {name: relay, namespace: shop}
spec: {inbox: {}}
"""
RECEIPT = "---\nsubject: Receipt {{ order }}\nexample: {order: A-1}\n---\n<p>Order {{ order }}</p>\n"
FILES = {
    "templates/receipt.html.j2": RECEIPT,
    "manifests/mail.yaml": MANIFESTS,
    "addresses.csv": "address,reason\ngone@example.com,bounce\n",
    "bounces.csv": "address,reason\ngone@example.com,bounce\n",
    "body.json": json.dumps({"RecordType": "Delivery", "MessageID": "1", "Recipient": "ada@example.com"}),
}


class Installation:
    """A `mailboat up` as the quick start has it, a folder to type in, and what placeholders stand for."""

    def __init__(self, folder: Path, run: Any) -> None:
        self.folder, self.run = folder, run
        self.environment = {name: value for name, value in os.environ.items() if "MAILBOAT" not in name}
        self.environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        for name in ("DATABASE_URL", "REDIS_URL", "SERVICE_ROLE"):
            self.environment.pop(name, None)

    def type(self, line: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def asked(self, line: str) -> Any:
        done = self.type(f"{line} --output json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def mail(self, state: State = State.SCHEDULED) -> str:
        """The id of a mail for tomorrow that is in this state."""
        known = self.run.client
        answer = httpx.post(
            f"{known['url']}/v1/send",
            headers={"X-Api-Key": known["api_key"], "X-Api-Secret": known["api_secret"]},
            json={
                "to": "ada@example.com",
                "subject": "Ahoy",
                "text": "Hello",
                "send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
            },
        )
        asyncio.run(self._set_state(answer.raise_for_status().json()["id"], state))
        return str(answer.json()["id"])

    async def _set_state(self, message_id: str, state: State) -> None:
        connection = await asyncpg.connect(postgres.dsn((self.run.data / "run").resolve()))
        await connection.execute("update queue set state = $2 where id = $1", message_id, state)
        await connection.close()

    def webhook(self) -> str:
        """The id of an endpoint that is there."""
        there = self.asked("mailboat webhook list") or [
            self.asked("mailboat webhook create https://hooks.example.com/mail")
        ]
        return str(there[0]["id"])

    def forget(self) -> None:
        """Take away what an earlier page has made."""
        for made in [*(self.folder / "templates").iterdir(), *(self.folder / "backups").iterdir()]:
            if made.name != "receipt.html.j2":
                made.unlink()

    def stands_for(self, line: str) -> str:
        """What the reader would write in place of ID and the like."""
        line = line.replace("--reason …", "--reason maintenance").replace("ID …", "ID").replace(examples.ID, "ID")
        for folder in ("/backups", "/archive"):
            line = line.replace(folder, f"{self.folder}{folder}")
        for start, make in self.placeholders.items():
            if line.startswith(start) and (found := re.search(r"\bID\b|mb_3kTq0Z|3f2a9c1d07be", line)):
                line = line.replace(found[0], make(self))
        return line

    placeholders: ClassVar[dict[str, Callable[[Installation], str]]] = {
        "mailboat message": lambda self: self.mail(),
        "mailboat dlq release": lambda self: self.mail(State.HELD),
        "mailboat dlq fail": lambda self: self.mail(State.HELD),
        "mailboat dlq": lambda self: self.mail(State.DEAD),
        "mailboat key revoke": lambda self: self.asked("mailboat key create shop/web")["key"],
        "mailboat template rollback": lambda self: self.asked("mailboat template history receipt")[-1]["revision"],
        "mailboat webhook": lambda self: self.webhook(),
    }


@pytest.fixture(scope="module")
def installation(up: Callable[..., Any], place: Path) -> Installation:
    folder = place / "documents"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in ("backups", "archive"):
        (folder / name).mkdir()
    (folder / "mails").symlink_to("templates")  # the guides' folder, which the server reads
    run = up("documents/data", "--port", "0", "--templates", str(folder / "templates"))
    run.until_ready()
    made = Installation(folder, run)
    assert made.type("mailboat apply -f manifests/").returncode == 0
    (folder / "templates/receipt.html.j2").write_text(RECEIPT + "<!-- again -->\n")
    return made


@pytest.mark.parametrize("page", TYPED)
def test_the_commands_of_a_page_do_what_they_say(installation: Installation, page: Path) -> None:
    installation.forget()
    for line in commands(page):
        if not excused(line):
            fresh = installation.folder.with_name("elsewhere") if "mailboat restore" in line else installation.folder
            fresh.mkdir(exist_ok=True)
            done = installation.type(installation.stands_for(line), fresh)
            while limits.TOO_SLOW_TO_COMPILE in done.stdout + done.stderr:  # the machine is busy with other things
                done = installation.type(line, fresh)
            assert done.returncode in EXIT.get(line.partition(" #")[0].strip(), {0}), (
                f"{line}\n{done.stdout}{done.stderr}"
            )
    for language, text in FENCE.findall(page.read_text()):
        if language == "python":
            python = subprocess.run(
                [sys.executable, "-c", text], cwd=installation.folder, capture_output=True, text=True
            )
            assert python.returncode == 0, python.stderr


EXIT = {"mailboat doctor": {0, 1}, "mailboat doctor --data data": {0, 1}, "mailboat doctor --output json": {0, 1}}

BEFORE = {  # what such a command needs
    "diff": ("apply", "-f", "manifests/"),
    "suppression get": ("suppression", "add", "ada@example.com"),
}
EXAMPLES_NOT_HERE = {
    "up": "runs until Ctrl-C: test_up.py",
    "template preview": "runs until Ctrl-C: test_template_preview.py",
    "simulate": "runs until Ctrl-C: tests/service/simulate",
    "bench": "sends 2,000 mails: test_commands.py sends 20",
    "restore": "is on the page of operations too",
}


def test_the_examples_of_the_command_line_do_what_they_say(
    installation: Installation, mailboat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = []
    installation.forget()
    monkeypatch.chdir(installation.folder)
    told = [(path, line) for path, lines in examples.EXAMPLES.items() for line in lines]
    for path, line in told:
        if path in EXAMPLES_NOT_HERE or path.split()[0] in EXAMPLES_NOT_HERE:
            continue
        if path in BEFORE:
            assert mailboat(*BEFORE[path])[0] == 0
        status, out, err = mailboat(*shlex.split(installation.stands_for(line))[1:])
        if status not in EXIT.get(line, {0}):
            faults.append(f"{line}: {status}\n{out}{err}")
    assert faults == []

"""The whole road on one machine: `mailboat up`, manifests, and a mail that leaves through the declared route."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

MANIFESTS = """\
apiVersion: mailboat.dev/v1alpha1
kind: EmailProvider
metadata: {{name: relay, namespace: shop}}
spec:
  smtp: {{host: 127.0.0.1, port: {port}, tls: none}}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailTemplate
metadata: {{name: greeting, namespace: shop}}
spec:
  subject: "Ahoy {{{{ name }}}}"
  source: "<p>{word}, {{{{ name }}}}</p>"
  example: {{name: Ada}}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailClient
metadata: {{name: storefront, namespace: shop}}
spec:
  suspended: {suspended}
  senders: ["Northwind <orders@shop.example.com>"]
  templates: [greeting]
  route: [relay]
  credentials: {{secretName: storefront-email}}
"""


class Machine:
    """A `mailboat up` on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        (folder / "templates").mkdir()
        words = ("DATABASE_URL", "REDIS_URL", "SERVICE_ROLE")
        self.environment = {n: v for n, v in os.environ.items() if n not in words and "MAILBOAT" not in n}
        self._errors = (folder / "err").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mailboat", "up", "--data", str(self.data), "--port", "0"],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout is not None
        assert any(line == "ready\n" for line in self.process.stdout), (folder / "err").read_text()

    def mailboat(self, *arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "mailboat", *map(str, arguments), "--data", str(self.data)],
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
        )

    def send(self) -> httpx.Response:
        secret = json.loads((self.data / "secrets/shop/storefront-email.json").read_text())
        return httpx.post(
            f"{secret['url']}/v1/send",
            headers={"X-Api-Key": secret["api-key"], "X-Api-Secret": secret["api-secret"]},
            json={"template": "greeting", "to": "ada@example.com", "data": {"name": "Ada"}},
        )

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)
        self._errors.close()


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="mailboat-up-", ignore_cleanup_errors=True) as folder:
        started = Machine(Path(folder))
        yield started
        started.close()


def test_what_is_applied_is_in_the_next_mail(machine: Machine, sink: Any, until: Any) -> None:
    def apply(word: str = "Hello", suspended: str = "false") -> subprocess.CompletedProcess[str]:
        text = MANIFESTS.format(port=sink.port, word=word, suspended=suspended)
        return machine.mailboat("apply", "-f", "-", text=text)

    done = apply()
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.send().status_code == 202
    until(lambda: len(sink.taken) == 1)
    assert sink.taken[0].mail["Subject"] == "Ahoy Ada"
    assert "Hello, Ada" in sink.taken[0].mail.get_body(("html",)).get_content()
    assert apply("Welcome").returncode == 0
    assert machine.send().status_code == 202
    until(lambda: len(sink.taken) == 2)
    assert "Welcome, Ada" in sink.taken[1].mail.get_body(("html",)).get_content()
    assert apply("{{ broken").returncode == 1
    assert machine.send().status_code == 202
    until(lambda: len(sink.taken) == 3)
    assert "Welcome, Ada" in sink.taken[2].mail.get_body(("html",)).get_content()
    assert apply("Welcome", "true").returncode == 0
    until(lambda: machine.send().status_code == 403)
    columns = machine.mailboat("get", "emp").stdout.splitlines()[1].split()
    assert columns[:5] == ["shop", "relay", "True", "smtp", "True"]

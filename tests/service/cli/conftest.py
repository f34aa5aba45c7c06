import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from mailboat import cli

TEMPLATE = """---
subject: "Receipt {{ order }}"
example: {order: A-1042, name: "Zoë O'Neill"}
---
<p>Thanks, {{ name }}!</p>
"""
CHOSEN = ("DATABASE_URL", "REDIS_URL", "SERVICE_ROLE")
SECONDS = 60


class Run:
    """A `mailboat up` that was started, with what it has said so far."""

    def __init__(self, data: Path, *flags: str, **environment: str) -> None:
        self.data = data
        own = {name: value for name, value in os.environ.items() if name not in CHOSEN and "MAILBOAT" not in name}
        self.errors = data.with_name(f"{data.name}.err")
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mailboat", "up", "--data", str(data), *flags],
                cwd=data.parent,
                env={**own, **environment},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.said: list[str] = []

    def until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            if line == "ready\n":
                return
        raise AssertionError(f"ended with exit code {self.process.wait()}:\n{self.errors.read_text()}")

    @property
    def curl(self) -> str:
        return next(line for line in self.said if line.startswith("curl "))

    @property
    def client(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "client.json").read_text())
        return found

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        assert self.process.stdout is not None
        self.said += self.process.stdout.read().splitlines()
        return self.process.wait(SECONDS)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        self.process.communicate(timeout=SECONDS)


def make_open() -> Iterator[Path]:
    """A folder outside pytest's own, which every start of pytest closes to other users, such as PostgreSQL's."""
    with tempfile.TemporaryDirectory(prefix="mailboat-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


open_path = pytest.fixture(make_open)
place_path = pytest.fixture(make_open, scope="session")


@pytest.fixture(scope="session")
def place(place_path: Path) -> Path:
    """A folder with a template in it, as a user would have it."""
    (place_path / "templates").mkdir()
    (place_path / "templates" / "receipt.html.j2").write_text(TEMPLATE)
    return place_path


@pytest.fixture(scope="session")
def up(place: Path) -> Iterator[Callable[..., Run]]:
    """Start `mailboat up` on a folder of this name; all of them are stopped in the end."""
    runs: list[Run] = []

    def start(name: str, *flags: str, environment: Mapping[str, str] | None = None) -> Run:
        runs.append(Run(place / name, *(flags or ("--port", "0")), **(environment or {})))
        return runs[-1]

    yield start
    for run in runs:
        run.close()


@pytest.fixture(scope="session")
def run(up: Callable[..., Run]) -> Run:
    """One that runs for every test that leaves it running."""
    started = up("data")
    started.until_ready()
    return started


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mailboat(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `mailboat` with these arguments: exit code, stdout, stderr."""
    for name in [*CHOSEN, *(name for name in os.environ if "MAILBOAT" in name)]:
        monkeypatch.delenv(name, raising=False)
    # Logs would go on to where this test's errors went, which is closed after it.
    monkeypatch.setattr(structlog, "configure", lambda **_: None)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return run


@pytest.fixture
def at(mailboat: Any, run: Any) -> Any:
    """`mailboat` with the data folder of the one that runs, its JSON decoded."""

    def call(*arguments: object) -> Any:
        status, out, err = mailboat(*arguments, "--data-dir", run.data, "--output", "json")
        assert status == 0, err
        return json.loads(out)

    return call

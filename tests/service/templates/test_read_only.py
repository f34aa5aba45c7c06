"""A source volume that is mounted read-only, as in a cluster: even root cannot write there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

REACT = "export const subject = 'Code';\nexport default ({ code = '1' }) => <p>Code {code}</p>;\n"


@pytest.fixture
def volume(templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The templates folder. Whoever is started as `sys.executable` sees it read-only; the test itself writes there."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare, to give a process mounts of its own")
    (templates / "sign-in.tsx").write_text(REACT)
    (templates / "dist").mkdir()
    folder = shlex.quote(str(templates))
    program = tmp_path / "python-with-a-read-only-volume"
    inside = f'mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && exec {sys.executable} "$@"'
    program.write_text(
        f'#!/bin/sh\nexec unshare {"-m" if os.getuid() == 0 else "-rm"} sh -c {shlex.quote(inside)} sh "$@"\n'
    )
    program.chmod(0o755)
    tried = f"import pathlib; pathlib.Path({str(templates / 'x')!r}).touch()"
    done = subprocess.run([program, "-c", tried], capture_output=True, text=True, check=False)
    if "Read-only file system" not in done.stderr:
        pytest.skip(f"this machine lets no test mount read-only: {done.stderr.strip()[-200:]}")
    assert not (templates / "x").exists()
    monkeypatch.setattr(sys, "executable", str(program))
    return templates


def listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_templates_are_listed_checked_and_rendered(volume: Path) -> None:
    def run(*words: str) -> str:
        command = [sys.executable, "-P", "-m", "mailboat", "template", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (volume / "receipt.html.j2").write_text("<p>Order {{ order or 'none' }}</p>")
    before = listing(volume)
    assert run("list", "--source", str(volume)) == "receipt\nsign-in\n"
    assert set(run("check", str(volume)).splitlines()) == {"receipt: ok", "sign-in: ok"}
    assert run("render", "sign-in", "--source", str(volume), "--format", "text") == "Code 1\n"
    assert listing(volume) == before


def test_a_service_sends_from_it_and_takes_its_changes(
    volume: Path, start_role: Any, settings_of: Any, sink: Any, client: Any, until: Any, query: Any
) -> None:
    """Its dist folder is read-only as well."""
    settings = settings_of(smtp_url=sink.url, dist=str(volume / "dist"))
    start_role("watcher", settings, ready=False)
    start_role("worker", settings)
    with httpx.Client(base_url=start_role("api", settings).url, headers=client.headers, timeout=60) as api:

        def send(template: str) -> None:
            body = {"to": "ada@example.com", "template": template, "data": {"order": "A-1", "code": "7"}}
            assert api.post("/v1/send", json=body).status_code == 202

        def head() -> Any:
            rows = query("select digest from template_heads where name = 'receipt'")
            return rows and rows[0][0]

        first = until(head)
        send("receipt")
        send("sign-in")
        until(lambda: len(sink.taken) == 2)
        (volume / "receipt.html.j2").write_text('---\nsubject: "Edited {{ order }}"\n---\n<p>Edited {{ order }}</p>\n')
        until(lambda: head() != first)
        until(lambda: api.get("/v1/templates/receipt").json()["revision"] == head())
        send("receipt")
        until(lambda: len(sink.taken) == 3)
    assert sorted(taken.mail["Subject"] for taken in sink.taken) == ["Code", "Edited A-1", "Receipt A-1"]
    assert list((volume / "dist").iterdir()) == []

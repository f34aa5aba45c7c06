"""Every command on the pages of docs/migration/ does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[4] / "docs/migration"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(kind, text, id=f"{page.stem}-{n}")
    for page in sorted(PAGES.glob("*.md"))
    for n, (kind, text) in enumerate(BLOCK.findall(page.read_text()))
    if "mb_…" not in text
]


@pytest.mark.parametrize(("kind", "text"), BLOCKS)
def test_an_example_is_accepted(kind, text, api, client, need, tmp_path):
    need(shutil.which("curl"), "curl is missing: install it.")
    if kind == "sh":
        quiet = text.replace("curl ", "curl --silent --show-error --fail-with-body ")
        argv = ["bash", "-euo", "pipefail", "-c", quiet]
    else:
        argv = [sys.executable, "-c", text]
    known = {"MAILBOAT": api.url, "KEY": client.key, "SECRET": client.secret}
    done = subprocess.run(
        argv, env={**os.environ, **known}, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
    assert '"problem"' not in done.stdout
    assert not re.search(r'"refused":\s*[1-9]', done.stdout), done.stdout


def test_there_are_examples():
    assert len(BLOCKS) >= 9

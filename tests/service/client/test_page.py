"""The examples of docs/python-client.md, run one after the other against a real API and worker."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "docs/python-client.md"


async def test_every_example_of_the_page_runs(
    settings_of: Any,
    start_role: Any,
    free_port: Any,
    sink: Any,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Any,
) -> None:
    api = start_role("api", settings_of(port=free_port())).url
    start_role("worker", settings_of(smtp_url=sink.url))
    for name, value in {"URL": api, "API_KEY": client.key, "API_SECRET": client.secret}.items():
        monkeypatch.setenv(f"MAILBOAT_{name}", value)
    names: dict[str, Any] = {"__name__": "page"}
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for number, example in enumerate(examples):
        code = compile(example, f"{PAGE.name}, example {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = FunctionType(code, names)()
        if inspect.isawaitable(running):
            await running
    names["mail"].close()
    await eventually(lambda: len(sink.taken) == 3, "the mails of the page")
    assert {address for taken in sink.taken for address in taken.recipients} == {"ada@example.com"}

"""The curl line that sends the first mail, as the quick start and the first steps show it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mailboat.errors import TemplateFault
from mailboat.registry.folder import Folder

SHOWN = "receipt"  # the shipped template that the quick start sends
RECIPIENT = "Ada <ada@example.com>"


def example(templates: Path) -> dict[str, Any]:
    """A request that works with these templates: the shown one, else the first that loads, else words of our own."""
    source = Folder(templates)
    names = source.names()
    for name in sorted(names, key=lambda name: name != SHOWN):
        try:
            found = source.load(name)
        except TemplateFault:
            continue
        if found is not None:
            return {"template": name, "to": RECIPIENT, "data": found[0].sources.example}
    return {"to": RECIPIENT, "subject": "Ahoy", "text": "The first mail of this Mailboat."}


def curl(credentials: Mapping[str, Any], request: dict[str, Any]) -> str:
    """One line for a shell. `credentials`: url, api_key, api_secret."""
    headers = (
        f"X-Api-Key: {credentials['api_key']}",
        f"X-Api-Secret: {credentials['api_secret']}",
        "Content-Type: application/json",
    )
    words = ["curl", f"{credentials['url']}/v1/send", *(word for header in headers for word in ("-H", header))]
    return shlex.join([*words, "-d", json.dumps(request, ensure_ascii=False, separators=(", ", ": "))])

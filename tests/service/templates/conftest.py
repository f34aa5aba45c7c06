"""A source volume in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mailboat.registry.folder import Folder


@pytest.fixture
def volume(tmp_path: Path) -> Callable[[dict[str, str | bytes]], Folder]:
    """volume({path: content}): a folder with these files."""
    root = tmp_path / "volume"

    def make(files: dict[str, str | bytes]) -> Folder:
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Folder(root)

    return make

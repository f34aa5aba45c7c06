"""The dashboard's own files, read once; a URL names its content, so a browser may keep it for ever."""

from __future__ import annotations

import hashlib
from importlib import resources

import msgspec

KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
KEEP = "public, max-age=31536000, immutable"


class Asset(msgspec.Struct, frozen=True):
    content: bytes
    type: str
    digest: str


class Assets:
    """Every file of static/ by its name there."""

    def __init__(self) -> None:
        folder = resources.files("mailboat.dashboard") / "static"
        self._files = {
            f"{place}{entry.name}": _asset(entry.name, entry.read_bytes())
            for place, where in (("", folder), ("vendor/", folder / "vendor"))
            for entry in where.iterdir()
            if entry.is_file() and f".{entry.name.rpartition('.')[2]}" in KINDS
        }

    def url(self, name: str) -> str:
        """Where a page finds this file. Raises KeyError for one that is not there."""
        return f"/ui/static/{self._files[name].digest}/{name}"

    def get(self, digest: str, name: str) -> Asset | None:
        """The file, if it still is what the URL says."""
        asset = self._files.get(name)
        return asset if asset and asset.digest == digest else None


def _asset(name: str, content: bytes) -> Asset:
    kind = KINDS[f".{name.rpartition('.')[2]}"]
    return Asset(content, kind, hashlib.sha256(content).hexdigest()[:12])

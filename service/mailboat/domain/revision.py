"""A revision: one immutable version of a template's sources, named by its digest."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

ENGINE_VERSION = "1"  # part of every digest: raise it when compiled artifacts change their meaning

Engine = Literal["jinja", "react"]


class Sources(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a revision is made of. Everything here takes part in the digest.

    `files` maps a path to its source; `entry` is one of them. `first_line` says at which line of the author's
    file each source begins (front matter comes before it), so that faults name the author's own lines; and where its
    `subject`, `text`, `schema`, `example` and `tailwind` do; `first_column` says how many columns stand before the
    text of those. `tailwind` may hold a `theme`: CSS for `@theme`.
    """

    engine: Engine
    entry: str
    files: dict[str, str]
    subject: str = ""
    text: str | None = None
    schema: dict[str, Any] | None = None
    example: dict[str, Any] = {}
    translations: dict[str, dict[str, str]] = {}
    tailwind: dict[str, str] = {}
    first_line: dict[str, int] = {}
    first_column: dict[str, int] = {}


class Revision(msgspec.Struct, frozen=True):
    """A template's name and one version of its sources. `digest` is 64 hexadecimal digits."""

    name: str
    digest: str
    sources: Sources


def encode(sources: Sources) -> bytes:
    """Sources as canonical JSON: the same sources always give the same bytes."""
    return msgspec.json.encode(sources, order="sorted")


def decode(body: bytes) -> Sources:
    return msgspec.json.decode(body, type=Sources)


def revise(name: str, sources: Sources) -> Revision:
    """The revision of these sources."""
    digest = hashlib.sha256(ENGINE_VERSION.encode() + b"\0" + encode(sources)).hexdigest()
    return Revision(name, digest, sources)

"""Declared templates as files: what the operator puts into 32 ConfigMaps, and pods find in their mount.

One file holds one live revision, gzipped, and its name says all that is needed to find it, so that no index can be at
odds with the files. The kubelet brings them late, a minute or so; they are for a pod that cannot ask Postgres.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from mailboat.domain import revision
from mailboat.domain.revision import Revision

SHARDS = 32
LARGEST = 512 * 1024  # octets in one ConfigMap; base64 makes a third more of them, and etcd takes one MiB
_FILE = re.compile(r"(?P<namespace>[^_]+)__(?P<name>[^_]+)__(?P<digest>[0-9a-f]{64})(?P<shared>\.shared)?\.json\.gz")


class Head(NamedTuple):
    """A declared template and its live revision."""

    namespace: str
    name: str
    digest: str
    shared: bool

    @property
    def shard(self) -> int:
        """Of its name alone: an edit never moves a neighbour."""
        return hashlib.sha256(f"{self.namespace}/{self.name}".encode()).digest()[0] % SHARDS

    @property
    def file(self) -> str:
        return f"{self.namespace}__{self.name}__{self.digest}{'.shared' if self.shared else ''}.json.gz"


def head(file: str) -> Head | None:
    """What a file's name says; None: it is none of ours."""
    found = _FILE.fullmatch(file)
    return Head(found["namespace"], found["name"], found["digest"], bool(found["shared"])) if found else None


def mark(heads: Iterable[Head]) -> str:
    """What tells whether a shard holds these; "" is for none."""
    files = "\n".join(sorted(head.file for head in heads))
    return hashlib.sha256(files.encode()).hexdigest() if files else ""


def fill(heads: Iterable[Head], sources: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[Head]]:
    """The files of one shard, and what has no room in it. `sources` are canonical JSON by digest."""
    files: dict[str, bytes] = {}
    left_out: list[Head] = []
    room = LARGEST
    for one in sorted(heads):
        if one.digest not in sources:  # a newer revision has just replaced it
            continue
        packed = gzip.compress(sources[one.digest], mtime=0)
        if len(packed) + len(one.file) > room:
            left_out.append(one)
            continue
        room -= len(packed) + len(one.file)
        files[one.file] = packed
    return files, left_out


def unpack(found: Head, packed: bytes) -> Revision | None:
    """The revision in a file; None when it is not what the file's name says."""
    try:
        sources = revision.decode(gzip.decompress(packed))
    except (OSError, EOFError, zlib.error, msgspec.DecodeError):
        return None
    made = revision.revise(found.name, sources)
    return made if made.digest == found.digest else None

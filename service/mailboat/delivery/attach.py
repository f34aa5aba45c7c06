"""Attachments: checked and decoded at the door, kept once by their digest, read when their mail is sent.

A file comes with the request, or as a link from which `delivery.fetch` gets it before the message is accepted.
"""

from __future__ import annotations

import binascii
import hashlib
import mimetypes
import re
from collections import OrderedDict
from collections.abc import Sequence

import asyncpg
import msgspec

from mailboat.db import statements
from mailboat.domain.message import AttachedFile, Attachment
from mailboat.errors import Problem

MOST = 50  # files per message
LONGEST_NAME = 255
UNKNOWN_TYPE = "application/octet-stream"
CACHED_OCTETS = 16 * 1024 * 1024
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,128}")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/\\\\]")


class AttachmentRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One file in the body of a request: either `content`, which is base64 (RFC 4648 §4), with its `filename`, or the
    `url` that it is fetched from before the answer, which also names and types it unless that is done here."""

    filename: str | None = None
    content: str | None = None
    url: str | None = None
    content_type: str | None = None
    content_id: str | None = None


class Decoded(msgspec.Struct, frozen=True):
    """A file that was checked: what the message says of it, and what it holds."""

    about: Attachment
    body: bytes


class Link(msgspec.Struct, frozen=True):
    """A file that has yet to be fetched; `field` is the place of its URL in the request. None: as the answer says."""

    url: str
    field: str
    filename: str | None
    content_type: str | None
    content_id: str


def decode(requests: Sequence[AttachmentRequest], field: str = "attachments") -> list[Decoded | Link]:
    """Every file, decoded as far as it is here. Raises Problem 422 naming the file and its fault."""
    if len(requests) > MOST:
        raise fault(field, f"A message may have {MOST} attachments at most.")
    for n, request in enumerate(requests):
        _check(request, f"{field}[{n}]")
    ids = [request.content_id for request in requests if request.content_id]
    if len(set(ids)) < len(ids):
        raise fault(field, "Two attachments have one content_id.")
    return [_decode(request, f"{field}[{n}]") for n, request in enumerate(requests)]


def made(filename: str, content_type: str | None, content_id: str, body: bytes) -> Decoded:
    """A file whose parts were checked; without a type it has that of its name."""
    kind = content_type or mimetypes.guess_type(filename)[0] or UNKNOWN_TYPE
    return Decoded(Attachment(filename, kind, hashlib.sha256(body).hexdigest(), len(body), content_id), body)


def is_filename(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and not _UNPRINTABLE.search(name)


def is_media_type(kind: str) -> bool:
    """Whether a file can have this type: not one that mail itself is made of."""
    return bool(_TYPE.fullmatch(kind)) and not kind.lower().startswith(("multipart/", "message/"))


def fault(field: str, detail: str, code: str = "invalid_attachment") -> Problem:
    return Problem(422, code, detail, field=field)


def _check(request: AttachmentRequest, field: str) -> None:
    """All but the content."""
    name, kind = request.filename, request.content_type
    if request.content is None and request.url is None:
        raise fault(f"{field}.content", "An attachment needs its content, or the url of it.", "missing_field")
    if request.content is not None and request.url is not None:
        raise fault(f"{field}.url", "url cannot stand beside content: give one of them.")
    if name is None and request.url is None:
        raise fault(f"{field}.filename", "An attachment with content needs a filename.", "missing_field")
    if name is not None and not is_filename(name):
        raise fault(f"{field}.filename", f"A file name has 1 to {LONGEST_NAME} characters, no controls or slashes.")
    if kind is not None and not is_media_type(kind):
        raise fault(f"{field}.content_type", f"{kind[:80]!r} is not a media type that a file has, like image/png.")
    if request.content_id is not None and not _CONTENT_ID.fullmatch(request.content_id):
        raise fault(f"{field}.content_id", "A content_id has 1 to 128 characters, no spaces and no angle brackets.")


def _decode(request: AttachmentRequest, field: str) -> Decoded | Link:
    content_id = request.content_id or ""
    if request.url is not None:
        return Link(request.url, f"{field}.url", request.filename, request.content_type, content_id)
    try:
        body = binascii.a2b_base64((request.content or "").encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise fault(f"{field}.content", f"The content is not base64: {error}.") from None
    return made(request.filename or "", request.content_type, content_id, body)


class Store:
    """Where contents are kept: Postgres, and the last few in memory."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._cached: OrderedDict[str, bytes] = OrderedDict()
        self._octets = 0

    async def keep(self, files: Sequence[Decoded]) -> None:
        """Before the message is accepted. Raises what `engine.AWAY` names."""
        bodies = {bytes.fromhex(file.about.digest): file.body for file in files}
        await self._pool.execute(statements.KEEP_ATTACHMENTS, list(bodies), list(bodies.values()))

    async def fetch(self, attachments: Sequence[Attachment]) -> tuple[AttachedFile, ...]:
        """The files with their contents. Raises what `engine.AWAY` names."""
        return tuple(
            [AttachedFile(a.filename, a.content_type, await self._body(a.digest), a.content_id) for a in attachments]
        )

    async def _body(self, digest: str) -> bytes:
        if digest in self._cached:
            self._cached.move_to_end(digest)
            return self._cached[digest]
        body: bytes = await self._pool.fetchval(statements.ATTACHMENT, bytes.fromhex(digest))
        self._cached[digest] = body
        self._octets += len(body)
        while self._octets > CACHED_OCTETS:
            self._octets -= len(self._cached.popitem(last=False)[1])
        return body

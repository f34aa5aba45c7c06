"""Attachments: checked and decoded at the door, kept once by their digest, fetched when their mail is sent."""

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
CACHED_OCTETS = 16 * 1024 * 1024
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,128}")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/\\\\]")


class AttachmentRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One file in the body of a request: `content` is base64 (RFC 4648 §4)."""

    filename: str
    content: str
    content_type: str | None = None
    content_id: str | None = None


class Decoded(msgspec.Struct, frozen=True):
    """A file that was checked: what the message says of it, and what it holds."""

    about: Attachment
    body: bytes


def decode(requests: Sequence[AttachmentRequest], field: str = "attachments") -> list[Decoded]:
    """Every file, decoded. Raises Problem 422 naming the file and its fault."""
    if len(requests) > MOST:
        raise _fault(field, f"A message may have {MOST} attachments at most.")
    decoded = [_decode(request, f"{field}[{n}]") for n, request in enumerate(requests)]
    ids = [file.about.content_id for file in decoded if file.about.content_id]
    if len(set(ids)) < len(ids):
        raise _fault(field, "Two attachments have one content_id.")
    return decoded


def _decode(request: AttachmentRequest, field: str) -> Decoded:
    name = request.filename
    if not name or len(name) > LONGEST_NAME or _UNPRINTABLE.search(name):
        raise _fault(f"{field}.filename", f"A file name has 1 to {LONGEST_NAME} characters, no controls or slashes.")
    kind = request.content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not _TYPE.fullmatch(kind) or kind.lower().startswith(("multipart/", "message/")):
        raise _fault(f"{field}.content_type", f"{kind[:80]!r} is not a media type that a file has, like image/png.")
    if request.content_id is not None and not _CONTENT_ID.fullmatch(request.content_id):
        raise _fault(f"{field}.content_id", "A content_id has 1 to 128 characters, no spaces and no angle brackets.")
    try:
        body = binascii.a2b_base64(request.content.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _fault(f"{field}.content", f"The content is not base64: {error}.") from None
    digest = hashlib.sha256(body).hexdigest()
    return Decoded(Attachment(name, kind, digest, len(body), request.content_id or ""), body)


def _fault(field: str, detail: str) -> Problem:
    return Problem(422, "invalid_attachment", detail, field=field)


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

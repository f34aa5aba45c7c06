"""The mail that a provider writes out of the fields of a JSON request."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import getaddresses
from uuid import uuid4

from mailboat.domain.address import Address, InvalidAddress, parse
from mailboat.domain.message import AttachedFile, Envelope, Mail
from mailboat.errors import Rejected
from mailboat.providers import mime

_ASCII_LOCAL = re.compile(r"[!-~]+@.+")


class Invalid(ValueError):
    """The request does not make a mail; the text says why."""


def mailbox(email: str, name: str = "") -> Address:
    """Raises Invalid."""
    try:
        found = parse(email)
    except InvalidAddress as error:
        raise Invalid(f"{email}: {error}") from None
    if found.name or not _ASCII_LOCAL.fullmatch(email):
        raise Invalid(f"{email}: not a plain address in ASCII")
    return Address(email, name)


def mailboxes(header: str) -> list[Address]:
    """The addresses of a header value (`"Doe, Jane" <jane@x>, joe@x`). Raises Invalid."""
    return [mailbox(email, name) for name, email in getaddresses([header]) if name or email]


def attachment(content: str, filename: str, content_type: str, content_id: str = "") -> AttachedFile:
    try:
        return AttachedFile(filename, content_type, b64decode(content, validate=True), content_id)
    except NotBase64:
        raise Invalid(f"the content of {filename} is not base64") from None


def compose(
    sender: Address,
    to: list[Address],
    cc: list[Address],
    *,
    reply_to: list[Address],
    subject: str,
    text: str | None,
    html: str | None,
    headers: Iterable[tuple[str, str]],
    attachments: Iterable[AttachedFile],
    domain: str,
) -> bytes:
    """Raises Invalid for what cannot be written. A Message-ID among the headers is kept."""
    given = {name: value for name, value in headers if not name.lower().startswith("x-pm-")}
    own_id = f"<{uuid4().hex}@{domain}>"
    message_id = next((given.pop(name) for name in list(given) if name.lower() == "message-id"), own_id)
    mail = Mail(
        id=uuid4(),
        message_id=message_id,
        date=datetime.now(UTC),
        envelope=Envelope(sender, tuple(to), tuple(cc), (), tuple(reply_to)),
        recipients=(),
        subject=subject,
        html=html,
        text=text,
        headers=given,
        attachments=tuple(attachments),
    )
    try:
        return mime.encode(mail)
    except Rejected as error:
        raise Invalid(str(error)) from None
